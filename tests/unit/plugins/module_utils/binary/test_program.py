# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that UPX has packed: nothing that is inside is claimed, and no policy is passed by packing."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import program
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._binary.policy import check_policy, parse_denylist
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import GLIBC, glibc_root


def upx_stub(body: bytes = b"") -> bytes:
    """As UPX lays it out: a static program whose own header stands right behind the program headers."""
    blob = bytearray(ElfBuilder(type=EXEC, body=b"\0\0\0\0UPX!\x0d\x16\x0e\x0a" + bytes(5000) + body).build())
    end = 64 + 56 * int.from_bytes(blob[56:58], "little")
    blob[end : end + 8] = b"\0\0\0\0UPX!"
    return bytes(blob)


@pytest.mark.parametrize(
    ("blob", "packed"),
    [
        (upx_stub(), True),
        (ElfBuilder(type=EXEC, body=inline("go1.22.3", "path\tp\n")).build(), False),
        (ElfBuilder(type=EXEC, body=bytes(5000) + b"UPX!").build(), False),
        (ElfBuilder(interpreter=GLIBC, body=b"UPX!").build(), False),
    ],
    ids=["packed", "Go", "names it in its data", "has an interpreter"],
)
def test_what_is_packed(tmp_path, blob, packed):
    path = tmp_path / "app"
    path.write_bytes(blob)
    with program.open_program(str(path)) as opened:
        assert opened.packed is packed
    assert read_binary(str(path)).facts["packed"] == ("upx" if packed else None)


def test_what_a_stub_says_of_itself_is_not_what_the_program_says(tmp_path):
    path = tmp_path / "app"
    path.write_bytes(upx_stub(inline("go1.99.0", "path\tp\nmod\texample.com/shop\tv1.0.0\t\n")))
    facts = read_binary(str(path)).facts
    assert (facts["packed"], facts["go"], facts["min_kernel"]) == ("upx", None, None)
    wanted = {"main_module": "example.com/shop", "min_go_version": "1.20"}
    assert [problem.code for problem in check_policy(facts, wanted)] == ["policy_not_go"]


def test_a_packed_program_is_never_called_runnable(tmp_path):
    root = glibc_root(tmp_path)
    app = tmp_path / "app"
    app.write_bytes(upx_stub())
    app.chmod(0o755)
    verdict = root.check()
    assert [problem["code"] for problem in verdict["problems"]] == ["packed"]
    assert not verdict["runnable"]
    assert "upx -d" in verdict["problems"][0]["fix"]
    app.chmod(0o644)
    assert root.codes() == ["packed", "not_executable"], "the stub is judged as well"


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"require_static": True}, "policy_static"),
        ({"require_vcs_clean": True}, "policy_not_go"),
        ({"min_go_version": "1.20"}, "policy_not_go"),
        ({"main_module": "example.com/shop"}, "policy_not_go"),
        ({"denied_modules": parse_denylist("example.com/bad")}, "policy_not_go"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_no_policy_is_passed_by_packing(tmp_path, policy, code):
    path = tmp_path / "app"
    path.write_bytes(upx_stub())
    assert [problem.code for problem in check_policy(read_binary(str(path)).facts, policy)] == [code]
