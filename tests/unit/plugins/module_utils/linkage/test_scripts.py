# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._linkage.scripts import Shebang, parse_shebang
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import glibc_root


@pytest.fixture
def root(tmp_path):
    made = glibc_root(tmp_path)
    made.app("libc.so.6")
    made.elf("/usr/bin/env", type=EXEC)
    return made


def script(root, text: str, name: str = "/run.sh", mode: int = 0o755) -> str:
    path = root.path / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return name


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/bin/sh\n", Shebang("/bin/sh", "")),
        (b"#! /bin/sh -e \n", Shebang("/bin/sh", "-e")),
        (b"#!/bin/sh\r\n", Shebang("/bin/sh\r", "")),
        (b"#!\tpython3\t-u -v\nmore", Shebang("python3", "-u -v")),
        (b"#!\n", None),
        (b"echo\n", None),
        (b"#!/" + b"x" * 300, None),
        (b"#!/bin/sh " + b"x" * 300, Shebang("/bin/sh", "x" * 246)),
    ],
)
def test_the_first_line(line, expected):
    assert parse_shebang(line[:256], whole=len(line) < 256) == expected


def test_a_script_is_judged_by_its_interpreter(root):
    verdict = root.check(script(root, "#!/app\n"))
    assert verdict == {
        "path": "/run.sh",
        "runnable": True,
        "class": "script",
        "interpreter": "/app",
        "libraries": [
            {"name": "libc.so.6", "path": "/lib/x86_64-linux-gnu/libc.so.6"},
            {"name": "ld-linux-x86-64.so.2", "path": "/lib64/ld-linux-x86-64.so.2"},
        ],
        "problems": [],
    }
    root.app("libgone.so.1")
    assert root.codes("/run.sh") == ["library_missing"]


def test_what_a_script_can_lack(root):
    script(root, "#!/none\n")
    (problem,) = root.check("/run.sh")["problems"]
    assert problem["code"] == "interpreter_missing"
    assert problem["message"] == "/run.sh: No such file or directory: the interpreter '/none' is missing"
    assert root.codes(script(root, "#!/app\n", mode=0o644)) == ["not_executable"]
    assert root.codes(script(root, "#!/run.sh\n")) == ["interpreter_invalid"]
    assert root.codes(script(root, "echo no line\n")) == ["not_elf"]
    assert root.codes(script(root, "#!/app\n"), exec_rules=(("/run.sh", False),), unit="x.service") == ["unit_noexec"]
    assert root.codes(script(root, "#!/app\n"), exec_rules=(("/app", False),), unit="x.service") == ["unit_noexec"]


def test_five_scripts_may_start_one_another(root):
    script(root, "#!/app\n", "/s0")
    for number in range(1, 6):
        script(root, f"#!/s{number - 1}\n", f"/s{number}")
    assert root.codes("/s4") == []
    assert root.codes("/s5") == ["interpreter_invalid"]


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("/usr/bin/env app", []),
        ("/usr/bin/env gone", ["interpreter_missing"]),
        ("/usr/bin/env -S A=1 app -x", []),
        ("/usr/bin/env -S gone -x", ["interpreter_missing"]),
        ("/usr/bin/env app -x", ["interpreter_missing"]),
        ("/usr/bin/env -i", []),
        ("/usr/bin/env /app", []),
        ("/usr/bin/env /gone", ["interpreter_missing"]),
    ],
)
def test_what_env_looks_for(root, line, codes):
    script(root, f"#!{line}\n")
    assert root.codes("/run.sh", environment={"PATH": "/none:/"}) == codes
