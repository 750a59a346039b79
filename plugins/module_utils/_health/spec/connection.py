# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a check reaches the service, and which process has to answer. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .endpoint import Endpoint, parse_address
from .options import Options

FAMILIES = ("any", "4", "6", "both")
TLS_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
_TLS_OPTIONS = frozenset(
    {
        "validate_certs",
        "ca_file",
        "server_name",
        "client_cert",
        "client_key",
        "min_tls_version",
        "min_days",
        "warn_days",
    }
)
CONNECTION_OPTIONS = _TLS_OPTIONS | {"family", "identity"}


@dataclass(frozen=True)
class Identity:
    executable: Optional[str] = None
    unit: Optional[str] = None
    build_id: Optional[str] = None
    shared: bool = False


@dataclass(frozen=True)
class Tls:
    verify: bool = True
    ca_file: Optional[str] = None
    server_name: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    min_version: str = "1.2"
    min_days: Optional[float] = None
    warn_days: Optional[float] = None


@dataclass(frozen=True)
class Connection:
    endpoint: Endpoint
    family: str = "any"
    tls: Optional[Tls] = None
    identity: Optional[Identity] = None

    @property
    def server_name(self) -> Optional[str]:
        """The name to check the certificate against."""
        own = self.tls.server_name if self.tls is not None else None
        return own or self.endpoint.host or None


def parse_stream(options: Options) -> Connection:
    """The connection of a kind that names an address, and not a URL."""
    text = options.text("address") or options.text("unix_socket")
    if text is None:
        raise options.error("address", "is missing", "write HOST:PORT or the path of a unix socket")
    made = parse_connection(options, parse_address(text, options.where), options.flag("tls", False))
    if made.tls is not None and made.tls.verify and made.endpoint.path is not None and not made.tls.server_name:
        raise options.error(
            "server_name", "is missing: a unix socket has no name to check the certificate against", "give server_name"
        )
    return made


def parse_connection(options: Options, endpoint: Endpoint, secure: bool) -> Connection:
    family = options.text("family", FAMILIES) or "any"
    if family != "any" and endpoint.path is not None:
        raise options.error("family", "has no meaning for a unix socket", "remove it")
    return Connection(endpoint, family, _parse_tls(options, secure), _parse_identity(options))


def _parse_identity(options: Options) -> Optional[Identity]:
    nested = options.nested("identity")
    if nested is None:
        return None
    nested.only(("executable", "unit", "build_id", "shared"))
    executable = nested.text("executable")
    made = Identity(executable, nested.text("unit"), nested.text("build_id"), nested.flag("shared", False))
    if made.executable is None and made.unit is None and made.build_id is None:
        raise options.error("identity", "names nothing to compare with", "give executable, unit or build_id")
    if executable is not None and not executable.startswith("/"):
        raise nested.error("executable", f"is {executable!r}", "give the absolute path of the deployed file")
    return made


def _parse_tls(options: Options, secure: bool) -> Optional[Tls]:
    if not secure:
        given = sorted(options.given() & _TLS_OPTIONS)
        if given:
            raise options.error(given[0], "has no meaning without TLS", "use https or tls: true, or remove it")
        return None
    made = Tls(
        verify=options.flag("validate_certs", True),
        ca_file=options.text("ca_file"),
        server_name=options.text("server_name"),
        client_cert=options.text("client_cert"),
        client_key=options.text("client_key"),
        min_version=options.text("min_tls_version", TLS_VERSIONS) or "1.2",
        min_days=options.number("min_days", None, 0),
        warn_days=options.number("warn_days", None, 0),
    )
    if made.client_key and not made.client_cert:
        raise options.error("client_key", "is given without client_cert", "name the certificate too")
    return made
