"""The disk of a virtual machine: Debian 12 with its cloud kernel, labelled for SELinux, and a key to log in with.

Built once on a machine and kept outside the checkout, as the images of containers are. Nothing relabels at the first
boot: the labels are set in the tree that becomes the file system.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import images
from engine import LabError, apt_install, machine_lock, run, step

CACHE = Path("/var/cache/slipway-lab")
SUITE = "bookworm"
PACKAGES = (
    *images.PACKAGES, "initramfs-tools", "ifupdown", "iputils-ping", "udev", "cron",
    "selinux-policy-default", "selinux-basics", "selinux-utils", "policycoreutils", "auditd", "python3-selinux",
)  # fmt: skip
# What the hardening roles install, there already: containers show that they do, and a machine without KVM takes minutes
# for it. The kernel comes with them, so that there is one and it is the newest.
READY = (
    "unattended-upgrades", "libpam-pwquality", "apparmor", "apparmor-utils", "needrestart", "debsums", "acct", "ufw",
    "policycoreutils-python-utils", "python3-semanage", "lynis", "logrotate",
)  # fmt: skip
KERNEL = "linux-image-cloud-amd64"
DISK_SIZE = "4G"
# What qemu's user network hands out, set by hand: no DHCP client to wait for.
NETWORK = """auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static
    address 10.0.2.15/24
    gateway 10.0.2.2
"""
FILES = {
    "etc/hostname": "vm\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 vm\n::1 localhost\n",
    "etc/fstab": "/dev/vda / ext4 defaults,errors=remount-ro 0 1\n",
    "etc/network/interfaces": NETWORK,
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=default\n",
    "etc/machine-id": "",
}
# Without policy-rc.d, packages would start their services in a tree that is not running.
UPDATE = f"""
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d
apt-get -qq update && apt-get -qq -y dist-upgrade
apt-get -qq -y install --no-install-recommends {KERNEL} {" ".join(READY)}
rm -rf /usr/sbin/policy-rc.d /var/cache/apt/archives/*.deb
"""
LABEL = "/sbin/setfiles -m -F /etc/selinux/default/contexts/files/file_contexts /"


@dataclass(frozen=True)
class Image:
    """The files of a built image; all machines share them and write to overlays of their own."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def host_key(self) -> str:
        """The public key of its sshd. Like its machines, it never leaves the machine that built it."""
        return (self.folder / "ssh_host_ed25519_key.pub").read_text().strip()


def ensure() -> Image:
    """The image, built if this machine has none; that needs root and takes about three minutes."""
    recipe = hashlib.sha256(repr((PACKAGES, DISK_SIZE, FILES, UPDATE, LABEL)).encode()).hexdigest()[:8]
    image = Image(CACHE / f"vm-{SUITE}-{recipe}")
    with machine_lock("image-vm"):
        if not image.folder.is_dir():
            _build(image)
    return image


def _build(image: Image) -> None:
    if os.geteuid() != 0:
        raise LabError("the disk of a virtual machine is built by root. Fix: run the same command once as root")
    missing = {"debootstrap": "debootstrap", "ssh-keygen": "openssh-client", "mke2fs": "e2fsprogs"}
    packages = [package for program, package in missing.items() if shutil.which(program) is None]
    if packages:
        apt_install(*packages, "debian-archive-keyring")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".vm-") as tmp:
        root, made = Path(tmp) / "root", Path(tmp) / "image"
        made.mkdir(mode=0o755)
        mirror = images.debian_mirror() or "http://deb.debian.org/debian"
        with step("debootstrap of a virtual machine (about two minutes, once on this machine)"):
            run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), mirror])
        with step("updating it"):
            _sources(root, mirror)
            _inside(root, UPDATE)
        with step("labelling it and making its disk"):
            _personal(root, made)
            _inside(root, LABEL)
            run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root), str(made / "disk.raw"), DISK_SIZE])
            for name in ("vmlinuz", "initrd.img"):
                shutil.copyfile(next((root / "boot").glob(f"{name}-*")), made / name)
        made.rename(image.folder)


def _sources(root: Path, mirror: str) -> None:
    security = images.debian_mirror("debian-security") or "http://deb.debian.org/debian-security"
    (root / "etc/apt/sources.list").write_text(
        f"deb {mirror} {SUITE} main\ndeb {mirror} {SUITE}-updates main\ndeb {security} {SUITE}-security main\n"
    )


def _personal(root: Path, made: Path) -> None:
    """What makes the tree this host: its files, the key of root, and the host key to know it by."""
    for name, content in FILES.items():
        (root / name).unlink(missing_ok=True)
        (root / name).write_text(content)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway-lab", "-f", str(made / "id_ed25519")])
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(made / "id_ed25519.pub", root / "root/.ssh/authorized_keys")
    shutil.copyfile(root / "etc/ssh/ssh_host_ed25519_key.pub", made / "ssh_host_ed25519_key.pub")


def _inside(root: Path, script: str) -> None:
    """Run script in the tree, with a /proc that is gone when it ends, however it ends."""
    enter = 'mount -t proc proc "$0/proc"; exec chroot "$0" /bin/sh -ec "$1"'
    run(["unshare", "--mount", "/bin/sh", "-ec", enter, str(root), script])
