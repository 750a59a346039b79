# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._binary.elf import ElfError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable
from ansible_collections.slipway.go.plugins.modules import binary_info, linkage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import TEXT, inline

HERE = {"x86_64": 62, "aarch64": 183}.get(os.uname().machine, 62)


def call(module, **params):
    return module.work(SimpleNamespace(params=params))


@pytest.fixture
def app(tmp_path):
    return str(ElfBuilder(type=EXEC, machine=HERE, body=inline("go1.22.3", TEXT)).write(tmp_path / "app"))


def test_linkage_answers_in_the_order_asked(app, tmp_path):
    paths = [str(tmp_path), app, "/absent", app]
    result = call(linkage, path=paths, unit=None)
    assert not result["changed"]
    assert [binary["path"] for binary in result["binaries"]] == paths
    assert [binary["runnable"] for binary in result["binaries"]] == [False, True, False, True]
    assert all(
        set(binary) == {"path", "runnable", "class", "interpreter", "libraries", "problems"}
        for binary in result["binaries"]
    )


def test_linkage_in_a_unit(app, tmp_path):
    unit = tmp_path / "shop.service"
    unit.write_text(f"[Service]\nInaccessiblePaths={tmp_path}\n")
    (binary,) = call(linkage, path=[app], unit=str(unit))["binaries"]
    assert binary["problems"][0]["code"] == "unit_hidden"
    with pytest.raises(SlipwayError) as caught:
        call(linkage, path=[app], unit="no-such-unit.service")
    assert caught.value.code == "unit_not_found"


def test_binary_info(app):
    result = call(binary_info, path=app, checksum=True, sbom=False)
    binary = result["binary"]
    assert not result["changed"]
    assert "sbom" not in result
    assert len(binary["sha256"]) == 64
    assert binary["go"]["main"]["path"] == "example.com/shop"
    assert binary["go"]["deps"][1]["replace"]["path"] == "../local"
    assert binary["go"]["vcs"] is None
    assert binary["go"]["cgo"] is False
    assert binary["min_kernel"] == "2.6.32"
    assert call(binary_info, path=app, checksum=False, sbom=False)["binary"]["sha256"] is None


def test_binary_info_with_a_bill_of_materials(app, tmp_path):
    result = call(binary_info, path=app, checksum=False, sbom=True)
    assert result["sbom"]["metadata"]["component"]["hashes"][0]["content"] == result["binary"]["sha256"]
    plain = ElfBuilder(type=EXEC).write(tmp_path / "plain")
    assert call(binary_info, path=str(plain), checksum=True, sbom=True)["sbom"] is None


def test_binary_info_of_none(tmp_path):
    with pytest.raises(ElfError) as caught:
        call(binary_info, path=str(tmp_path), checksum=True, sbom=False)
    assert caught.value.code == "not_regular"


@pytest.mark.parametrize("module", [linkage, binary_info])
def test_what_is_documented_is_what_is_returned(module, app):
    documented = yaml.safe_load(module.RETURN)
    if module is linkage:
        found = call(linkage, path=[app], unit=None)["binaries"][0]
        keys = documented["binaries"]["contains"]
        assert set(documented["binaries"]["sample"][0]) == set(keys)
    else:
        found = call(binary_info, path=app, checksum=True, sbom=False)["binary"]
        keys = documented["binary"]["contains"]
        assert set(keys["go"]["sample"]) == set(found["go"])
    assert set(found) == set(keys)


def test_strange_bytes_can_be_returned(tmp_path):
    path = tmp_path / "app"
    blob = ElfBuilder(type=3, machine=HERE, needed=["libX.so"], interpreter="/lib/ldX.so").build()
    path.write_bytes(blob.replace(b"libX.so\0", b"li\xff\xfe.s\0\0").replace(b"ldX", b"l\xfe\xff"))
    path.chmod(0o755)
    for result in (
        call(linkage, path=[str(path), "/no\udcff"], unit=None),
        call(binary_info, path=str(path), checksum=True, sbom=False),
    ):
        text = json.dumps(result, ensure_ascii=False)
        text.encode()
        assert "li\\\\xff\\\\xfe.s" in text


def test_printable():
    value = {"a\udcff": ["b\udc80\u00e9", ("\ud800",)], "n": 1, "t": None, "ok": "\u00e9"}
    assert printable(value) == {"a\\xff": ["b\\x80\u00e9", ["?"]], "n": 1, "t": None, "ok": "\u00e9"}
