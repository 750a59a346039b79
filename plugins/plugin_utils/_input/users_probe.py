# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where users are who are sent from HTTP to TLS, as options of a probe. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from ansible_collections.slipway.go.plugins.module_utils._release.gate import PACE
from ansible_collections.slipway.go.plugins.module_utils._release.probe import ABOUT_THE_RELEASE

_OWN_TARGET = ("url", "kind", "address", "unix_socket")
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


def through_tls(
    probe: Mapping[str, Any],
    health: Mapping[str, Any],
    listen: Sequence[Any],
    tls_listen: Sequence[Any],
    host: Optional[str],
    ca_file: str,
) -> dict[str, Any]:
    """The probe, sent to the TLS address where it would meet the redirect; as it is where it has a target of its own.

    host is a name of the certificate in ca_file, or None where nobody knows one; what is verified then is nothing.
    """
    url = urlsplit(str(health.get("url") or ""))
    if any(name in probe for name in _OWN_TARGET) or not _redirected(url, health, listen) or not tls_listen:
        return dict(probe)
    where, port = _local(str(tls_listen[0]))
    name = host or "localhost"
    name = f"[{name}]" if ":" in name else name
    query = f"?{url.query}" if url.query else ""
    inherited = {key: value for key, value in health.items() if key not in (*PACE, *ABOUT_THE_RELEASE, *_OWN_TARGET)}
    return {
        **inherited,
        "url": f"https://{name}{'' if port == '443' else ':' + port}{url.path or '/'}{query}",
        "address": f"{where}:{port}",
        **({"ca_file": ca_file} if host else {"validate_certs": False}),
        **probe,
    }


def _redirected(url: Any, health: Mapping[str, Any], listen: Sequence[Any]) -> bool:
    if url.scheme != "http" or any(health.get(name) for name in ("address", "unix_socket")):
        return False
    try:
        port = url.port or 80
    except ValueError:
        return False
    return str(port) in [_local(str(one))[1] for one in listen]


def _local(listen: str) -> tuple[str, str]:
    """An address to connect to from the host itself, and the port."""
    address, _colon, port = listen.rpartition(":")
    return _EVERYWHERE.get(address, address), port


def name_of(names: Sequence[str], certified: Optional[str]) -> Optional[str]:
    """The host that users ask for: the first one that is configured and no pattern, else one of the certificate's."""
    plain = [name for name in names if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?", name)]
    return plain[0] if plain else certified
