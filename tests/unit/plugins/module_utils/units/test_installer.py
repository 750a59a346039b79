# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units are compared, verified aside and installed together, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._units import installer
from ansible_collections.slipway.go.plugins.module_utils._units.installer import UnitChange, UnitFile

SOCKET = UnitFile("shop.socket", "[Socket]\nListenStream=8080\n", enabled=True)
INSTANCE = UnitFile("shop@.service", "[Service]\nExecStart=/opt/shop/releases/%i/bin/shop\n")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """systemctl and systemd-analyze on the PATH that do what the test says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(command, "PATH", f"{folder}:{command.PATH}")

    def write(name, script):
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport os, sys\n{script}\n")
        path.chmod(0o755)

    write("systemctl", "sys.exit(1)")
    return write


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "units"
    folder.mkdir()
    return folder


def enabled(tools, *names):
    tools("systemctl", f"sys.exit(sys.argv[-1] not in {names!r} or 'is-enabled' not in sys.argv)")


def test_on_a_bare_host_everything_is_new(tools, root):
    plan = installer.plan([SOCKET, INSTANCE], ["old.service"], str(root))
    assert plan.changed
    assert plan.changes == [
        UnitChange(SOCKET.name, None, SOCKET.content, str(root)),
        UnitChange(INSTANCE.name, None, INSTANCE.content, str(root)),
    ]
    assert (plan.enable, plan.disable) == ([SOCKET.name], [])
    assert plan.changed_names == ["shop.socket", "shop@.service"]
    assert list(root.iterdir()) == []


def test_what_is_as_wanted_is_no_change(tools, root):
    for unit in (SOCKET, INSTANCE):
        (root / unit.name).write_text(unit.content)
    enabled(tools, SOCKET.name)
    plan = installer.plan([SOCKET, INSTANCE], ["old.service"], str(root))
    assert not plan.changed
    assert plan.changed_names == []
    installer.apply(plan, None)


def test_each_difference_is_found(tools, root):
    (root / SOCKET.name).write_text("[Socket]\n")
    (root / "old.service").write_text("old")
    enabled(tools, INSTANCE.name)
    never = UnitFile(INSTANCE.name, INSTANCE.content, enabled=False)
    plan = installer.plan([SOCKET, never], ["old.service"], str(root))
    assert plan.changes == [
        UnitChange(SOCKET.name, "[Socket]\n", SOCKET.content, str(root)),
        UnitChange(INSTANCE.name, None, INSTANCE.content, str(root)),
        UnitChange("old.service", "old", None, str(root)),
    ]
    assert (plan.enable, plan.disable) == ([SOCKET.name], [INSTANCE.name])


@pytest.mark.parametrize(
    "name", ["", "shop", "../x.service", "a/b.service", "shop.service\n", "shop.exe", "sh op.service"]
)
def test_names_that_are_no_units(tools, root, name):
    for arguments in (([UnitFile(name, "x")], []), ([], [name])):
        with pytest.raises(SlipwayError) as caught:
            installer.plan(*arguments, str(root))
        assert caught.value.code == "invalid_unit_name"
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["shop.service", "shop@.service", "shop-guard.service", "a.b:c_d\\x2d.timer", "x.target"]
)
def test_names_that_are_units(name):
    installer.validate_unit_name(name)


class Recorder:
    """What systemd was told, and which files were there then."""

    def __init__(self, root):
        self.root, self.calls = root, []

    def call(self, *arguments, check=True):
        self.calls.append((arguments, sorted(path.name for path in self.root.iterdir())))


def test_all_are_written_then_systemd_reads_them_once_then_they_are_enabled(tools, root):
    (root / "old.service").write_text("old")
    systemd = Recorder(root)
    umask = os.umask(0)
    try:
        installer.apply(installer.plan([SOCKET, INSTANCE], ["old.service"], str(root)), systemd)
    finally:
        os.umask(umask)
    new = ["shop.socket", "shop@.service"]
    assert systemd.calls == [
        (("disable", "--quiet", "--now", "old.service"), ["old.service"]),
        (("daemon-reload",), new),
        (("enable", "--quiet", "shop.socket"), new),
    ]
    for unit in (SOCKET, INSTANCE):
        assert (root / unit.name).read_text() == unit.content
        assert stat.S_IMODE((root / unit.name).stat().st_mode) == 0o644


def test_enabling_alone_needs_no_reload(tools, root):
    for unit in (SOCKET, INSTANCE):
        (root / unit.name).write_text(unit.content)
    systemd = Recorder(root)
    installer.apply(installer.plan([SOCKET, INSTANCE], [], str(root)), systemd)
    assert [arguments for arguments, _ignored in systemd.calls] == [("enable", "--quiet", "shop.socket")]


def test_what_systemd_has_not_read_is_read_though_the_files_are_as_wanted(tools, root):
    """A run before this one wrote them, and its daemon-reload failed or never came."""
    for unit in (SOCKET, INSTANCE):
        (root / unit.name).write_text(unit.content)
    tools(
        "systemctl",
        "if 'show' in sys.argv:\n"
        "    assert sys.argv[-2:] == ['shop.socket', 'shop@*.service'], sys.argv\n"
        "    print('Id=shop.socket\\nNeedDaemonReload=no\\n\\nId=shop@1.service\\nNeedDaemonReload=yes')",
    )
    plan = installer.plan([SOCKET, INSTANCE], ["old.service"], str(root))
    assert plan.changed
    assert plan.changed_names == ["shop@1.service"]
    recorder = Recorder(root)
    installer.apply(plan, recorder)
    assert [call for call, _there in recorder.calls] == [("daemon-reload",)]


def test_disabling(tools, root):
    (root / SOCKET.name).write_text(SOCKET.content)
    enabled(tools, SOCKET.name)
    systemd = Recorder(root)
    installer.apply(installer.plan([UnitFile(SOCKET.name, SOCKET.content, False)], [], str(root)), systemd)
    assert [arguments for arguments, _ignored in systemd.calls] == [("disable", "--quiet", "shop.socket")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ExecStart=/opt/x/bin/shop -a", "ExecStart=/bin/true -a"),
        ("ExecStart=-/nowhere/shop", "ExecStart=-/bin/true"),
        ("ExecStartPre=+!/nowhere/shop 1", "ExecStartPre=+!/bin/true 1"),
        ("ExecReload=@/nowhere/shop shop", "ExecReload=@/bin/true shop"),
        ("ExecStart=/bin/sh -c 'x /nowhere'", "ExecStart=/bin/sh -c 'x /nowhere'"),
        ("ExecStart=/opt/x/%i/bin/shop", "ExecStart=/bin/true"),
        ("ExecStart=relative/shop", "ExecStart=relative/shop"),
        ("# ExecStart=/nowhere/shop", "# ExecStart=/nowhere/shop"),
        ("Environment=/nowhere", "Environment=/nowhere"),
    ],
)
def test_only_a_program_that_is_not_there_yet_is_forgiven(line, expected):
    assert installer.stand_in(f"[Service]\n{line}\nType=exec\n") == f"[Service]\n{expected}\nType=exec\n"


def test_a_unit_of_a_package_is_never_hidden(tmp_path):
    (tmp_path / "cron.service").touch()
    with pytest.raises(SlipwayError, match="belongs to a package") as caught:
        installer.refuse_taken("cron.service", [str(tmp_path)])
    assert "service_name" in caught.value.fix
    installer.refuse_taken("shop.service", [str(tmp_path)])


def test_verified_is_what_would_be_installed_beside_what_is(tools, tmp_path):
    seen = tmp_path / "seen"
    tools(
        "systemd-analyze",
        f"with open({str(seen)!r}, 'w') as out:\n"
        "    print(sys.argv[1:3], os.environ['SYSTEMD_UNIT_PATH'].endswith(':'), file=out)\n"
        "    for path in sys.argv[3:]:\n"
        "        folder, name = os.path.split(path)\n"
        "        print(name, folder + ':' == os.environ['SYSTEMD_UNIT_PATH'], file=out)\n"
        "        print(open(path).read(), file=out)\n",
    )
    assert installer.verify([SOCKET, INSTANCE]) == []
    assert seen.read_text().splitlines() == [
        "['verify', '--man=no'] True",
        "shop.socket True",
        *SOCKET.content.splitlines(),
        "",
        "shop@.service True",
        "[Service]",
        "ExecStart=/bin/true",
        "",
    ]


def says(tools, text, code=0):
    tools(
        "systemd-analyze", f"sys.stderr.write({text!r}.replace('DIR', os.path.dirname(sys.argv[-1]))); sys.exit({code})"
    )


def test_a_line_that_would_be_ignored_is_refused(tools):
    says(tools, "DIR/shop@.service:7: Failed to parse protect system value, ignoring: maybe\n")
    with pytest.raises(SlipwayError) as caught:
        installer.verify([SOCKET, INSTANCE])
    assert caught.value.code == "invalid_unit"
    assert "shop@.service:7: Failed to parse" in str(caught.value)
    assert "slipway-verify" not in str(caught.value), "the folder aside is nobody's concern"
    assert caught.value.fix


def test_the_line_that_it_means_is_shown_once(tools):
    said = "shop@.service:2: Command /nowhere is odd.\n"
    says(tools, f"DIR/{said}DIR/{said}shop@.service:99: Odd, too.\n")
    with pytest.raises(SlipwayError) as caught:
        installer.verify([INSTANCE])
    line = INSTANCE.content.splitlines()[1]
    assert f"as they are: {said.strip()} ({line}); shop@.service:99: Odd, too. Fix" in str(caught.value)


def test_a_directive_that_is_too_new_is_a_warning(tools):
    line = "shop@.service:9: Unknown key name 'ExitType2' in section 'Service', ignoring."
    says(tools, f"DIR/{line}\n")
    assert installer.verify([SOCKET, INSTANCE]) == [line]


def test_what_is_wrong_with_other_units_is_not_ours(tools):
    says(
        tools,
        "/lib/systemd/system/other.service:3: Failed to parse something\n"
        "/lib/systemd/system/workshop.socket:4: Unknown key name 'X' in section 'Socket', ignoring.\n"
        "workshop.socket: Failed to load\n\n",
    )
    assert installer.verify([SOCKET]) == []


@pytest.mark.parametrize(
    "line",
    [
        "shop.socket: Command /nowhere is not executable: No such file",
        "Unit shop.socket has a bad unit file setting.",
        "DIR/shop.socket:3: Missing '='.",
        "[DIR/shop.socket:3] Missing '='.",
    ],
)
def test_every_way_to_name_a_unit_counts(tools, line):
    says(tools, line + "\n")
    with pytest.raises(SlipwayError) as caught:
        installer.verify([SOCKET])
    assert caught.value.code == "invalid_unit"


@pytest.mark.parametrize("text", ["", "something about nothing\n"])
def test_a_failure_without_a_reason_is_one(tools, text):
    says(tools, text, 1)
    with pytest.raises(SlipwayError) as caught:
        installer.verify([SOCKET])
    assert caught.value.code == "invalid_unit"
    assert (text.strip() or "no reason given") in str(caught.value)


def test_without_the_tool(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PATH", str(tmp_path))
    with pytest.raises(SlipwayError) as caught:
        installer.verify([SOCKET])
    assert caught.value.code == "no_verify"


def test_a_tool_that_does_not_end(tools, monkeypatch):
    tools("systemd-analyze", "import time; time.sleep(600)")
    monkeypatch.setattr(installer, "VERIFY_TIMEOUT", 0.05)
    with pytest.raises(SlipwayError) as caught:
        installer.verify([SOCKET])
    assert caught.value.code == "no_verify"


def real_verify_works():
    """Some machines have the tool without the rest of systemd."""
    if not shutil.which("systemd-analyze"):
        return False
    return subprocess.run(["systemd-analyze", "verify", "--help"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not real_verify_works(), reason="no systemd-analyze here; lab hosts verify real units")
@pytest.mark.parametrize(
    ("directive", "outcome"),
    [
        ("ProtectSystem=strict", "fine"),
        ("ProtectSystem=maybe", "refused"),
        ("NoSuchDirectiveYet=yes", "too new"),
        ("ExecStartPre=relative/path", "refused"),
    ],
)
def test_with_the_real_tool(directive, outcome):
    unit = UnitFile("slipway-test-a.service", f"[Service]\nExecStart=/nowhere/at/all\n{directive}\n")
    if outcome == "refused":
        with pytest.raises(SlipwayError) as caught:
            installer.verify([unit])
        assert caught.value.code == "invalid_unit"
        return
    warnings = installer.verify([unit])
    assert len(warnings) == (1 if outcome == "too new" else 0)
    assert all("NoSuchDirectiveYet" in line for line in warnings)
