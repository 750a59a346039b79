# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What speaks against serving a certificate, seen on the controller. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import ssl
import warnings
from typing import Any, NamedTuple, Optional, Sequence

# ansible-core brings it along, but ansible-test imports every plugin where nothing is installed.
with contextlib.suppress(ImportError):
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class Certificate(NamedTuple):
    """A certificate with its chain and key. days are those left of the first of the chain to end."""

    problems: list[str]
    days: Optional[float]
    host: Optional[str]


class _Unreadable(ValueError):
    """Something in the file that no server could use; the text is a sentence's end."""


def judge(pem: bytes, names: Sequence[str], check_chain: bool, now: datetime.datetime) -> Certificate:
    """The certificate of a PEM file as a server would use it, for these host names."""
    try:
        chain, key = _parsed(pem)
    except _Unreadable as error:
        return Certificate([f"the file {error}"], None, None)
    leaf = chain[0]
    problems = [
        *_dates(chain, now),
        *_names(leaf, names),
        *_key(chain, key),
        *_purpose(leaf),
        *(_chain(chain) if check_chain else []),
    ]
    left = min(_end(one) for one in chain) - now
    return Certificate(problems, left.total_seconds() / 86400, _host(leaf))


def _parsed(pem: bytes) -> tuple[list[x509.Certificate], Any]:
    chain: list[x509.Certificate] = []
    keys: list[Any] = []
    for block in _BLOCK.finditer(pem):
        kind = block.group(1)
        if kind == b"CERTIFICATE":
            chain.append(_certificate(block.group(), len(chain) + 1))
        elif kind.endswith(b"PRIVATE KEY"):
            keys.append(_private_key(block.group()))
    if not chain:
        raise _Unreadable("holds no certificate")
    if len(keys) != 1:
        raise _Unreadable(f"holds {len(keys)} private keys, and it takes one" if keys else "holds no private key")
    return chain, keys[0]


def _certificate(block: bytes, number: int) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _Unreadable(f"holds as certificate {number} what cannot be read as one") from error


def _private_key(block: bytes) -> Any:
    try:
        return load_pem_private_key(block, None)
    except TypeError as error:
        raise _Unreadable("holds a key that is encrypted with a password, which nobody enters on the host") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _Unreadable("holds a private key that cannot be read") from error


def _dates(chain: Sequence[x509.Certificate], now: datetime.datetime) -> list[str]:
    found = []
    for number, one in enumerate(chain):
        what = "it" if number == 0 else f"the certificate of {_subject(one)} in its chain"
        if _end(one) <= now:
            found.append(f"{what} ended on {_end(one):%Y-%m-%d %H:%M} UTC")
        elif _begin(one) > now:
            found.append(f"{what} is valid only from {_begin(one):%Y-%m-%d %H:%M} UTC")
    return found


def _names(leaf: x509.Certificate, wanted: Sequence[str]) -> list[str]:
    there = _alternative_names(leaf)
    if not there:
        return ["it has no subject alternative name, and clients do not look at its common name"]
    names, addresses = _dns_names(leaf), _addresses(leaf)
    missing = [
        name
        for name in wanted
        if _plain(name)
        # Clients look for an address among the addresses only, however a name may be spelled.
        and (_address(name) not in addresses if _address(name) else not any(_covers(one, name) for one in names))
    ]
    if not missing:
        return []
    return [f"it is for {', '.join(there)}, and not for {', '.join(missing)} of proxy_names"]


def _plain(name: str) -> bool:
    """nginx knows more patterns than certificates: those cannot be compared."""
    return "*" not in name[1:] and not name.startswith(".") and (name[:1] != "*" or name[1:2] == ".")


def _covers(there: str, name: str) -> bool:
    there, name = there.lower().rstrip("."), name.lower().rstrip(".")
    return there == name or (
        there.startswith("*.") and not name.startswith("*") and name.partition(".")[2] == there[2:]
    )


def _address(name: str) -> Optional[str]:
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return None


def _alternative_names(leaf: x509.Certificate) -> list[str]:
    return _dns_names(leaf) + _addresses(leaf)


def _dns_names(leaf: x509.Certificate) -> list[str]:
    names = _subject_alternative_name(leaf)
    return names.get_values_for_type(x509.DNSName) if names is not None else []


def _addresses(leaf: x509.Certificate) -> list[str]:
    names = _subject_alternative_name(leaf)
    return [str(one) for one in names.get_values_for_type(x509.IPAddress)] if names is not None else []


def _subject_alternative_name(leaf: x509.Certificate) -> Optional[x509.SubjectAlternativeName]:
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _key(chain: Sequence[x509.Certificate], key: Any) -> list[str]:
    wanted = _public(key.public_key())
    owners = [number for number, one in enumerate(chain, 1) if _public(one.public_key()) == wanted]
    if 1 in owners:
        return []
    if owners:
        return [f"its own certificate has to be the first in the file, and the key belongs to number {owners[0]}"]
    return ["the key in the file belongs to another certificate"]


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _purpose(leaf: x509.Certificate) -> list[str]:
    try:
        usage = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return []
    good = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return [] if usage & good else ["it is not for servers"]


def _chain(chain: Sequence[x509.Certificate]) -> list[str]:
    for one, issuer in zip(chain, chain[1:]):
        if not _issued(one, issuer):
            return [
                f"its chain is broken: {_subject(one)} was issued by {_name(one.issuer)}, "
                f"and what follows in the file is {_subject(issuer)}"
            ]
    last = chain[-1]
    if last.subject == last.issuer or not _from_an_authority(last):
        return []
    roots = _known_roots()
    if any(one.issuer in roots for one in chain):  # the last may lead on to an authority that is known no more
        return []
    after = "it" if len(chain) == 1 else _subject(last)
    return [f"its chain is incomplete: the certificate of {_name(last.issuer)} has to follow {after} in the file"]


def _issued(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _from_an_authority(one: x509.Certificate) -> bool:
    """Whether it says where its issuer's certificate is to be had, so that clients are not thought to have it."""
    try:
        access = one.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(way.access_method == AuthorityInformationAccessOID.CA_ISSUERS for way in access)


def _known_roots() -> set[x509.Name]:
    """Whom the controller trusts. What it cannot read of that, it does not know."""
    found = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old authorities that bend the rules
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            with contextlib.suppress(ValueError):
                found.add(x509.load_der_x509_certificate(der).subject)
    return found


def _host(leaf: x509.Certificate) -> Optional[str]:
    """A host that the certificate is for; of a wildcard, one that it covers."""
    there = _alternative_names(leaf)
    plain = [name for name in there if not name.startswith("*")]
    return plain[0] if plain else there[0].replace("*", "www", 1) if there else None


def _subject(one: x509.Certificate) -> str:
    return _name(one.subject) or ", ".join(_alternative_names(one)) or "an unnamed one"


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _utc(one: x509.Certificate, name: str) -> datetime.datetime:
    """cryptography before 42 has no times with a zone."""
    value = getattr(one, f"{name}_utc", None)
    return value if value is not None else getattr(one, name).replace(tzinfo=datetime.timezone.utc)


def _begin(one: x509.Certificate) -> datetime.datetime:
    return _utc(one, "not_valid_before")


def _end(one: x509.Certificate) -> datetime.datetime:
    return _utc(one, "not_valid_after")
