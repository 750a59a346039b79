# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS inside the deadline. Imported only where TLS is spoken. This file is PRIVATE to the collection."""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Optional, Sequence

from ..outcome import FAIL, WARN, CheckFailed
from . import der
from .errors import failure

if TYPE_CHECKING:
    from ..deadline import Deadline
    from ..spec.connection import Tls

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_PARTIAL_CHAIN = 0x80000  # OpenSSL: ca_file may name an intermediate authority; without a name before Python 3.10
_DER = 2  # the encoding, as Python 3.10 to 3.12 number it
_VERIFY_WORDS = {
    10: "its certificate has expired",
    9: "its certificate is not valid yet",
    18: "its certificate is self-signed; name its authority in ca_file",
    19: "its certificate chain ends in an unknown root; name the authority in ca_file",
    20: "its certificate is from an unknown authority; name the authority in ca_file",
    21: "its certificate is from an unknown authority; name the authority in ca_file",
    23: "its certificate is revoked",
    62: "its certificate is for another host name (a name in the subject alone, as its common name, does not count)",
    64: "its certificate is for another IP address",
}


def context(options: Tls, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """The client side of TLS as the check wants it."""
    made = _verifying(options) if options.verify else _trusting()
    made.minimum_version = _VERSIONS[options.min_version]
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if options.client_cert:
        _load_client(made, options)
    return made


def _verifying(options: Tls) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CheckFailed("tls", f"ca_file {options.ca_file}: {_words(error)}") from error
    # Python 3.13 became stricter about the form of certificates and laxer about where a chain may end: the same check
    # says the same on every host.
    made.verify_flags = ssl.VerifyFlags((made.verify_flags & ~ssl.VERIFY_X509_STRICT) | _PARTIAL_CHAIN)
    if ssl.HAS_NEVER_CHECK_COMMON_NAME:  # a Go client reads no host name from the common name of a certificate
        made.hostname_checks_common_name = False
    return made


def _trusting() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _load_client(made: ssl.SSLContext, options: Tls) -> None:
    try:
        # An empty password instead of OpenSSL's prompt on the terminal, which would wait for ever.
        made.load_cert_chain(options.client_cert or "", options.client_key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise CheckFailed("tls", f"client_cert {options.client_cert}: {_words(error)}") from error


def handshake(
    sock: socket.socket, made: ssl.SSLContext, server_name: Optional[str], deadline: Deadline, where: str
) -> ssl.SSLSocket:
    try:
        secured = made.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    except (ValueError, ssl.SSLError) as error:
        raise CheckFailed("tls", f"TLS with {where} as {server_name}: {_words(error)}") from error
    poller = select.poll()
    poller.register(secured)
    while True:
        remaining = deadline.require(f"in the TLS handshake with {where}")
        try:
            secured.do_handshake()
            return secured
        except OSError as error:
            events = _handshake_wants(error, where, secured)
        poller.modify(secured, events)
        poller.poll(int(remaining * 1000) + 1)


def _handshake_wants(error: OSError, where: str, secured: ssl.SSLSocket) -> int:
    try:
        events = wants(error, where)
        if events is None:
            raise CheckFailed("tls", f"{where} closed the connection in the TLS handshake")
    except CheckFailed:
        secured.close()
        raise
    return events


def wants(error: OSError, where: str) -> Optional[int]:
    """What a TLS operation waits for; None at the end of the stream; otherwise raises what went wrong."""
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    if isinstance(error, ssl.SSLWantWriteError):
        return select.POLLOUT
    if isinstance(error, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _VERIFY_WORDS.get(error.verify_code, error.verify_message)
        raise CheckFailed("tls", f"{where}: {words}") from error
    if isinstance(error, ssl.SSLError):
        raise CheckFailed("tls", f"TLS with {where}: {_words(error)}") from error
    raise failure(error, where) from error


def certificate_days(secured: ssl.SSLSocket, verified: bool) -> Optional[float]:
    """Days until the first certificate of the server's chain ends.

    The verified chain has the authority of this host at its end. It leaves out what the server sends in vain, such as
    an old cross-signed authority.
    """
    ends = [end for end in map(der.not_after, _chain(secured, verified)) if end is not None]
    return round((min(ends) - time.time()) / 86400, 2) if ends else None


def _chain(secured: ssl.SSLSocket, verified: bool) -> Sequence[bytes]:
    """The certificates as DER, as Python decodes no unverified one. Before 3.10 it tells of the server's own only."""
    name = "get_verified_chain" if verified else "get_unverified_chain"
    if hasattr(secured, name):
        return list(getattr(secured, name)() or ())
    inner: Any = getattr(secured, "_sslobj", None)
    if hasattr(inner, name):
        return [one.public_bytes(_DER) for one in getattr(inner, name)() or ()]
    own = secured.getpeercert(binary_form=True)
    return [own] if own else []


def judge_certificate(days: Optional[float], options: Tls, where: str) -> Optional[CheckFailed]:
    if days is None:
        return None
    if options.min_days is not None and days < options.min_days:
        return CheckFailed("tls", f"{where}: {_left(days)}, wanted {options.min_days:g}", FAIL)
    if options.warn_days is not None and days < options.warn_days:
        return CheckFailed("tls", f"{where}: {_left(days)}; renew it", WARN)
    return None


def _left(days: float) -> str:
    what = "its certificate or one of its chain"
    return f"{what} has {days:.1f} days left" if days >= 0 else f"{what} expired {-days:.1f} days ago"


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return f"it does not speak TLS there ({str(reason).lower().replace('_', ' ')})"
    if reason:
        return str(reason).lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error)
