"""Images of bare hosts: systemd and sshd on Debian, from a registry where one answers, else from debootstrap."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from engine import LabError, apt_install, docker, machine_lock, run, say, step

SUITES = {"bullseye": "11", "bookworm": "12", "trixie": "13"}
# python3-apt: the apt modules. netbase: firewalld needs /etc/protocols. libpam-systemd: polkitd needs logind.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "python3", "python3-apt", "openssh-server", "sudo",
    "iproute2", "ca-certificates", "procps", "netbase", "logrotate", "kmod",
)  # fmt: skip
# Every host makes a machine id of its own. The SSH host keys stay: an image never leaves the machine that built it.
FORGET = ": > /etc/machine-id && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin"
PULL_TIMEOUT_S = 120
RPM_PACKAGES = (
    "systemd", "dbus", "python3", "openssh-server", "sudo", "iproute", "ca-certificates", "procps-ng", "logrotate",
    "util-linux", "policycoreutils",
)  # fmt: skip


def tag(suite: str) -> str:
    recipe = hashlib.sha256(repr((suite, PACKAGES, FORGET)).encode()).hexdigest()[:8]
    return f"slipway-lab:{suite}-{recipe}"


def ensure(suite: str) -> str:
    """Return the name of an image of a bare host; build it if this machine has none."""
    if suite not in SUITES:
        raise LabError(f"unknown suite {suite!r}. Fix: one of {', '.join(SUITES)}")
    image = tag(suite)
    with machine_lock(f"image-{suite}"):
        if not docker("images", "--quiet", image):
            _from_registry(suite, image) or _from_debootstrap(suite, image)
    return image


def _from_registry(suite: str, image: str) -> bool:
    base = f"debian:{SUITES[suite]}"
    try:
        docker("pull", "--quiet", base, timeout=PULL_TIMEOUT_S)
    except LabError:
        say(f"no registry serves {base} here; building the image with debootstrap")
        return False
    _build(base, image)
    return True


def _build(base: str, image: str) -> None:
    """Add to a distribution's base image what makes it a host."""
    deb = (
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
        f"{' '.join(PACKAGES)} && {FORGET}"
    )
    rpm = f"dnf -y install --setopt=install_weak_deps=False {' '.join(RPM_PACKAGES)} && : > /etc/machine-id"
    install = f"if command -v apt-get; then {deb}; else {rpm}; fi"
    with step(f"building {image} from {base}"):
        docker("build", "--quiet", "--tag", image, "-", stdin=f'FROM {base}\nRUN {install}\nCMD ["/sbin/init"]\n')


def ensure_from(base: str) -> str:
    """A host's image from any base image of a Debian-like or RHEL-like distribution that a registry serves."""
    image = f"slipway-lab:{re.sub('[^a-z0-9.]', '-', base)}"
    with machine_lock("image-base"):
        if not docker("images", "--quiet", image):
            _build(base, image)
    return image


def _from_debootstrap(suite: str, image: str) -> None:
    if os.geteuid() != 0:
        raise LabError("debootstrap needs root. Fix: run as root, or let Docker reach a registry that serves debian")
    if shutil.which("debootstrap") is None:
        apt_install("debootstrap", "debian-archive-keyring")
    with tempfile.TemporaryDirectory(prefix="slipway-lab-") as tmp:
        root = Path(tmp) / "root"
        with step(f"debootstrap {suite} (about 80 s, once on this machine)"):
            mirror = debian_mirror()
            run(
                ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root)]
                + ([mirror] if mirror else [])
            )
            run(["chroot", str(root), "/bin/sh", "-c", FORGET])
        with step(f"importing {image}"):
            _import(root, image)


def _import(root: Path, image: str) -> None:
    packed = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    imported = subprocess.run(
        ["docker", "import", "--change", 'CMD ["/sbin/init"]', "-", image],
        stdin=packed.stdout,
        capture_output=True,
        check=False,
    )
    if packed.wait() != 0 or imported.returncode != 0:
        raise LabError(f"docker import failed: {imported.stderr.decode(errors='replace').strip()}")


def debian_mirror(archive: str = "debian") -> str | None:
    """The mirror of the archive debian or debian-security that this machine is set up for; None where it is not."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in sources:
        if source.is_file():
            found = re.search(
                rf"^(?:URIs:|deb)\s+(?:\[[^]]*\]\s+)?(https?://\S+/{archive}/?)(?:\s|$)", source.read_text(), re.M
            )
            if found:
                return found.group(1)
    return None
