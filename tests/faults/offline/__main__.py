"""From a build to a release where there is no network: a bundle is made here, and used without any route.

`make bundle-offline` runs it, as root. The bundle is used in the network namespace of a lab host whose only
interface is loopback: nothing can be reached but that host itself. There,
1. the program beside the bundle verifies and unpacks it, with nothing but Python;
2. ansible-core is installed from its wheels into a new environment, and the collections from its tarballs;
3. that Ansible releases the service to the host;
4. it unpacks a second bundle, which holds only what is new, and releases from it while users send requests;
5. of that bundle, 200 mutilated copies are each refused by the name of a file.
Exits 1 when a step fails, a request is lost, or a copy is not refused.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import lab
import mutilate
import play
from build import build_load, find_go, go_environment
from client import Load
from engine import docker

LAB, SERVICE, PORT, RATE, COPIES = "offline", "shop", 8080, 100, 200
WORK = lab.CHECKOUT / ".work" / "offline"
OUT, SITE, KEY, SIGNERS = WORK / "bundles", WORK / "site", WORK / "key", WORK / "allowed_signers"
FIRST, SECOND = "1.0.0", "2.0.0"
SETTLE_S = 3.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def succeed(argv: list[str], **options: Any) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


# With a network


def common(version: str) -> dict[str, Any]:
    return {"service_name": SERVICE, "release_version": version, "build_dest": str(WORK / "artefacts" / version)}


def prepare(version: str, **more: Any) -> None:
    """Build it, and make a bundle of it."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = WORK / "builder.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": local}}}))
    dependencies = lab.CHECKOUT / ".work" / "collections" / "ansible_collections"
    variables = {
        **common(version),
        "build_source": str(HERE.parents[1] / "lab" / "app"),
        "build_cache": str(WORK / "cache"),
        "build_go": str(find_go()),
        "build_targets": ["linux/amd64", "linux/arm64"],
        "build_variables": {"version": "main.version"},
        "build_dirty": "accept",
        "build_vcs": "false",
        "build_as_root": True,
        "build_ssh_key": str(KEY),
        "bundle_dest": str(OUT),
        "bundle_ssh_key": str(KEY),
        "bundle_collections": [str(dependencies / name) for name in ("ansible/posix", "community/general")],
        **more,
    }
    for name in ("build", "bundle"):
        done = play.playbook(name, inventory, variables)
        if done.code:
            raise SystemExit(done.output[-4000:])
        say(f"{name} {version}: {done.seconds:.1f} s")


def with_a_network() -> None:
    for folder in (OUT, SITE, WORK / "artefacts"):
        succeed(["rm", "-rf", str(folder)])
    WORK.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        succeed(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEY)])
    SIGNERS.write_text(f"ci {KEY.with_suffix('.pub').read_text()}")
    build_load(WORK / "load")
    (WORK / "cache").mkdir(exist_ok=True)
    if not (WORK / "cache" / "build").exists():
        (WORK / "cache" / "build").symlink_to(go_environment()["GOCACHE"])
    prepare(FIRST)
    prepare(SECOND, bundle_base=str(OUT / f"{SERVICE}-{FIRST}.tar"))


# Without


def environment() -> dict[str, str]:
    """That of somebody who has nothing yet: no settings of pip, no collections, no proxy."""
    return {
        "PATH": f"{SITE}/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(SITE),
        "LANG": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "ANSIBLE_COLLECTIONS_PATH": str(SITE / "collections"),
        "ANSIBLE_NOCOLOR": "1",
    }


def receive(argv: list[str]) -> str:
    return succeed(argv, cwd=SITE, env=environment())


def links_up(*prefix: str) -> list[str]:
    """The interfaces that are up; ip tells those that are not as empty entries."""
    told = json.loads(succeed([*prefix, "ip", "-json", "link", "show", "up"]))
    return [one["ifname"] for one in told if one]


def require_no_network() -> None:
    for family in ("-4", "-6"):
        routes = succeed(["ip", family, "route", "show", "table", "main"]).strip()
        if routes:
            raise SystemExit(f"there is a route: {routes}")
    links = links_up()
    if links != ["lo"]:
        raise SystemExit(f"more than loopback is up: {links}")


def unpack_for_the_first_time() -> None:
    program = OUT / "slipway-unbundle.pyz"
    verify = ["-Y", "verify", "-f", str(SIGNERS), "-I", "ci", "-n", "file", "-s", f"{program}.sig"]
    with program.open("rb") as stream:
        succeed(["ssh-keygen", *verify], stdin=stream)
    bundle = str(OUT / f"{SERVICE}-{FIRST}.tar")
    say(
        receive(
            ["/usr/bin/python3", str(program), bundle, "--dest", str(SITE), "--allowed-signers", str(SIGNERS)]
        ).strip()
    )


def install() -> None:
    """As README.txt says it. The environment is of the interpreter that the wheels are for."""
    unpacked = SITE / f"{SERVICE}-{FIRST}"
    requirement = next(
        word.strip("'") for word in (unpacked / "README.txt").read_text().split() if word.startswith("'ansible-core==")
    )
    receive([os.path.realpath(sys.executable), "-m", "venv", str(SITE / "venv")])
    receive(["venv/bin/pip", "install", "--no-index", "--find-links", str(unpacked / "wheels"), requirement])
    tarballs = [str(path) for path in sorted((unpacked / "collections").iterdir())]
    receive(
        ["venv/bin/ansible-galaxy", "collection", "install", "--offline", "-p", str(SITE / "collections"), *tarballs]
    )
    say(receive(["venv/bin/ansible", "--version"]).splitlines()[0])


def run(playbook: str, variables: dict[str, Any], *flags: str) -> None:
    begun = time.monotonic()
    argv = ["venv/bin/ansible-playbook", "-i", str(WORK / "inventory.yml"), f"slipway.go.{playbook}"]
    receive([*argv, "-e", json.dumps(variables), *flags])
    say(f"{playbook}: {time.monotonic() - begun:.1f} s")


def released(version: str) -> dict[str, Any]:
    artefacts = SITE / f"{SERVICE}-{version}" / "artefacts"
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "site_harden": False,
        "release_version": version,
        "release_src": str(artefacts / f"{SERVICE}-linux-{{goarch}}{{level}}"),
        "release_checksum": str(artefacts / "SHA256SUMS"),
        "release_signature": str(artefacts / "SHA256SUMS.sig"),
        "release_signature_of": "checksums",
        "release_allowed_signers": str(SIGNERS),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 20},
        "release_soak_time": 3,
    }


def unbundled(version: str) -> dict[str, Any]:
    return {
        "unbundle_src": str(OUT / f"{SERVICE}-{version}.tar"),
        "unbundle_dest": str(SITE),
        "unbundle_allowed_signers": str(SIGNERS),
        "ansible_python_interpreter": str(SITE / "venv/bin/python"),
    }


def without_a_network() -> int:
    require_no_network()
    SITE.mkdir()
    unpack_for_the_first_time()
    install()
    run("unbundle", unbundled(FIRST), "--check")
    run("site", released(FIRST))
    run("unbundle", unbundled(SECOND))
    with Load(WORK / "load", WORK, [f"host=http://127.0.0.1:{PORT}"], RATE) as client:
        time.sleep(SETTLE_S)
        run("release", released(SECOND))
        time.sleep(SETTLE_S)
        total = client.report()["total"]
    versions = ", ".join(f"{count} by {version}" for version, count in sorted(total["versions"].items()))
    print(f"{total['sent']} requests, {total['failed']} lost; answered {versions}")
    bad = mutilate.run(OUT / f"{SERVICE}-{SECOND}.tar", SIGNERS, SITE, WORK / "copies", COPIES)
    print(f"{COPIES} mutilated bundles, {COPIES - len(bad)} refused by the name of a file, nothing left of them")
    for line in bad:
        print(f"  {line}")
    return int(bool(bad) or total["failed"] > 0 or set(total["versions"]) != {FIRST, SECOND})


def on_a_host() -> int:
    """Everything behind this is in the host's network, and only there."""
    lab.up(LAB, 1, ["bookworm"])
    container = f"slipway-{LAB}-{LAB}1"
    try:
        inventory = json.loads((lab.folder(LAB) / "inventory.yml").read_text())
        host = inventory["all"]["hosts"][f"{LAB}1"]
        inventory["all"]["vars"]["ansible_ssh_common_args"] += f" -o HostKeyAlias={host['ansible_host']}"
        host["ansible_host"] = "127.0.0.1"
        (WORK / "inventory.yml").write_text(json.dumps(inventory))
        pid = docker("inspect", "--format", "{{.State.Pid}}", container).strip()
        network = ["nsenter", f"--net=/proc/{pid}/ns/net"]
        for link in links_up(*network):
            if link != "lo":
                succeed([*network, "ip", "link", "set", link, "down"])
        return subprocess.run([*network, sys.executable, str(HERE), "--inside"], check=False).returncode
    finally:
        lab.down(LAB)


def main() -> int:
    parser = argparse.ArgumentParser(prog="offline", description=__doc__)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().inside:
        return without_a_network()
    with_a_network()
    return on_a_host()


if __name__ == "__main__":
    sys.exit(main())
