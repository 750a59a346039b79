"""The recipes of the cookbook, word for word, on lab hosts.

`make cookbook` runs them. Each one is added to the README's own variables, as the page says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab")]

import inside
import lab
import play
from build import build_releases
from waiting import wait

LAB = os.environ.get("SLIPWAY_LAB", "cookbook")
BINARIES = CHECKOUT / ".work" / "app"
# What the README's example leaves to the operator, and what the tests need no hardening for.
EXTRA = {"site_harden": False, "deploy_user_keys": [], "release_soak_time": 1, "bootstrap_user": "root"}

HAND_MADE = r"[Service]\nEnvironment=PORT=8080\nExecStart=/srv/hand/shop\n[Install]\nWantedBy=multi-user.target\n"

# Asks a port or a Unix socket of the host from inside, where there is no curl.
ASK = """\
import http.client, socket, sys
to = sys.argv[1]
connection = http.client.HTTPConnection("127.0.0.1", int(to) if to.isdigit() else 80, timeout=5)
if not to.isdigit():
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(to)
connection.request("GET", "/version")
print(connection.getresponse().read().decode())
"""


def block(page: str, holds: str, language: str = "yaml") -> str:
    """The one example of that page that holds this text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (CHECKOUT / page).read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if holds in text]
    return str(found)


def recipe(title: str) -> str:
    return block("docs/guide/cookbook.md", f"# {title}\n")


class Site:
    """A folder as an operator has it, and the host that its runs are about."""

    def __init__(self, folder: Path, inventory: Path, number: int = 0) -> None:
        self.folder, self.number = folder, number
        self.hosts: dict[str, dict[str, Any]] = json.loads(inventory.read_text())["all"]["hosts"]
        self.name = list(self.hosts)[number]
        self.container = f"slipway-{LAB}-{self.name}"
        (folder / "inventory.yml").write_text(inventory.read_text())
        (folder / "build").mkdir()
        (folder / "group_vars").mkdir()

    def write(self, *recipes: str, without: str = "") -> None:
        """The inventory's variables: the README's, and those of the recipes after them."""
        readme = yaml.safe_load(block("README.md", "deploy_user_keys"))
        given = [{name: value for name, value in readme.items() if name != without}, *map(yaml.safe_load, recipes)]
        merged = {name: value for one in given for name, value in one.items()}
        (self.folder / "group_vars" / "all.yml").write_text(json.dumps(merged))
        build = self.folder / "build" / "shop-linux-amd64"
        build.unlink(missing_ok=True)
        build.symlink_to(BINARIES / "shop-2.0.0")

    def run(self, name: str, *flags: str, environment: dict[str, str] | None = None, **more: Any) -> play.Play:
        extra = json.dumps({**EXTRA, **more})
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventory.yml", name, "--limit", self.name, "-e", extra, *flags],
            env={**play.environment(), **(environment or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return play.Play(done.returncode, 0.0, done.stdout + done.stderr)

    def good(self, name: str, *flags: str, **more: Any) -> str:
        done = self.run(name, *flags, **more)
        assert done.code == 0, done.output[-4000:]
        return done.output

    def tasks(self, text: str) -> None:
        """Tasks of a recipe, in a play of their own."""
        play_of = [{"hosts": "all", "become": True, "gather_facts": False, "tasks": yaml.safe_load(text)}]
        (self.folder / "tasks.yml").write_text(json.dumps(play_of))
        self.good("tasks.yml")

    def on_host(self, *argv: str, check: bool = True) -> str:
        return inside.run(self.container, *argv, check=check)

    def version(self, where: int | str) -> str:
        """What serves at a port or a socket; empty where nobody does."""
        asked = inside.attempt(self.container, "python3", "-c", ASK, str(where))
        return str(json.loads(asked.stdout)["version"]) if asked.returncode == 0 else ""

    def remove(self, name: str) -> None:
        if self.on_host("sh", "-c", f"ls -d /opt/{name} || true"):
            self.run("slipway.go.remove", service_name=name, remove_confirm=name, remove_data=True)


@pytest.fixture(scope="module")
def inventory() -> Iterator[Path]:
    build_releases(BINARIES)
    yield lab.up(LAB, 2, ["bookworm", "trixie"])
    lab.down(LAB)


@pytest.fixture
def site(tmp_path: Path, inventory: Path) -> Iterator[Site]:
    made = Site(tmp_path, inventory)
    yield made
    for name in ("shop", "shop-eu", "shop-us"):
        made.remove(name)


def test_a_port_below_1024(site: Site) -> None:
    site.write(recipe("a port below 1024"))
    site.good("slipway.go.site")
    assert site.version(443) == "2.0.0"
    main = site.on_host("systemctl", "show", "--property=MainPID", "--value", "shop@*.service").strip()
    assert site.on_host("stat", "-c", "%U", f"/proc/{main}") == "shop"


def test_a_unix_socket(site: Site) -> None:
    site.write(recipe("a unix socket"))
    output = site.good("slipway.go.site")
    assert "inconclusive" not in output
    assert site.version("/run/shop/shop.sock") == "2.0.0"
    assert site.on_host("stat", "-c", "%G %a", "/run/shop/shop.sock") == "shop 660"
    upgrade = site.good("slipway.go.release", release_version="2.0.1")
    assert "inconclusive" not in upgrade


def test_another_port_and_another_user(site: Site) -> None:
    site.write()
    site.good("slipway.go.site")
    site.write(recipe("another port and user"))
    site.good("slipway.go.site")
    assert (site.version(8090), site.version(8080)) == ("2.0.0", "")
    main = site.on_host("systemctl", "show", "--property=MainPID", "--value", "shop@*.service").strip()
    assert site.on_host("stat", "-c", "%U", f"/proc/{main}") == "market"
    assert " changed=0 " in site.good("slipway.go.site").partition("PLAY RECAP")[2]


def test_limits(site: Site) -> None:
    site.write(recipe("limits"))
    site.good("slipway.go.site")
    shown = site.on_host("systemctl", "show", "shop@*.service", "--property=MemoryMax,MemoryHigh,CPUQuotaPerSecUSec")
    assert set(shown.split()) == {"MemoryMax=536870912", "MemoryHigh=402653184", "CPUQuotaPerSecUSec=1.500000s"}


def test_a_worker(site: Site) -> None:
    """The sample service wants a port; nobody but itself knows of it."""
    site.write(recipe("a worker"))
    site.good("slipway.go.site", service_environment={"HOST": "127.0.0.1", "PORT": "18901"})
    assert site.version(18901) == "2.0.0"
    assert site.run("slipway.go.status").code == 0


def test_instances(site: Site) -> None:
    site.write(recipe("instances"), without="service_name")
    site.good("slipway.go.site")
    assert (site.version(8081), site.version(8082)) == ("2.0.0", "2.0.0")
    site.good("slipway.go.release", service_name="shop-eu", release_version="2.0.1")
    current = [site.on_host("readlink", f"/opt/shop-{region}/current") for region in ("eu", "us")]
    assert "2.0.1-" in current[0]
    assert "2.0.0-" in current[1]


def test_a_timer_follows_the_release(site: Site) -> None:
    site.write()
    site.good("slipway.go.site")
    site.tasks(recipe("a timer"))

    def told() -> str:
        site.on_host("systemctl", "start", "report-of-shop.service")
        return site.on_host("journalctl", "--unit=report-of-shop", "--output=cat", "--identifier=shop", "--lines=1")

    try:
        assert told() == "2.0.0"
        assert "report-of-shop.timer" in site.on_host("systemctl", "list-timers", "report-of-shop.timer")
        build = site.folder / "build" / "shop-linux-amd64"
        build.unlink()
        build.symlink_to(BINARIES / "shop-3.0.0")
        site.good("slipway.go.release", release_version="3.0.0")
        assert told() == "3.0.0"
        site.good("slipway.go.rollback")
        assert told() == "2.0.0"
    finally:
        site.on_host("systemctl", "disable", "--now", "report-of-shop.timer")


def test_a_jump_host(site: Site, tmp_path: Path, inventory: Path) -> None:
    """ssh hands its file to the connection to the jump host, too."""
    (tmp_path / "behind").mkdir()
    behind = Site(tmp_path / "behind", inventory, 1)
    jump = site.hosts[site.name]["ansible_host"]
    behind.write(recipe("a jump host"))
    given = json.loads(inventory.read_text())["all"]["vars"]
    known = re.search(r"UserKnownHostsFile=(\S+)", given["ansible_ssh_common_args"])
    assert known
    config = tmp_path / "ssh.conf"
    config.write_text(
        f"Host *\n  User root\n  IdentityFile {given['ansible_ssh_private_key_file']}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known[1]}\n"
    )
    said = json.loads((behind.folder / "group_vars" / "all.yml").read_text())
    (behind.folder / "group_vars" / "all.yml").write_text(json.dumps({**said, "jump_host": jump}))
    document = json.loads((behind.folder / "inventory.yml").read_text())
    del document["all"]["vars"]["ansible_ssh_common_args"]  # it would win over the recipe
    (behind.folder / "inventory.yml").write_text(json.dumps(document))
    done = behind.run("slipway.go.site", environment={"ANSIBLE_SSH_ARGS": f"-F {config}"})
    assert done.code == 0, done.output[-4000:]
    assert behind.version(8080) == "2.0.0"
    sshd = ("--identifier=sshd", "--identifier=sshd-session")
    accepted = behind.on_host("journalctl", *sshd, "--grep=Accepted", "--since=-3min")
    senders = set(re.findall(r"from (\S+) port", accepted))
    assert senders == {jump}
    behind.remove("shop")


def test_a_password_for_sudo(site: Site) -> None:
    key = (lab.folder(LAB) / "id_ed25519.pub").read_text()
    inside.script(
        site.container,
        "useradd --create-home --shell /bin/sh admin && echo admin:open-sesame | chpasswd\n"
        "echo 'admin ALL=(ALL) ALL' >/etc/sudoers.d/admin && install -d -o admin /home/admin/.ssh\n"
        f"echo '{key.strip()}' >/home/admin/.ssh/authorized_keys\n",
    )
    site.write(recipe("a password for sudo"))
    try:
        done = site.run("slipway.go.site", ansible_user="admin", vault_sudo_password="open-sesame")
        assert done.code == 0, done.output[-4000:]
        assert "open-sesame" not in done.output
        assert site.version(8080) == "2.0.0"
        wrong = site.run("slipway.go.release", ansible_user="admin", vault_sudo_password="wrong")
        assert wrong.code != 0
        assert "Traceback" not in wrong.output
    finally:
        inside.script(site.container, "rm -f /etc/sudoers.d/admin; userdel --remove admin || true")


def test_logs_for_a_collector(site: Site) -> None:
    site.write()
    site.good("slipway.go.site")
    command = block("docs/guide/cookbook.md", "--identifier=shop", "sh").split()
    wait("a line of the service", lambda: site.on_host(*command))
    entry = json.loads(site.on_host(*command))
    assert json.loads(entry["MESSAGE"])["version"] == "2.0.0"
    assert re.fullmatch(r"shop@2\.0\.0-[0-9a-f]+\.service", entry["_SYSTEMD_UNIT"])


def test_a_unit_made_by_hand(site: Site) -> None:
    inside.script(site.container, "mkdir -p /srv/hand")
    subprocess.run(["docker", "cp", "-L", str(BINARIES / "shop-1.0.0"), f"{site.container}:/srv/hand/shop"], check=True)
    inside.script(
        site.container,
        f"printf '{HAND_MADE}' >/etc/systemd/system/shop.service\n"
        "systemctl daemon-reload\nsystemctl enable --now shop.service\n",
    )
    wait("the service made by hand", lambda: site.version(8080) == "1.0.0")
    site.write()
    refused = site.run("slipway.go.preflight")
    assert refused.code != 0
    assert "/etc/systemd/system/shop.service" in refused.output
    assert site.version(8080) == "1.0.0"
    site.tasks(recipe("a unit made by hand"))
    site.good("slipway.go.site")
    assert site.version(8080) == "2.0.0"
    site.remove("shop")
    inside.script(
        site.container,
        "cp /root/shop.service.before /etc/systemd/system/shop.service\n"
        "systemctl daemon-reload\nsystemctl enable --now shop.service\n",
    )
    wait("the service made by hand, again", lambda: site.version(8080) == "1.0.0")
    inside.script(site.container, "systemctl disable --now shop.service; rm /etc/systemd/system/shop.service")
