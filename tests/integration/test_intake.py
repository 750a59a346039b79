"""Artefacts from a server, from the host itself and in archives: what is proven arrives, the rest leaves no trace."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import play
import pytest
import web
from minisigner import Signer

SERVICE = "store"
HOST = 0
PORT = 7171
SECRET = "hunter2"
CA = "/usr/local/share/ca-certificates/slipway-test.crt"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(*files: tuple[str, bytes, int], link: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tape:
        if link:
            info = tarfile.TarInfo("assets")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tape.addfile(info)
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tape.addfile(info, io.BytesIO(content))
    return made.getvalue()


def traces(host: Any) -> str:
    """Everything an intake could leave behind; who has the lock and what the watch has seen is no such thing."""
    places = f"/opt/{SERVICE} /var/lib/slipway/{SERVICE} /var/tmp /etc/cron.d"
    others = " ".join(f"-not -name {name}" for name in ("lock", "watch.json", "verified.json"))
    found = host.run(
        "sh", "-c", f"find {places} -type d -printf '%p %m\\n' -o {others} -printf '%p %m %s %T@ %l\\n' | sort"
    )
    return "\n".join(line for line in found.splitlines() if "systemd-private" not in line)


class Shelf:
    """The server, and the files on it."""

    def __init__(self, server: web.Server) -> None:
        self.server = server

    def put(self, path: str, data: bytes) -> str:
        self.server.paths[path] = web.body(data)
        return self.server.url(path)


@pytest.fixture(scope="module")
def shelf(fleet: Any, tmp_path_factory: Any) -> Iterator[Shelf]:
    """An https server that the hosts reach and trust."""
    route = fleet.hosts[0].run("ip", "route", "show", "default").split()
    address = route[route.index("via") + 1]
    folder = tmp_path_factory.mktemp("tls")
    web.certificate(folder, address)
    for host in fleet.hosts:
        subprocess.run(["docker", "cp", folder / "cert.pem", f"{host.container}:{CA}"], check=True, capture_output=True)
        host.run("update-ca-certificates")
    server = web.Server(address, folder)
    yield Shelf(server)
    server.close()
    for host in fleet.hosts:
        host.run("sh", "-c", f"rm {CA}; update-ca-certificates --fresh")


@pytest.fixture(scope="module")
def programs(binaries: Path) -> dict[str, bytes]:
    return {version: (binaries / f"shop-{version}").read_bytes() for version in ("1.0.0", "2.0.0", "3.0.0", "arm64")}


def variables(version: str, source: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": source,
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6},
        "release_soak_time": 0,
        **more,
    }


@pytest.fixture(scope="module")
def store(fleet: Any, shelf: Shelf, programs: dict[str, bytes]) -> Any:
    """The host runs 1.0.0, which it has fetched itself."""
    url = shelf.put("/1.0.0/store", programs["1.0.0"])
    done = fleet.play("site", variables("1.0.0", url, release_checksum=sha(programs["1.0.0"])))
    assert done.code == 0, done.output
    for host in fleet.hosts:
        assert host.current(SERVICE).startswith("1.0.0-")
    yield fleet
    fleet.retire(SERVICE)


def origin(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.run("cat", f"/opt/{SERVICE}/current/release.json"))["origin"]
    return found


def test_what_is_there_is_not_fetched_again(store: Any, shelf: Shelf, programs: dict[str, bytes]) -> None:
    before = len(shelf.server.requests)
    values = variables("1.0.0", shelf.server.url("/1.0.0/store"), release_checksum=sha(programs["1.0.0"]))
    again = store.play("release", values)
    assert again.code == 0, again.output
    assert {host["changed"] for host in again.recap.values()} == {0}
    assert len(shelf.server.requests) == before
    for host in store.hosts:
        assert origin(host)["source"] == shelf.server.url("/1.0.0/store")
        assert "slipway-intake" not in host.run("ls", "/var/tmp")


@dataclass(frozen=True)
class Refusal:
    """The code that the module fails with, words of its message, and what it was called with."""

    code: str
    words: tuple[str, ...]
    call: play.Call


def refusal(code: str, *words: str, check: bool = False, **arguments: Any) -> Refusal:
    given = {"name": SERVICE, "version": "9.9.9", "listen": [str(PORT)], **arguments}
    return Refusal(code, words, play.Call(given, check))


def refuse(store: Any, *expected: Refusal) -> None:
    """The module fails with each of these codes, and nothing is different afterwards."""
    before = [traces(host) for host in store.hosts]
    told = play.modules("slipway.go.release", [one.call for one in expected], store.inventory)
    for one, results in zip(expected, told, strict=True):
        for result in results.values():
            assert result.get("code") == one.code, result
            assert result["failed"] is True
            for word in one.words:
                assert word in result["msg"]
            assert SECRET not in json.dumps(result)
    assert [traces(host) for host in store.hosts] == before


def test_another_checksum(store: Any, shelf: Shelf, programs: dict[str, bytes]) -> None:
    url = shelf.put("/bad/store", programs["2.0.0"]).replace("://", f"://me:{SECRET}@") + f"?{SECRET}"
    wrong = {"src": url, "checksum": "0" * 64}
    refuse(store, *(refusal("wrong_checksum", sha(programs["2.0.0"]), check=check, **wrong) for check in (False, True)))


def test_what_the_server_does_wrong(store: Any, shelf: Shelf) -> None:
    shelf.server.paths["/down"] = web.redirect("http://192.0.2.1/store")
    large = shelf.put("/large", b"x" * (2 << 20))
    page = shelf.put("/page", b"<html>log in first</html>")
    refuse(
        store,
        refusal("not_fetched", "404", src=shelf.server.url("/nothing"), checksum="0" * 64),
        refusal("insecure_redirect", src=shelf.server.url("/down"), checksum="0" * 64),
        refusal("artefact_too_large", src=large, checksum="0" * 64, max_size=1),
        refusal("not_elf", src=page, checksum=sha(b"<html>log in first</html>")),
    )


def test_the_host_judges_what_it_fetches(store: Any, shelf: Shelf, programs: dict[str, bytes], tmp_path: Path) -> None:
    denylist = tmp_path / "denied"
    denylist.write_text("stdlib <v99.0 # every Go there is\n")
    foreign = Path("/bin/ls").read_bytes().replace(b"/ld-linux-x86-64.so.2", b"/ld-linux-x86-64.so.9")
    other = {"src": shelf.put("/arm64/store", programs["arm64"]), "checksum": sha(programs["arm64"])}
    denied = {"src": shelf.put("/2.0.0/store", programs["2.0.0"]), "checksum": sha(programs["2.0.0"])}
    denied["policy"] = {"denylist": str(denylist)}
    unknown = {"src": shelf.put("/foreign/store", foreign), "checksum": sha(foreign)}
    refuse(
        store,
        *(refusal("wrong_architecture", "arm64", check=check, **other) for check in (True, False)),
        *(refusal("policy_denied_module", "every Go", check=check, **denied) for check in (True, False)),
        refusal("interpreter_missing", unknown["src"], check=True, **unknown),
    )


def test_what_the_host_has_is_judged_by_the_rules_of_today(
    store: Any, shelf: Shelf, programs: dict[str, bytes], tmp_path: Path
) -> None:
    """The release that serves, by its URL; it was accepted when there were no rules, and is not fetched again."""
    denylist = tmp_path / "denied"
    denylist.write_text("stdlib <v99.0\n")
    known = {"version": "1.0.0", "src": shelf.server.url("/1.0.0/store"), "checksum": sha(programs["1.0.0"])}
    before = len(shelf.server.requests)
    rules = (
        ("policy_go_version", {"min_go_version": "99.0"}),
        ("policy_main_module", {"main_module": "example.com/other"}),
        ("policy_vcs_unknown", {"require_vcs_clean": True}),
        ("policy_denied_module", {"denylist": str(denylist)}),
        ("version_not_named", {"version_binding": "required"}),
    )
    refuse(
        store,
        *(refusal(code, check=check, **known, policy=policy) for code, policy in rules for check in (False, True)),
    )
    assert len(shelf.server.requests) == before


def test_a_signed_old_version_is_not_a_new_one(store: Any, shelf: Shelf, programs: dict[str, bytes]) -> None:
    signer, program = Signer(), programs["1.0.0"]
    minisig = shelf.put("/1.0.0/store.minisig", signer.sign(program, "timestamp:1\tfile:store-1.0.0\thashed"))
    source = {"src": shelf.server.url("/1.0.0/store"), "minisign_keys": [signer.public]}
    itself = {**source, "checksum": sha(program), "signature": minisig}
    sums = f"{sha(program)}  1.0.0/store\n".encode()
    listed = {**source, "checksum": shelf.put("/1.0.0/SHA256SUMS", sums), "signature_of": "checksums"}
    listed["signature"] = shelf.put("/1.0.0/SHA256SUMS.minisig", signer.sign(sums))
    refuse(
        store,
        refusal("version_mismatch", "9.9.9", "store-1.0.0", **itself),
        refusal("version_mismatch", "1.0.0/store", check=True, **listed),
    )


def test_preflight_names_it_for_every_host(store: Any, shelf: Shelf, programs: dict[str, bytes]) -> None:
    before = [traces(host) for host in store.hosts]
    url = shelf.put("/arm64/store", programs["arm64"])
    done = store.play("preflight", variables("9.9.9", url, release_checksum=sha(programs["arm64"])))
    said = " ".join(done.output.split())
    assert done.code != 0
    for host in store.hosts:
        assert f"{host.name} wrong_architecture" in said
    assert [traces(host) for host in store.hosts] == before


def test_signatures(store: Any, shelf: Shelf, programs: dict[str, bytes], tmp_path: Path) -> None:
    """Both kinds, of the artefact and of the checksums file: refused first, then released."""
    signer, stranger = Signer(), Signer()
    program = programs["2.0.0"]
    url = shelf.put("/2.0.0/store", program)
    minisig = shelf.put("/2.0.0/store.minisig", signer.sign(program))
    tampered = shelf.put("/2.0.0/other.minisig", signer.sign(program).replace(b"comment: a test", b"comment: a Test"))
    signed = {"src": url, "checksum": sha(program), "signature": minisig}

    for name in ("one", "two"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", tmp_path / name]
        subprocess.run(argv, check=True)
    (tmp_path / "store").write_bytes(program)
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", tmp_path / "one", "-n", "file", tmp_path / "store"]
    subprocess.run(argv, check=True, capture_output=True)
    for name in ("one", "two"):
        (tmp_path / f"{name}.signers").write_text(f"release@example.com {(tmp_path / f'{name}.pub').read_text()}")
    by_ssh = {**signed, "signature": str(tmp_path / "store.sig"), "allowed_signers": str(tmp_path / "two.signers")}
    refuse(
        store,
        *(refusal("bad_signature", check=check, **signed, minisign_keys=[stranger.public]) for check in (False, True)),
        refusal("bad_signature", **{**signed, "signature": tampered}, minisign_keys=[signer.public]),
        refusal("bad_signature", **by_ssh),
    )

    values = variables("2.0.0", url, release_checksum=sha(program), release_signature=str(tmp_path / "store.sig"))
    done = store.play("release", {**values, "release_allowed_signers": str(tmp_path / "one.signers")})
    assert done.code == 0, done.output
    for host in store.hosts:
        assert host.current(SERVICE).startswith("2.0.0-")
        assert origin(host)["signer"].startswith("ssh release@example.com SHA256:")

    sums = f"{sha(program)}  ./store\n{'0' * 64}  other\n".encode()
    values = variables("2.0.0", url, release_checksum=shelf.put("/2.0.0/SHA256SUMS", sums))
    values["release_signature"] = shelf.put("/2.0.0/SHA256SUMS.minisig", signer.sign(sums))
    values.update(release_signature_of="checksums", release_minisign_keys=[stranger.public, signer.public])
    fetched = shelf.server.asked("/2.0.0/store")
    done = store.play("release", values)
    assert done.code != 0, "the first key has that id, and has not signed"
    values["release_minisign_keys"] = [signer.public]
    done = store.play("release", values)
    assert done.code == 0, done.output
    assert {host["changed"] for host in done.recap.values()} == {0}
    assert shelf.server.asked("/2.0.0/store") == fetched, "the checksum is known, so the artefact is"


def test_a_signature_of_what_the_controller_has(store: Any, binaries: Path, tmp_path: Path) -> None:
    signer = Signer()
    program = (binaries / "shop-3.0.0").read_bytes()
    (tmp_path / "sig").write_bytes(signer.sign(program + b"\0"))
    source = {"src": str(binaries / "shop-3.0.0"), "signature": str(tmp_path / "sig"), "minisign_keys": [signer.public]}
    refuse(store, *(refusal("bad_signature", check=check, **source) for check in (False, True)))
    (tmp_path / "sig").write_bytes(signer.sign(program))
    more = {"release_signature": str(tmp_path / "sig"), "release_minisign_keys": [signer.public]}
    done = store.play("release", variables("3.0.0", str(binaries / "shop-3.0.0"), **more))
    assert done.code == 0, done.output
    for host in store.hosts:
        assert host.current(SERVICE).startswith("3.0.0-")
        assert origin(host)["signer"].startswith("minisign ")


def provenance(sha256: str, signer: Signer, place: Path) -> str:
    """A file with a signed statement about the artefact with that digest."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": SERVICE, "digest": {"sha256": sha256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"buildType": "https://example.com/build@v1", "externalParameters": {}},
            "runDetails": {"builder": {"id": "https://ci.example.com/release"}},
        },
    }
    payload, kind = json.dumps(statement).encode(), "application/vnd.in-toto+json"
    signature = signer.sign_plainly(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    envelope = {
        "payloadType": kind,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }
    place.write_text(json.dumps(envelope))
    return str(place)


def test_a_provenance_that_was_forged(store: Any, binaries: Path, tmp_path: Path) -> None:
    """Each host judges it; a good one is accepted by the same host in the same way."""
    builder, program = Signer(), binaries / "shop-3.0.0"
    digest = sha(program.read_bytes())
    rules = {"provenance_required": True, "provenance_builder": ["https://ci.example.com/*"]}
    given = {"version": "3.0.0", "src": str(program), "minisign_keys": [builder.public], "policy": rules}
    good = provenance(digest, builder, tmp_path / "good")
    refuse(
        store,
        refusal("unknown_signer", **given, provenance=provenance(digest, Signer(), tmp_path / "stranger")),
        refusal("wrong_provenance", **given, provenance=provenance("0" * 64, builder, tmp_path / "other")),
    )
    call = play.Call({"name": SERVICE, "listen": [str(PORT)], **given, "provenance": good}, True)
    (told,) = play.modules("slipway.go.release", [call], store.inventory)
    assert all(str(result.get("current")).startswith("3.0.0-") for result in told.values()), told


def test_an_archive_with_assets(store: Any, programs: dict[str, bytes], tmp_path: Path) -> None:
    files = (("store-4/store", programs["1.0.0"], 0o755), ("store-4/static/a.css", b"body", 0o666))
    (tmp_path / "store-4.tar.gz").write_bytes(archive(*files))
    told = subprocess.run(
        ["sha256sum", "--tag", "store-4.tar.gz"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    (tmp_path / "SHA256SUMS").write_text(told)
    values = variables("4.0.0", str(tmp_path / "store-4.tar.gz"), release_checksum=str(tmp_path / "SHA256SUMS"))
    for changed in (1, 0):
        done = store.play("release", values)
        assert done.code == 0, done.output
        assert {host["changed"] for host in done.recap.values()} == {changed}
    for host in store.hosts:
        asset = f"/opt/{SERVICE}/current/assets/static/a.css"
        assert host.run("stat", "-c", "%a %U %G", asset) == f"640 root {SERVICE}"
        pid = host.run("systemctl", "show", "-P", "MainPID", f"{SERVICE}@{host.current(SERVICE)}.service")
        assert host.run("cat", f"/proc/{pid}/cwd/assets/static/a.css") == "body"
        as_service = ["setpriv", f"--reuid={SERVICE}", f"--regid={SERVICE}", "--clear-groups", "sh", "-c"]
        assert host.run(*as_service, f"cat {asset}") == "body"
        assert host.run(*as_service, f"echo x >> {asset}; echo no", check=False) == "no"
        assert host.run("cat", asset) == "body"


HOSTILE = {
    "absolute": archive(("store", b"x", 0o755), ("/etc/cron.d/evil", b"x", 0o644)),
    "dots": archive(("store", b"x", 0o755), ("../../../../etc/cron.d/evil", b"x", 0o644)),
    "link": archive(("store", b"x", 0o755), ("assets/evil", b"x", 0o644), link="/etc/cron.d"),
    "setuid": archive(("store", b"x", 0o4755)),
}


def test_hostile_archives(store: Any, shelf: Shelf) -> None:
    urls = {kind: shelf.put(f"/{kind}/store.tar.gz", content) for kind, content in HOSTILE.items()}
    refuse(store, *(refusal("unsafe_archive", src=urls[kind], checksum=sha(HOSTILE[kind])) for kind in HOSTILE))


def test_a_path_on_the_host(store: Any, binaries: Path) -> None:
    for host in store.hosts:
        source = f"{host.container}:/srv/store"
        subprocess.run(["docker", "cp", binaries / "shop-2.0.0", source], check=True, capture_output=True)
        host.run("sh", "-c", "cd /srv && sha256sum --tag store > SUMS")
    refuse(
        store,
        refusal("wrong_checksum", src="/srv/store", remote_src=True, checksum="0" * 64),
        refusal("missing_file", src="/srv/nothing", remote_src=True),
    )
    values = variables("5.0.0", "/srv/store", release_remote_src=True, release_checksum="/srv/SUMS")
    for changed in (1, 0):
        done = store.play("release", values)
        assert done.code == 0, done.output
        assert {host["changed"] for host in done.recap.values()} == {changed}


def test_nothing_secret_is_told(store: Any, shelf: Shelf, programs: dict[str, bytes]) -> None:
    """Neither the play, at any verbosity, nor the host's journal, nor what is remembered has the URL's secrets."""
    url = shelf.put("/6/store", programs["3.0.0"]).replace("://", f"://me:{SECRET}@") + f"?token={SECRET}"
    shelf.server.requests.clear()
    done = store.play("release", variables("6.0.0", url, release_checksum=sha(programs["3.0.0"])), "-vvv")
    assert done.code == 0, done.output
    assert any(SECRET in path for path, _headers in shelf.server.requests), "it was used"
    assert SECRET not in done.output
    for host in store.hosts:
        for command in (
            "journalctl --no-pager",
            f"cat /opt/{SERVICE}/current/release.json /var/lib/slipway/{SERVICE}/*",
        ):
            assert SECRET not in host.run("sh", "-c", f"{command} 2>/dev/null", check=False)
