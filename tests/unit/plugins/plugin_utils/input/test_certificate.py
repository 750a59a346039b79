"""A certificate that clients would not take is seen before a host has it."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._input import certificate
from ansible_collections.slipway.go.plugins.plugin_utils._input.certificate import Certificate, judge
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@functools.lru_cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


def called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def made(
    name: str,
    issuer: str = "",
    names: Any = ("shop.test", "*.shop.test"),
    begin: float = -1,
    end: float = 90,
    extensions: Any = (),
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer or name))
        .public_key(key(name).public_key())
        .serial_number(7)
        .not_valid_before(NOW + begin * DAY)
        .not_valid_after(NOW + end * DAY)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), False)
    for extension in extensions:
        builder = builder.add_extension(extension, False)
    return builder.sign(key(issuer or name), hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(name: str) -> x509.GeneralName:
    if name.startswith("dns:"):
        return x509.DNSName(name[len("dns:") :])
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)


def private(name: str, password: bytes | None = None) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def judged(pem: bytes, names: Any = ("shop.test",), check_chain: bool = True) -> Certificate:
    return judge(pem, names, check_chain, NOW)


def test_a_good_one() -> None:
    found = judged(made("shop") + private("shop"), ["shop.test", "www.shop.test", "*.shop.test", "SHOP.test."])
    assert found == Certificate([], 90.0, "shop.test")


FROM_AN_AUTHORITY = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.test/")
        )
    ]
)


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (made("shop", end=-0.5) + private("shop"), "it ended on 2026-03-02 00:00 UTC"),
        (made("shop", begin=1) + private("shop"), "it is valid only from 2026-03-03 12:00 UTC"),
        (
            made("shop", names=["other.test"]) + private("shop"),
            "it is for other.test, and not for shop.test of proxy_names",
        ),
        (made("shop", names=["*.shop.test"]) + private("shop"), "it is for *.shop.test, and not for shop.test"),
        (made("shop", names=()) + private("shop"), "it has no subject alternative name"),
        (made("shop") + private("other"), "the key in the file belongs to another certificate"),
        (
            made("root") + made("shop", "root") + private("shop"),
            "has to be the first in the file, and the key belongs to number 2",
        ),
        (
            made("shop", "root") + made("other") + private("shop"),
            "shop was issued by root, and what follows in the file is other",
        ),
        (
            made("shop", "root", extensions=[FROM_AN_AUTHORITY]) + private("shop"),
            "the certificate of root has to follow",
        ),
        (made("shop", "ca") + made("ca", "root", end=-1) + private("shop"), "the certificate of ca in its chain ended"),
        (
            made("shop", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])]) + private("shop"),
            "it is not for servers",
        ),
        (b"", "holds no certificate"),
        (private("shop"), "holds no certificate"),
        (made("shop"), "holds no private key"),
        (made("shop") + private("shop") + private("other"), "holds 2 private keys"),
        (made("shop") + private("shop", b"secret"), "encrypted with a password"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + private("shop"),
            "certificate 1 what cannot",
        ),
        (
            made("shop") + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "a private key that cannot be read",
        ),
    ],
)
def test_what_clients_would_not_take(pem: bytes, said: str) -> None:
    found = judged(pem)
    assert any(said in problem for problem in found.problems), found
    assert not any(problem.endswith(".") for problem in found.problems)


@pytest.mark.parametrize(
    "pem",
    [
        made("shop", "ca") + made("ca", "root") + private("shop"),
        made("shop", "root") + private("shop"),  # an authority of your own, whom clients know
        private("shop") + made("shop"),
        made("shop", names=["192.0.2.1", "shop.test"]) + private("shop"),
    ],
)
def test_what_is_no_problem(pem: bytes) -> None:
    assert judged(pem).problems == []


def test_the_chain_may_be_somebody_else_s_business() -> None:
    pem = made("shop", "root", extensions=[FROM_AN_AUTHORITY]) + private("shop")
    assert judged(pem, check_chain=False).problems == []


def test_an_authority_that_the_controller_trusts_need_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_known_roots", lambda: {called("root")})
    assert judged(made("shop", "root", extensions=[FROM_AN_AUTHORITY]) + private("shop")).problems == []


def test_a_chain_whose_next_authority_is_missing_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two intermediate ones, and only the first of them is in the file."""
    leaf = made("shop", "inner", extensions=[FROM_AN_AUTHORITY])
    pem = leaf + made("inner", "outer", names=(), extensions=[FROM_AN_AUTHORITY]) + private("shop")
    monkeypatch.setattr(certificate, "_known_roots", lambda: {called("root")})
    said = ["its chain is incomplete: the certificate of outer has to follow inner in the file"]
    assert judged(pem).problems == said
    whole = pem + made("outer", "root", names=(), extensions=[FROM_AN_AUTHORITY])
    assert judged(whole).problems == []
    # It was signed also by an authority that nobody knows any more.
    assert judged(whole + made("root", "gone", names=(), extensions=[FROM_AN_AUTHORITY])).problems == []


@pytest.mark.parametrize("name", ["203.0.113.7", "*.0.113.7"])
def test_an_address_is_covered_by_no_name(name: str) -> None:
    pem = made("shop", names=[f"dns:{name}"]) + private("shop")
    assert judged(pem, ["203.0.113.7"]).problems == [f"it is for {name}, and not for 203.0.113.7 of proxy_names"]


def test_an_address_is_covered_by_itself() -> None:
    pem = made("shop", names=["203.0.113.7", "2001:db8::7"]) + private("shop")
    assert judged(pem, ["203.0.113.7", "2001:DB8:0::7", "[2001:db8::7]"]).problems == []


def test_the_first_of_the_chain_that_ends_counts() -> None:
    assert judged(made("shop", "ca") + made("ca", "root", end=3) + private("shop")).days == 3


@pytest.mark.parametrize(
    ("names", "host"),
    [(["*.shop.test"], "www.shop.test"), (["*.a.test", "b.test"], "b.test"), (["192.0.2.1"], "192.0.2.1")],
)
def test_a_host_that_it_is_for(names: list[str], host: str) -> None:
    assert judged(made("shop", names=names) + private("shop"), []).host == host


def test_patterns_of_nginx_are_not_compared() -> None:
    assert judged(made("shop") + private("shop"), ["www.shop.*", ".shop.test", "a*.shop.test"]).problems == []


@given(st.binary(max_size=60), st.integers(0, 400))
def test_any_file_is_judged(noise: bytes, where: int) -> None:
    pem = made("shop") + private("shop")
    assert judged(pem[:where] + noise + pem[where + len(noise) :]).problems is not None
