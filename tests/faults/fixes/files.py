"""What rows name on the controller and on the host: programs, archives, keys and databases, each built once a run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import play
from ansible_collections.slipway.go.tests.faults.fixes import artefacts, building, life
from ansible_collections.slipway.go.tests.faults.fixes.bench import Bench
from build import APP, find_go, go_environment

PLAIN = "int main(void) { return 0; }\n"
CALL = "int f(void); int main(void) { return f(); }\n"
F = "int f(void) { return 0; }\n"
G = "int g(void) { return 0; }\n"
V1, V2 = "V1 { global: f; };\n", "V1 { global: f; };\nV2 { global: g; } V1;\n"


def gcc(target: Path, source: str, *flags: object) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    argv = ["gcc", "-x", "c", "-", "-x", "none", "-o", target, *flags]
    subprocess.run([str(word) for word in argv], input=source, text=True, check=True, capture_output=True)
    return target


def library(target: Path, source: str = F, *flags: object) -> Path:
    return gcc(target, source, "-shared", "-fPIC", "-Wl,-soname,libf.so.1", *flags)


def versioned(target: Path, source: str, script: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    versions = target.parent / "versions"
    versions.write_text(script)
    return library(target, source, f"-Wl,--version-script,{versions}")


def go(target: Path, *flags: str, **environment: str) -> Path:
    """A program of nothing but a main, for another system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = target.parent / "main.go"
    source.write_text("package main\n\nfunc main() {}\n")
    argv = [str(find_go()), "build", *flags, "-o", str(target), str(source)]
    subprocess.run(argv, env={**go_environment(), **environment}, check=True, capture_output=True)
    return target


def programs(folder: Path) -> Path:
    """The tree that every row of programs.py copies from; it lies at /srv/built on the host. Built once for a version
    of this file, as Go compiles its library for each system."""
    stamp = folder / ".built-by"
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == own:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    beside = "-Wl,-rpath,$ORIGIN/lib"
    gcc(folder / "linked/app", CALL, "-Wl,-z,now", library(folder / "linked/lib/libf.so.1"), beside)
    library(folder / "other/libf.so.1", "int other;\n")
    library(folder / "stack/libf.so.1", F, "-Wl,-z,execstack")
    whole = versioned(folder / "versioned/lib/libf.so.1", F + G, V2)
    gcc(folder / "versioned/app", "int g(void); int main(void) { return g(); }\n", whole, beside)
    versioned(folder / "versioned-old/libf.so.1", F, V1)
    loader = "-Wl,--dynamic-linker,/srv/built/ld.so"
    gcc(folder / "own-loader/app", PLAIN, loader)
    gcc(folder / "own-loader/relinked", PLAIN)
    gcc(folder / "own-loader/other-loader", F, "-shared", "-fPIC", "-Wl,-soname,ld-other.so.1", "-nostdlib")
    go(folder / "go/app")
    go(folder / "go/nowhere", "-buildmode=pie", "-ldflags=-I /lib/ld-nowhere.so.2")
    for name, environment in {
        "windows": {"GOOS": "windows"},
        "freebsd": {"GOOS": "freebsd"},
        "arm64": {"GOARCH": "arm64"},
        "linux-amd64": {"GOARCH": "amd64"},
        "386": {"GOARCH": "386"},
    }.items():
        go(folder / "go" / name, **environment)
    stamp.write_text(own)
    return folder


def prepare_programs(bench: Bench) -> None:
    tree = programs(bench.files / "programs")
    bench.sh("rm -rf /srv/built /srv/fixes")
    subprocess.run(["docker", "cp", tree, f"{bench.container}:/srv/built"], check=True, capture_output=True)
    bench.sh("apt-get -qq update; mkdir /srv/fixes; chmod -R a+rX /srv/built")


def current(bench: Bench) -> str:
    return bench.sh(f"basename $(readlink -f {life.ROOT}/current)")


def prepare_service(bench: Bench) -> None:
    """A host that trusts the servers of artefacts.py, and runs 1.0.0."""
    if "@url" in bench.words:
        bench.words["@current"] = current(bench)
        return
    route = bench.sh("ip route show default").split()
    bench.words.update(artefacts.make(bench.files))
    bench.words.update(bench.stack.enter_context(artefacts.servers(bench.files, route[route.index("via") + 1])))
    authority = f"{bench.container}:/usr/local/share/ca-certificates/fixes.crt"
    subprocess.run(["docker", "cp", bench.files / "cert.pem", authority], check=True, capture_output=True)
    # A file system that can be filled, and no larger than what the rows need.
    bench.sh(
        "update-ca-certificates; mkdir -p /opt; mountpoint -q /opt || mount -t tmpfs -o size=256m,mode=0755 none /opt"
    )
    done = play.playbook("site", bench.inventory, life.variables("1.0.0", str(bench.files / "shop-1.0.0")))
    assert done.code == 0, done.output
    bench.words["@current"] = current(bench)


def prepare_access(bench: Bench) -> None:
    bench.sh("apt-get -qq update")


def prepare_diagnosis(bench: Bench) -> None:
    prepare_service(bench)
    done = play.playbook("release", bench.inventory, life.variables("2.0.0", str(bench.files / "shop-2.0.0")))
    assert done.code == 0, done.output
    unit = f"[Service]\\nExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 {life.DATABASE}\\n"
    bench.sh(
        f"printf '{unit}' > /etc/systemd/system/database.service; systemctl daemon-reload; systemctl restart database"
    )


def prepare_building(bench: Bench) -> None:
    """Go, git, and a user with a repository of the sample service."""
    asked = [str(find_go()), "env", "GOROOT"]
    root = subprocess.run(asked, env=go_environment(), check=True, capture_output=True, text=True).stdout.strip()
    bench.sh(
        "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y git >/dev/null 2>&1;"
        f" id {building.USER} >/dev/null 2>&1 || useradd --create-home {building.USER};"
        f" rm -rf {building.SOURCES} {building.OUT} /usr/local/go; mkdir {building.SOURCES} {building.OUT}"
    )
    for source, target in ((root, "/usr/local/go"), (APP, f"{building.SOURCES}/base")):
        subprocess.run(["docker", "cp", source, f"{bench.container}:{target}"], check=True, capture_output=True)
    bench.sh(
        f"chown -R {building.USER}: {building.SOURCES} {building.OUT};"
        + building.as_builder("base", f"git init -q; git add -A; {building.COMMIT} -m one")
    )


PREPARE: dict[str, Callable[[Bench], None]] = {
    "diagnosis": prepare_diagnosis,
    "building": prepare_building,
    "programs": prepare_programs,
    "intake": prepare_service,
    "life": prepare_service,
    "settings": prepare_service,
    "playbooks": prepare_service,
    "access": prepare_access,
}
