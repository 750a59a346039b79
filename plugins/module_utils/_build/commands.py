# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of the toolchain and their environment, as data. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Mapping, NamedTuple, Optional

from .request import AUTO, Request, show_time
from .targets import Target

# Fields of `go list` with the names of files that go into a program.
FILES = (
    *("GoFiles", "CgoFiles", "CFiles", "CXXFiles", "MFiles", "HFiles", "FFiles", "SFiles", "SwigFiles"),
    *("SwigCXXFiles", "SysoFiles", "EmbedFiles"),
)
_LISTED = ("Dir", "ImportPath", "Name", "Standard", "Module", "CgoLDFLAGS", "CgoPkgConfig", *FILES)
# What fetching modules may need of the environment of whoever runs this.
NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


class Stamp(NamedTuple):
    """Which state of the source this is. time: seconds since 1970. modified: files differ from the commit."""

    version: str
    commit: str = ""
    time: Optional[int] = None
    branch: str = ""
    modified: bool = False

    def value(self, name: str) -> str:
        """What is written into the program for it; empty where it is not known."""
        if name == "time":
            return show_time(self.time) if self.time is not None else ""
        return self.version if name == "version" else self.commit


def settings(target: Optional[Target], stamp: Stamp, cgo: bool = False) -> dict[str, str]:
    """The variables that decide what comes out. target: None for the host that builds."""
    found = {"CGO_ENABLED": "1" if cgo else "0", "GOENV": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    if stamp.time is not None:
        found["SOURCE_DATE_EPOCH"] = str(stamp.time)
    return {**found, **(target.variables if target else {})}


def places(request: Request, cache: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables that say where things are, and from where modules come."""
    found = {
        "GOCACHE": os.path.join(cache, "build"),
        "GOMODCACHE": os.path.join(request.cache, "modules"),
        "GOPATH": os.path.join(request.cache, "path"),
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": inherited.get("HOME", request.cache),
    }
    if request.offline:
        return {**found, "GOPROXY": OFFLINE}
    found.update({name: inherited[name] for name in NETWORK if inherited.get(name)})
    if request.proxy:
        found["GOPROXY"] = request.proxy
    if request.private:
        found["GOPRIVATE"] = ",".join(request.private)
    return found


OFFLINE = "off"


def load_flags(request: Request) -> list[str]:
    """How packages are found."""
    flags = [] if request.mod == AUTO else [f"-mod={request.mod}"]
    return flags + ([f"-tags={','.join(request.tags)}"] if request.tags else [])


def ldflags(request: Request, stamp: Stamp) -> str:
    words = ["-s", "-w"] if request.strip else []
    for name, variable in sorted(request.variables.items()):
        words += ["-X", f"{variable}={stamp.value(name)}"]
    return " ".join(words)


def build_flags(request: Request, stamp: Stamp) -> list[str]:
    """What decides what comes out."""
    flags = ["-trimpath", f"-buildvcs={request.vcs}", *load_flags(request), f"-pgo={request.pgo}"]
    linked = ldflags(request, stamp)
    return [*flags, f"-ldflags={linked}"] if linked else flags


def list_packages(go: str, folder: str, request: Request) -> list[str]:
    """The program and all packages in it, as JSON."""
    fields = ",".join(_LISTED)
    return [go, "list", "-C", folder, "-deps", f"-json={fields}", *load_flags(request), "--", request.package]


def build(go: str, folder: str, request: Request, stamp: Stamp, output: str) -> list[str]:
    return [go, "build", "-C", folder, *build_flags(request, stamp), "-o", output, "--", request.package]


def vet(go: str, folder: str, request: Request) -> list[str]:
    return [go, "vet", "-C", folder, *load_flags(request), "--", "./..."]


def test(go: str, folder: str, request: Request) -> list[str]:
    return [go, "test", "-C", folder, *load_flags(request), f"-timeout={request.timeout:g}s", "--", "./..."]
