# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unpacks a bundle where the collection is not installed yet, as a zip. This file is PRIVATE to the collection."""

from __future__ import annotations

import argparse
import sys
from typing import Sequence

from .._core.errors import SlipwayError
from .._core.text import printable
from .._release.artefact.signature import Trust
from . import receive

FILE = "slipway-unbundle.pyz"
PACKAGE = "slipway_bundle"
INTERPRETER = b"#!/usr/bin/python3 -IS\n"


def main(argv: Sequence[str]) -> int:
    """0 where the bundle is there, else 1; what is wrong is one text."""
    given = _parser().parse_args(argv)
    try:
        told = receive.unbundle(_request(given), given.check)
    except SlipwayError as error:
        return _fail(f"{error} ({error.code})")
    except KeyboardInterrupt:
        return _fail("interrupted: nothing was unpacked")
    except OSError as error:
        return _fail(f"{error.strerror or error} ({error.filename})" if error.filename else str(error))
    state = "would be unpacked to" if given.check and told["changed"] else "is in"
    text = f"{told['name']}, signed by {told['signer']}, {state} {told['path']}: {told['files']} files"
    sys.stdout.write(f"{printable(text)}\n")
    return 0


def _fail(text: str) -> int:
    sys.stderr.write(f"{printable(text)}\n")
    return 1


def _request(given: argparse.Namespace) -> receive.Request:
    signers = receive.read_signers(given.allowed_signers)
    trust = Trust(tuple(given.minisign_key), signers, given.signer, given.namespace)
    return receive.Request(given.bundle, given.dest, trust, given.base, given.max_size << 20)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=FILE, description="Verify a bundle of slipway.go against its signed manifest, and unpack it."
    )
    add = parser.add_argument
    add("bundle", help="the bundle, NAME.tar")
    add("--dest", required=True, help="the folder in which it gets a folder of its own")
    add("--allowed-signers", default="", metavar="FILE", help="whose signatures by ssh-keygen -Y sign count")
    add("--signer", default="", help="the identity in that file that must have signed it")
    add("--namespace", default="file", help="the namespace of signatures by ssh-keygen")
    add("--minisign-key", action="append", default=[], metavar="KEY", help="whose signatures by minisign count")
    add("--base", default="", help="the earlier bundle, or its folder, if this one holds only what is new since")
    add("--max-size", type=int, default=4096, metavar="MIB", help="how much all files may have")
    add("--check", action="store_true", help="verify it and write nothing")
    return parser
