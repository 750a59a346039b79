"""Scenes of bundles: how one is made, and how it is received."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._bundle import galaxy, make, manifest, place, receive
from ansible_collections.slipway.go.plugins.module_utils._bundle.request import Request
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.plugins.modules import unbundle
from ansible_collections.slipway.go.tests.faults.fixes import model
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.sources import new_key
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.bundle.collection import installed

SCENES = Scenes()
ANEW = literal("fetch the bundle again from whoever made it, and unpack nothing of this one")


def request(stage: Stage, name: str = "shop-1.0") -> Request:
    """One artefact, and a key."""
    artefacts = stage.folder / "artefacts"
    artefacts.mkdir(exist_ok=True)
    (artefacts / "shop").write_bytes(b"program")
    key = stage.folder / "key"
    keys = Keys(ssh_key=str(key) if key.exists() else new_key(key), prefix="bundle")
    dest, cache = str(stage.folder / "out"), str(stage.folder / "cache")
    stage.patch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return Request(name, "1.0", dest, cache, artefacts=(str(artefacts),), keys=keys)


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def made(wanted: Request) -> Any:
    return make.bundle(wanted)


def sent(stage: Stage, name: str = "shop-1.0") -> receive.Request:
    """A bundle, as its receiver would unpack it."""
    wanted = request(stage, name)
    made(wanted)
    signers = f"ci {(stage.folder / 'key.pub').read_text()}"
    return receive.Request(wanted.path, str(stage.folder / "site"), Trust(allowed_signers=signers))


def unpacked(wanted: receive.Request) -> Any:
    return receive.unbundle(wanted)


# Making one


@SCENES.row(
    "invalid_bundle",
    "an artefact is not there",
    r"give absolute paths of files and folders in (?P<variable>\w+)",
    "another `bundle_artefacts`",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    stage.fails(lambda: made(replace(wanted, artefacts=("/nowhere",))))
    assert stage.passes(lambda: made(wanted))["changed"]


@SCENES.row(
    "invalid_bundle",
    "a requirement is an address",
    literal("give packages such as ansible-core==2.19.14, and put addresses into pip.conf"),
    "a package, whose address `pip` takes from its settings",
)
def _scene(stage: Stage) -> None:
    wanted = replace(request(stage), python=program(stage.folder / "python", "exit 0"))
    stage.fails(lambda: made(replace(wanted, requirements=("https://a:b@example.com/x.whl",))))
    stage.passes(lambda: made(replace(wanted, requirements=("ansible-core==2.19.14",))))


@SCENES.row(
    "invalid_bundle",
    "an artefact is a link",
    literal("put the file itself there, or take it away"),
    "`cp --dereference`",
)
def _scene(stage: Stage) -> None:
    wanted, link = request(stage), stage.folder / "artefacts" / "latest"
    link.symlink_to("shop")
    stage.fails(lambda: made(wanted))
    link.unlink()
    link.write_bytes(b"program")
    stage.passes(lambda: made(wanted))


for how, wrong, right, fix, named in (
    (
        "bundle_name is a path",
        {"name": "shop/1.0"},
        {"name": "shop-1.0"},
        "set bundle_name to letters, digits and . _ + -",
        "bundle_name",
    ),
    (
        "bundle_dest is relative",
        {"dest": "out"},
        {"dest": "@folder/out"},
        "set bundle_dest to the folder for the bundle",
        "bundle_dest",
    ),
    (
        "bundle_dest is in what is packed",
        {"dest": "@folder/artefacts/out"},
        {"dest": "@folder/out"},
        "set bundle_dest to a folder elsewhere",
        "bundle_dest",
    ),
    ("bundle_timeout is 0", {"timeout": 0}, {"timeout": 60}, "set both to more than 0", "bundle_timeout"),
    (
        "bundle_platforms has a blank",
        {"platforms": ["linux x86_64"]},
        {"platforms": ["manylinux2014_x86_64"]},
        "give platforms such as manylinux2014_x86_64, and a version such as 3.12",
        "bundle_platforms",
    ),
    (
        "bundle_collections has a relative path",
        {"collections": ["collections/one"]},
        {"collections": ["@folder/collection"]},
        "give NAMESPACE.NAME, NAMESPACE.NAME:VERSION, or the absolute path of a tarball or a collection's folder",
        "bundle_collections",
    ),
    (
        "bundle_collections has a folder of collections",
        {"collections": ["@folder"]},
        {"collections": ["@folder/collection"]},
        "give the path of a tarball, or of a folder with galaxy.yml or MANIFEST.json",
        "bundle_collections",
    ),
    (
        "bundle_collections has another tarball",
        {"collections": ["@folder/out/shop-1.0.tar"]},
        {"collections": ["@folder/example-one-1.0.0.tar.gz"]},
        "give one that ansible-galaxy collection build has made",
        "bundle_collections",
    ),
):

    @SCENES.row("invalid_bundle", how, literal(fix), f"another `{named}`")
    def _scene(stage: Stage, values: Any = (wrong, right)) -> None:
        wanted = request(stage)
        made(wanted)
        galaxy.local(str(installed(stage.folder / "collection")), str(stage.folder), "", 60)
        wrong, right = (replace(wanted, **model.filled(value, {"@folder": str(stage.folder)})) for value in values)
        stage.fails(lambda: made(wrong))
        stage.passes(lambda: made(right))


@SCENES.row(
    "invalid_bundle",
    "a name has a line break",
    literal("give it another name"),
    "`mv`",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    file = stage.folder / "artefacts" / "one\ntwo"
    file.touch()
    stage.fails(lambda: made(wanted))
    file.rename(file.with_name("one-two"))
    stage.passes(lambda: made(wanted))


@SCENES.row(
    "invalid_bundle",
    "two folders have a file of the same name",
    literal("give the folder above both, or rename one of them"),
    "the folder above both",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    folders = [stage.folder / "artefacts" / name for name in ("amd64", "arm64")]
    for folder in folders:
        folder.mkdir()
        (folder / "shop").write_bytes(b"program")
    stage.fails(lambda: made(replace(wanted, artefacts=tuple(map(str, folders)))))
    (above,) = {str(folder.parent) for folder in folders}
    stage.passes(lambda: made(replace(wanted, artefacts=(above,))))


@SCENES.row(
    "invalid_bundle",
    "SOURCE_DATE_EPOCH is a date",
    literal("correct it, or leave it out"),
    "seconds in `SOURCE_DATE_EPOCH`",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    stage.patch.setenv("SOURCE_DATE_EPOCH", "2026-01-31")
    stage.fails(lambda: made(wanted))
    stage.patch.setenv("SOURCE_DATE_EPOCH", "1769860800")
    assert stage.passes(lambda: made(wanted))["created"] == "2026-01-31T12:00:00Z"


@SCENES.row(
    "bundle_too_large",
    "there are more files than a bundle can have",
    literal("pack files together, or make two bundles"),
    "two bundles",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    (stage.folder / "artefacts" / "mailer").write_bytes(b"another")
    stage.patch.setattr(manifest, "MAX_FILES", 2)
    stage.fails(lambda: made(wanted))
    for name in ("shop", "mailer"):
        one = replace(wanted, name=name, artefacts=(str(stage.folder / "artefacts" / name),))
        stage.passes(lambda one=one: made(one))


@SCENES.row(
    "bundle_too_large",
    "a file has more than 8 GiB",
    literal("take it out of the bundle, or split it"),
    "it is taken out",
)
def _scene(stage: Stage) -> None:
    wanted, image = request(stage), stage.folder / "artefacts" / "image"
    image.touch()
    os.truncate(image, 1 << 33)
    stage.fails(lambda: made(wanted))
    image.unlink()
    stage.passes(lambda: made(wanted))


@SCENES.row(
    "invalid_bundle",
    "an installed collection was changed by hand",
    literal("install that collection again"),
    "the file as it was installed",
)
def _scene(stage: Stage) -> None:
    folder = installed(stage.folder / "collection")
    wanted = replace(request(stage), collections=(str(folder),))
    changed = folder / "plugins" / "modules" / "one.py"
    before = changed.read_bytes()
    changed.write_text("changed")
    stage.fails(lambda: made(wanted))
    changed.write_bytes(before)
    stage.passes(lambda: made(wanted))


@SCENES.row(
    "bundle_not_fetched",
    "pip finds no such version",
    literal("correct what it complains of on the host that makes the bundle, then run again"),
    "a version that the server has",
)
def _scene(stage: Stage) -> None:
    pip = 'while [ $# -gt 0 ]; do [ "$1" = --requirement ] && wanted=$2; [ "$1" = --dest ] && dest=$2; shift; done\n'
    pip += (
        'grep -q "==2$" "$wanted" || { echo "ERROR: No matching distribution found" >&2; exit 1; }\n: > "$dest/a-2.whl"'
    )
    wanted = replace(request(stage), python=program(stage.folder / "python", pip))
    stage.fails(lambda: made(replace(wanted, requirements=("a==3",))))
    assert "No matching distribution found" in stage.message
    told = stage.passes(lambda: made(replace(wanted, requirements=("a==2",))))
    assert "wheels/a-2.whl" in [one["path"] for one in told["files"]]


@SCENES.row(
    "unsigned_bundle",
    "no key is set",
    r"set (?P<variable>\w+) or bundle_minisign_key",
    "`bundle_ssh_key`",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    stage.fails(lambda: made(replace(wanted, keys=Keys(prefix="bundle"))))
    stage.passes(lambda: made(wanted))


@SCENES.row(
    "bundle_too_large",
    "the files have more than bundle_max_size",
    literal("raise bundle_max_size, and unbundle_max_size where it is unpacked"),
    "a larger `bundle_max_size`",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    stage.fails(lambda: made(replace(wanted, most=10)))
    stage.passes(lambda: made(wanted))


@SCENES.row(
    "bundle_in_use",
    "another run makes a bundle there",
    literal("wait until it has ended, then run again"),
    "the other run ends",
)
def _scene(stage: Stage) -> None:
    wanted = request(stage)
    with place.only_run(wanted.dest, "bundle_dest"):
        stage.fails(lambda: made(wanted))
    stage.passes(lambda: made(wanted))


# Receiving one


@SCENES.row("damaged_bundle", "the copy was cut short", ANEW, "the whole bundle")
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    whole = Path(wanted.src).read_bytes()
    Path(wanted.src).write_bytes(whole[:-1200])
    stage.fails(lambda: unpacked(wanted))
    Path(wanted.src).write_bytes(whole)
    stage.passes(lambda: unpacked(wanted))


@SCENES.row("unsafe_bundle", "a file was replaced by a link", ANEW, "the bundle as it was made")
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    whole = Path(wanted.src).read_bytes()
    at = whole.index(b"artefacts/shop\0")
    block = whole[at : at + 156] + b"2" + whole[at + 157 : at + 512]
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
    block = block[:148] + b"%06o\0 " % total + block[156:]
    Path(wanted.src).write_bytes(whole[:at] + block + whole[at + 512 :])
    stage.fails(lambda: unpacked(wanted))
    Path(wanted.src).write_bytes(whole)
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "not_a_bundle",
    "unbundle_src is another file",
    r"give the path of a bundle in (?P<variable>\w+)",
    "another `unbundle_src`",
)
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    stage.fails(lambda: unpacked(replace(wanted, src=f"{wanted.src}.gz")))
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "not_a_bundle",
    "a later version of the collection has made it",
    literal("unpack it with the version of slipway.go that has made it, or a newer one"),
    "that version",
)
def _scene(stage: Stage) -> None:
    with stage.patch.context() as later:
        later.setattr(manifest, "SCHEMA", 2)
        wanted = sent(stage)
    stage.fails(lambda: unpacked(wanted))
    stage.patch.setattr(manifest, "SCHEMA", 2)
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "bundle_too_large",
    "the bundle has more than unbundle_max_size",
    literal("raise unbundle_max_size if that is right"),
    "a larger `unbundle_max_size`",
)
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    stage.fails(lambda: unpacked(replace(wanted, most=10)))
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "bundle_place_taken",
    "another bundle has the same name",
    r"remove (?P<path>\S+), or give another unbundle_dest",
    "`rm -r`",
)
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    unpacked(wanted)
    (stage.folder / "artefacts" / "more").write_bytes(b"more")
    made(request(stage))
    path = stage.fails(lambda: unpacked(wanted))["path"]
    place.files.remove_tree(path)
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "bundle_place_taken",
    "somebody has put a file into the unpacked folder",
    literal("move what is not of the bundle elsewhere"),
    "`mv`",
)
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    other = Path(unpacked(wanted)["path"]) / "notes"
    other.write_text("mine")
    stage.fails(lambda: unpacked(wanted))
    assert re.search(r"\bnotes\b", stage.message)
    os.rename(other, stage.folder / "notes")
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "wrong_bundle_base",
    "the earlier bundle was never unpacked",
    r"unpack (?P<name>\S+) first, or set unbundle_base to it",
    "the earlier bundle is unpacked",
)
def _scene(stage: Stage) -> None:
    earlier = sent(stage)
    newer = replace(request(stage, "shop-1.1"), base=earlier.src)
    made(newer)
    wanted = replace(earlier, src=newer.path)
    assert stage.fails(lambda: unpacked(wanted))["name"] == "shop-1.0"
    unpacked(earlier)
    assert stage.passes(lambda: unpacked(wanted))["base"] == "shop-1.0"


def received(wanted: receive.Request, **trust: Any) -> Any:
    """What the module makes of its options."""
    defaults = {"allowed_signers": None, "signer": "", "namespace": "file", "minisign_keys": [], "base": None}
    params = {"src": wanted.src, "dest": wanted.dest, "max_size": 4096, **defaults, **trust}
    return unbundle.work(SimpleNamespace(params=params, check_mode=False))


@SCENES.row(
    "no_signer",
    "nobody is trusted",
    r"set (?P<variable>\w+) or unbundle_minisign_keys to those who may make bundles",
    "`unbundle_allowed_signers`",
)
def _scene(stage: Stage) -> None:
    wanted, file = sent(stage), stage.folder / "signers"
    file.write_text(wanted.trust.allowed_signers)
    variable = stage.fails(lambda: received(wanted))["variable"]
    stage.passes(lambda: received(wanted, **{variable.replace("unbundle_", ""): str(file)}))


@SCENES.row(
    "no_signer",
    "the file of signers is not there",
    literal("set unbundle_allowed_signers to a file of lines IDENTITY KEYTYPE KEY"),
    "such a file",
)
def _scene(stage: Stage) -> None:
    wanted, file = sent(stage), stage.folder / "signers"
    stage.fails(lambda: received(wanted, allowed_signers=str(file)))
    keytype, key = (stage.folder / "key.pub").read_text().split()[:2]
    file.write_text(f"ci@example.com {keytype} {key}\n")
    assert "ci@example.com" in stage.passes(lambda: received(wanted, allowed_signers=str(file)))["signer"]


@contextlib.contextmanager
def careless(stage: Stage) -> Iterator[None]:
    """A program of others, which makes bundles with any name in them."""
    with stage.patch.context() as patch:
        patch.setattr(manifest, "why_unsafe", lambda _path: "")
        yield


@SCENES.row(
    "unsafe_bundle",
    "its maker has listed a name that no terminal shows",
    literal("unpack nothing of it, and ask who made it"),
    "its maker gives the file another name",
)
def _scene(stage: Stage) -> None:
    file = stage.folder / "artefacts" / "one\ntwo"
    file.parent.mkdir()
    file.touch()
    with careless(stage):
        wanted = sent(stage)
    stage.fails(lambda: unpacked(wanted))
    assert not Path(wanted.dest).exists()
    file.rename(file.with_name("one-two"))
    made(request(stage))
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "bundle_too_large",
    "a later version of the collection has made it, with more files",
    literal("unpack it with the version of slipway.go that has made it, or a newer one"),
    "that version",
)
def _scene(stage: Stage) -> None:
    wanted = sent(stage)
    with stage.patch.context() as earlier:
        earlier.setattr(manifest, "MAX_FILES", 1)
        stage.fails(lambda: unpacked(wanted))
    stage.passes(lambda: unpacked(wanted))


@SCENES.row(
    "wrong_bundle_base",
    "unbundle_base is another bundle of that name",
    r"set (?P<variable>\w+) to (?P<name>\S+) as its maker has sent it, or to the folder that it was unpacked to",
    "`unbundle_base`",
)
def _scene(stage: Stage) -> None:
    earlier = sent(stage)
    newer = replace(request(stage, "shop-1.1"), base=earlier.src)
    made(newer)
    kept = stage.folder / "kept.tar"
    os.rename(earlier.src, kept)
    (stage.folder / "artefacts" / "more").write_bytes(b"more")
    made(request(stage))
    wrong = replace(earlier, src=newer.path, base=earlier.src)
    told = stage.fails(lambda: unpacked(wrong))
    assert told == {"variable": "unbundle_base", "name": "shop-1.0"}
    stage.passes(lambda: unpacked(replace(wrong, base=str(kept))))


@SCENES.row(
    "wrong_bundle_base",
    "unbundle_base has only what is new since a bundle before it",
    r"unpack (?P<name>\S+), and set (?P<variable>\w+) to its folder",
    "the bundle between is unpacked, and `unbundle_base`",
)
def _scene(stage: Stage) -> None:
    first = sent(stage)
    paths = [first.src]
    for name in ("shop-1.1", "shop-1.2"):
        one = replace(request(stage, name), base=paths[-1])
        made(one)
        paths.append(one.path)
    second, third = (replace(first, src=path) for path in paths[1:])
    told = stage.fails(lambda: unpacked(replace(third, base=second.src)))
    assert told == {"variable": "unbundle_base", "name": "shop-1.1"}
    unpacked(first)
    folder = unpacked(second)["path"]
    stage.passes(lambda: unpacked(replace(third, base=folder)))
