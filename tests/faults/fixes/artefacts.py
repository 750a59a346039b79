"""What rows of intake.py name on the controller: programs, checksums, keys, signatures, databases and archives."""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import web
from build import APP, build_app, build_releases, find_go, go_environment
from minisigner import Signer

BUILD = """#!/bin/sh
# build-service FOLDER FLAGS…: the sample service from that repository
cd "$(dirname "$0")/$1" && shift && exec {go} build "$@"
"""


def shell(folder: Path, script: str) -> None:
    subprocess.run(["bash", "-ec", script], cwd=folder, check=True, capture_output=True)


def make(folder: Path) -> dict[str, str]:
    """All of them; the words that rows have for keys and digests."""
    build_releases(folder)
    build_app("1.0.0", folder / "shop-arm64", goarch="arm64")
    (folder / "text").write_text("<html>log in first</html>\n")
    shell(
        folder,
        "cp shop-2.0.0 shop-linux-amd64; rm -f built-later shop-arm64-again *.sig ssh-* signed-*;"
        "sha256sum shop-2.0.0 > SUMS; sha256sum shop-1.0.0 > SUMS-other; cat SUMS SUMS > SUMS-twice;"
        "(cut -d' ' -f1 SUMS; cat SUMS-other) > SUMS-unnamed",
    )
    of_an_older_go(folder)
    denylists(folder)
    databases(folder)
    archives(folder)
    repositories(folder)
    return {**signatures(folder), "@sha": (folder / "SUMS").read_text().split()[0]}


def of_an_older_go(folder: Path) -> None:
    """The same program, which says of itself that Go 1.17 has built it: no older toolchain is needed."""
    program = (folder / "shop-2.0.0").read_bytes()
    told = subprocess.run([find_go(), "version", folder / "shop-2.0.0"], check=True, capture_output=True, text=True)
    version = told.stdout.split()[-1]
    old = "go1.17.3".ljust(len(version), "0") if len(version) > len("go1.17.3") else "go1.17.3"[: len(version)]
    (folder / "built-by-1.17").write_bytes(program.replace(version.encode(), old.encode()))
    (folder / "built-by-1.17").chmod(0o755)


def denylists(folder: Path) -> None:
    for name, constraint in (("below", "<v1.22"), ("up-to", "<=v1.17.3"), ("equal", "=v1.17.3")):
        (folder / f"denied-{name}").write_text(f"stdlib {constraint}\n")
    (folder / "denied-broken").write_text("example.com/broken below-1.2.3\n")


def signatures(folder: Path) -> dict[str, str]:
    own, other = Signer(), Signer(b"stranger")
    program = (folder / "shop-2.0.0").read_bytes()
    for name, data, comment in (
        ("shop-2.0.0", program, "a release"),
        ("shop-1.0.0", (folder / "shop-1.0.0").read_bytes(), "a release"),
        ("named", program, "timestamp:1\tfile:shop-2.0.0\thashed"),
        ("version-2.0.0", program, "version:2.0.0"),
        ("SUMS", (folder / "SUMS").read_bytes(), "checksums"),
    ):
        (folder / f"{name}.minisig").write_bytes(own.sign(data, comment))
    good = (folder / "shop-2.0.0.minisig").read_bytes()
    (folder / "changed.minisig").write_bytes(good.replace(b"comment: a release", b"comment: a Release"))
    (folder / "cut.minisig").write_bytes(good[:60])
    for name in ("key", "other"):
        shell(folder, f"ssh-keygen -q -t ed25519 -N '' -C {name} -f ssh-{name}")
        (folder / ("signers" if name == "key" else "signers-other")).write_text(
            f"release@example.com {(folder / f'ssh-{name}.pub').read_text()}"
        )
    shell(folder, "ssh-keygen -q -Y sign -f ssh-key -n file shop-2.0.0")
    return {"@key": own.public, "@other-key": other.public}


def database(folder: Path, modified: datetime.date, module: str = "example.com/other", **fields: Any) -> None:
    entry = {
        "schema_version": "1.3.1",
        "id": "GO-2026-0001",
        "modified": f"{modified}T00:00:00Z",
        "published": "2026-01-02T03:04:05Z",
        "summary": "Something in it goes wrong",
        "affected": [
            {
                "package": {"name": module, "ecosystem": "Go"},
                "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
                "ecosystem_specific": {},
            }
        ],
        "database_specific": {"url": "https://example.com/GO-2026-0001"},
        **fields,
    }
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "ID").mkdir(parents=True)
    (folder / "ID" / "GO-2026-0001.json").write_text(json.dumps(entry))


def databases(folder: Path) -> None:
    today = datetime.datetime.now(datetime.timezone.utc).date()
    database(folder / "database", today)
    database(folder / "database-old", today - datetime.timedelta(days=400))
    database(folder / "database-future", today + datetime.timedelta(days=30))
    database(folder / "database-undated", datetime.date.min)
    database(folder / "database-broken", today)
    (folder / "database-broken/ID/GO-2026-0001.json").write_text("{")
    database(folder / "database-of-shop", today, "stdlib")
    database(folder / "database-of-main", today, "example.com/slipway/shop")
    sbom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": []}
    (folder / "sbom.json").write_text(json.dumps(sbom))
    (folder / "broken.yml.j2").write_text("a: {{ fixes_undefined }}\n")
    shutil.rmtree(folder / "database-empty", ignore_errors=True)
    (folder / "database-empty").mkdir()


def archives(folder: Path) -> None:
    shell(
        folder,
        "rm -rf tree two linked setuid; mkdir tree two linked setuid;"
        "for name in tree/store two/one two/other linked/store setuid/store; do cp shop-2.0.0 $name; done;"
        "echo body > style.css; ln -s ../style.css linked/asset; chmod u+s setuid/store;"
        "tar -czf two.tar.gz -C two one other; mkdir -p tree/assets;"
        "head -c 20000000 /dev/zero > tree/assets/zeros; tar -czf large.tar.gz -C tree store assets;"
        "head -c 1000000 large.tar.gz > cut.tar.gz; tar -czf link.tar.gz -C linked store asset;"
        "tar -czf setuid.tar.gz -C setuid store; tar -cPzf absolute.tar.gz -C / $PWD/tree/store;"
        "tar -czf twice.tar.gz --hard-dereference -C tree store store;"
        "printf 'PK\\003\\004' > store.zip; cat text >> store.zip",
    )


def repositories(folder: Path) -> None:
    """The sample service in two repositories; one has a change, of which its program was built."""
    script = folder / "bin" / "build-service"
    script.parent.mkdir(exist_ok=True)
    script.write_text(BUILD.format(go=find_go()).replace('"$(dirname "$0")/$1"', f'"{folder}/$1"'))
    script.chmod(0o755)
    for name in ("repository", "modified"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(APP, folder / name)
        shell(
            folder / name,
            "git init -q; git add -A; git -c user.name=a -c user.email=a@example.com commit -q -m one",
        )
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other/go.mod").write_text("module example.com/other\n\ngo 1.25\n")
    (folder / "other/main.go").write_text("package main\n\nfunc main() {}\n")
    build(folder, "build-service other -o ../other-service")
    with (folder / "modified" / "go.mod").open("a") as file:
        file.write("// changed\n")
    build(folder, "build-service modified -buildvcs=true -o ../built-modified")


def build(folder: Path, script: str) -> None:
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    subprocess.run(["bash", "-ec", script], cwd=folder, env={**go_environment(), "PATH": path}, check=True)


def private(content: bytes) -> web.Answer:
    """An answer for those who have the token."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        allowed = request.headers.get("Authorization") == "Bearer TOKEN"
        (web.body(content) if allowed else web.status(401))(request)

    return answer


@contextlib.contextmanager
def servers(folder: Path, address: str) -> Iterator[dict[str, str]]:
    """One with TLS and one without; the certificate is folder/cert.pem."""
    web.certificate(folder, address)
    secure, plain = web.Server(address, folder), web.Server(address)
    program, sums = (folder / "shop-2.0.0").read_bytes(), (folder / "SUMS").read_bytes()
    for server in (secure, plain):
        server.paths.update({"/shop-2.0.0": web.body(program), "/SUMS": web.body(sums)})
    secure.paths["/down"] = web.redirect(plain.url("/shop-2.0.0"))
    secure.paths["/private/shop-2.0.0"] = private(program)
    try:
        yield {"@url": secure.url("").rstrip("/"), "@http": plain.url("").rstrip("/")}
    finally:
        secure.close()
        plain.close()
