"""The examples of the README, the guides and the roles' pages that release something, word for word, on a bare host."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import play
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CHECKOUT = Path(__file__).resolve().parents[2]
TLS = "roles/proxy/README.md", "proxy_tls_certificate"
PASSWORD = "correct horse battery staple"


def block(page: str, holds: str) -> str:
    """The one YAML example of that page that holds this text."""
    blocks = re.findall(r"^```ya?ml\n(.*?)^```", (CHECKOUT / page).read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if holds in text]
    return str(found)


def certificate(path: Path, name: str, days: float = 30) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    path.parent.mkdir(exist_ok=True)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)


class Site:
    """A folder as an operator has it: inventory, group_vars, the build, and whatever the example names."""

    def __init__(self, folder: Path, fleet: Any, binaries: Path, host: Any) -> None:
        self.folder, self.host = folder, host
        (folder / "inventory.yml").write_text(fleet.inventory.read_text())
        (folder / "build").mkdir()
        (folder / "build" / "shop-linux-amd64").symlink_to(binaries / "shop-2.0.0")
        (folder / "group_vars").mkdir()

    def write(self, *examples: tuple[str, str]) -> None:
        (self.folder / "group_vars" / "all.yml").write_text("\n".join(block(*example) for example in examples))

    def run(self, name: str, **more: Any) -> play.Play:
        extra = json.dumps(
            {"site_harden": False, "deploy_user_keys": [], "release_soak_time": 1, "bootstrap_user": "root", **more}
        )
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventory.yml", name, "--limit", self.host.name, "-e", extra],
            env=play.environment(), cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return play.Play(done.returncode, 0.0, done.stdout + done.stderr)

    def curl(self, *arguments: str) -> str:
        ask = ["curl", "-s", "--max-time", "20", *arguments]
        return subprocess.run(ask, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def site(tmp_path: Path, fleet: Any, binaries: Path) -> Any:
    made = Site(tmp_path, fleet, binaries, fleet.hosts[0])
    yield made
    fleet.retire("shop")
    remove = {"proxy_state": "absent", "proxy_swap": "proxy", "proxy_service": "shop"}
    (tmp_path / "remove.yml").write_text(json.dumps([
        {"hosts": "all", "become": True, "gather_facts": False, "roles": ["slipway.go.proxy"],
         "vars": {**remove, "proxy_listen": ["80"], "proxy_tls_listen": [], "proxy_tls_certificate": ""}}
    ]))  # fmt: skip
    if made.host.exists("/etc/haproxy"):
        made.run("remove.yml", **remove, proxy_tls_listen=[], proxy_tls_certificate="", proxy_server="haproxy")
    made.host.run("sh", "-c", "rm -rf /opt/shop /var/lib/slipway/shop /etc/haproxy/slipway.live/shop.cfg")


def test_the_tls_example(site: Any) -> None:
    """What users meet is asked, by TLS: nothing is rolled back, and an upgrade is really judged."""
    pem = site.folder / "secrets" / "shop.pem"
    certificate(pem, "shop.example.com")
    site.write(TLS)
    done = site.run("slipway.go.site")
    assert done.code == 0, done.output[-4000:]
    address = site.host.address
    assert "308" in site.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{address}/version")
    secure = ["--cacert", str(pem), "--resolve", f"shop.example.com:443:{address}", "https://shop.example.com/version"]
    assert json.loads(site.curl(*secure))["version"] == "2.0.0"

    upgrade = site.run("slipway.go.release", release_version="2.0.1")
    assert upgrade.code == 0, upgrade.output[-4000:]
    assert "inconclusive" not in upgrade.output
    events = [json.loads(line) for line in site.host.run("cat", "/var/lib/slipway/shop/journal.jsonl").splitlines()]
    probes = [event["probe"] for event in events if event.get("probe")]
    assert [probe["target"] for probe in probes] == ["https://shop.example.com/readyz"] * 2
    assert all(probe["after"]["sent"] > 5 and probe["after"]["failed"] == 0 for probe in probes), probes

    # A probe that meets only the redirect says nothing, and this is said.
    blind = site.run("slipway.go.release", release_version="2.0.2", release_probe={"url": "http://127.0.0.1:80/readyz"})
    assert blind.code == 0, blind.output[-4000:]
    assert "The probe is inconclusive: each of its" in " ".join(blind.output.split())
    assert "; inconclusive" in site.host.run("slipway", "history", "shop")

    soon = {"days": 5.0}
    for name, days, code, said in (
        ("shop.example.com", -1, 2, "it ended on"),
        ("other.example.com", 30, 2, "it is for other.example.com, and not for shop.example.com of proxy_names"),
        ("shop.example.com", soon["days"], 0, "ends in 5.0 days"),
    ):
        before = site.host.run("sha256sum", "/etc/slipway-haproxy/shop.pem")
        certificate(pem, name, days)
        refused = site.run("slipway.go.site", release_version="2.0.2")
        assert refused.code == code, refused.output[-4000:]
        assert said in " ".join(refused.output.split())
        if code:
            assert refused.recap[site.host.name]["changed"] == 0
            assert site.host.run("sha256sum", "/etc/slipway-haproxy/shop.pem") == before


@pytest.mark.parametrize(
    ("examples", "more"),
    [
        (
            [("README.md", "deploy_user_keys"), ("roles/release/README.md", "max_p99_ratio")],
            {"release_smoke": [["/usr/bin/true"]]},
        ),
        (
            [("README.md", "deploy_user_keys"), ("roles/proxy/README.md", "proxy_server: nginx")],
            {"release_health": {"url": "http://127.0.0.1:8080/readyz"}},
        ),
        (
            [("README.md", "deploy_user_keys"), ("roles/service/README.md", "DATABASE_URL")],
            {"vault_database_url": PASSWORD},
        ),
        (
            [("README.md", "deploy_user_keys"), ("docs/guide/secrets.md", "vault_database_password: correct")],
            {},
        ),
    ],
    ids=["the README's, with a probe", "nginx in front", "the service's configuration", "credentials"],
)
def test_an_example(site: Any, examples: list[tuple[str, str]], more: dict[str, Any]) -> None:
    site.write(*examples)
    (site.folder / "templates").mkdir()
    (site.folder / "templates" / "shop.toml.j2").write_text("greeting = 'hello'\n")
    done = site.run("slipway.go.site", **more)
    assert done.code == 0, done.output[-4000:]
    assert PASSWORD not in done.output
    assert site.host.current("shop").startswith("2.0.0-")
