# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._units import context as _unit_context
from ansible_collections.slipway.go.plugins.module_utils._units import parser
from ansible_collections.slipway.go.plugins.module_utils._units.credentials import Credentials
from ansible_collections.slipway.go.plugins.module_utils._units.parser import parse_name, read_unit, split_words
from ansible_collections.slipway.go.plugins.module_utils._units.surroundings import Context


@pytest.fixture
def units(tmp_path):
    class Units:
        path = (str(tmp_path / "etc"), str(tmp_path / "lib"))

        def write(self, name: str, text: str, where: str = "etc") -> str:
            file = tmp_path / where / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            return str(file)

        def context(self, name: str = "shop.service"):
            return _unit_context.unit_context(name, self.path)

        def of(self, *lines: str):
            self.write("shop.service", "[Service]\n" + "\n".join(lines) + "\n")
            return self.context()

    return Units()


def test_names():
    assert parse_name("shop") == ("shop.service", "shop", "")
    assert parse_name("shop@1.4.2-abc.service") == ("shop@1.4.2-abc.service", "shop", "1.4.2-abc")
    assert parse_name("shop@a.service").template == "shop@.service"


def test_the_higher_directory_wins_and_drop_ins_add(units):
    units.write("shop.service", "[Service]\nUser=lib\nEnvironment=A=1\n", "lib")
    units.write("shop.service", "[Service]\nUser=etc\nEnvironment=B=2\n")
    units.write("shop.service.d/20.conf", "[Service]\nEnvironment=C=3\n", "lib")
    units.write("shop.service.d/10.conf", "[Service]\nUser=drop\nEnvironment=B=0\n")
    units.write("shop.service.d/20.conf", "[Service]\nEnvironment=D=4\n")
    units.write("service.d/05.conf", "[Service]\nUMask=077\n")
    unit = read_unit("shop", units.path)
    assert unit.last("User") == "drop"
    assert unit.last("UMask") == "077"
    assert unit.words("Environment") == ["B=2", "B=0", "D=4"]


def test_templates_and_prefixes(units):
    units.write("shop-api@.service", "[Service]\nUser=template\n", "lib")
    units.write("shop-.service.d/1.conf", "[Service]\nGroup=prefix\n")
    units.write("shop-api@.service.d/1.conf", "[Service]\nGroup=template\n")
    unit = read_unit("shop-api@7.service", units.path)
    assert (unit.last("User"), unit.last("Group"), unit.name.instance) == ("template", "template", "7")


def test_a_file_that_is_not_installed_yet(units):
    path = units.write("new/shop.service", "[Service]\nUser=new\n")
    assert read_unit(path, units.path).last("User") == "new"


def test_no_unit(units):
    with pytest.raises(SlipwayError) as caught:
        read_unit("absent", units.path)
    assert caught.value.code == "unit_not_found"
    os.makedirs(units.path[0])
    os.symlink("/dev/null", os.path.join(units.path[0], "masked.service"))
    with pytest.raises(SlipwayError) as caught:
        read_unit("masked", units.path)
    assert caught.value.code == "unit_masked"


def test_continued_lines_comments_and_resets(units):
    units.write(
        "shop.service",
        "# head\n[Unit]\nUser=no\n[Service]\n"
        "Environment=A=1 \\\n# inside\n; and here\n  B=2\n\nEnvironment=\nEnvironment=C=3\n",
    )
    unit = read_unit("shop", units.path)
    assert unit.last("User") == ""
    assert unit.words("Environment") == ["C=3"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A=1 B=2", ["A=1", "B=2"]),
        ('"A=1 2" B=3', ["A=1 2", "B=3"]),
        ("A='1 2'", ["A=1 2"]),
        ('"A=\\"q\\" \\x41\\101\\t"', ['A="q" AA\t']),
        ("  a\\ b  ", ["a\\ b"]),
        ("", []),
        ('"unfinished', []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


def test_environment(units, tmp_path):
    (tmp_path / "env").write_text('# c\nD=4\nE=\'a b\'\nF="x\\"y"\nLD_LIBRARY_PATH=/from/file\n\nG=1 2\n')
    context = units.of(
        'Environment="LD_LIBRARY_PATH=/opt/%p/lib" A=%%',
        "Environment=B=%i%n",
        f"EnvironmentFile=-{tmp_path}/absent",
        f"EnvironmentFile={tmp_path}/env",
        "UnsetEnvironment=D",
    )
    assert context.environment == {
        "LD_LIBRARY_PATH": "/from/file", "A": "%", "B": "shop.service", "E": "a b", "F": 'x"y', "G": "1 2",
    }  # fmt: skip


def test_root_and_binds(units, tmp_path):
    (tmp_path / "jail").mkdir()
    (tmp_path / "data").mkdir()
    context = units.of(
        f"RootDirectory={tmp_path}/jail", f"BindPaths={tmp_path}/data:/data:rbind", "BindReadOnlyPaths=-/none"
    )
    assert context.view.root == str(tmp_path / "jail")
    assert context.view.binds == {"/data": str(tmp_path / "data")}
    assert units.of("RootImage=/srv/shop.raw").root_image == "/srv/shop.raw"


@pytest.mark.parametrize(
    ("lines", "path", "why"),
    [
        (["ProtectHome=yes"], "/home/me/app", "ProtectHome=yes"),
        (["ProtectHome=tmpfs"], "/root/app", "ProtectHome=tmpfs"),
        (["ProtectHome=read-only"], "/home/me/app", ""),
        (["ProtectHome=no"], "/home/me/app", ""),
        (["PrivateTmp=true"], "/tmp/app", "PrivateTmp="),
        (["DynamicUser=yes"], "/var/tmp/app", "PrivateTmp="),
        (["InaccessiblePaths=-/opt/secret"], "/opt/secret/app", "InaccessiblePaths="),
        (["InaccessiblePaths=/opt/secret"], "/opt/secrets", ""),
        (["TemporaryFileSystem=/var:ro"], "/var/lib/app", "TemporaryFileSystem="),
        (["TemporaryFileSystem=/", "BindReadOnlyPaths=/usr"], "/usr/bin/app", ""),
        (["TemporaryFileSystem=/", "BindReadOnlyPaths=/usr"], "/opt/app", "TemporaryFileSystem="),
    ],
)
def test_hidden(units, lines, path, why):
    assert units.of(*lines).hidden_by(path) == why


def test_exec_paths(units):
    context = units.of("NoExecPaths=/", "ExecPaths=/opt/shop /usr/lib", "NoExecPaths=/opt/shop/data")
    paths = ("/opt/shop/app", "/usr/lib/x.so", "/opt/other", "/opt/shop/data/x")
    assert [context.exec_rule(path)[1] for path in paths] == [True, True, False, False]
    assert units.of().exec_rule("/anything") == ("", None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        (["NoNewPrivileges=yes"], True),
        (["DynamicUser=yes"], True),
        (["User=nobody", "SystemCallFilter=@system-service"], True),
        (["SystemCallFilter=@system-service"], False),
        (["CapabilityBoundingSet=", "LockPersonality=yes"], True),
        (["User=nobody"], False),
    ],
)
def test_no_new_privileges(units, lines, expected):
    assert units.of(*lines).no_new_privileges is expected


@pytest.mark.parametrize(
    ("lines", "bits"),
    [
        ([], _unit_context.ALL_CAPABILITIES),
        (["CapabilityBoundingSet="], 0),
        (["CapabilityBoundingSet=CAP_CHOWN cap_kill"], 1 << 0 | 1 << 5),
        (["CapabilityBoundingSet=CAP_CHOWN", "CapabilityBoundingSet=CAP_KILL"], 1 << 0 | 1 << 5),
        (["CapabilityBoundingSet=~CAP_CHOWN"], _unit_context.ALL_CAPABILITIES & ~1),
        (["CapabilityBoundingSet=CAP_CHOWN CAP_KILL", "CapabilityBoundingSet=~CAP_KILL"], 1),
    ],
)
def test_bounding_set(units, lines, bits):
    assert units.of(*lines).bounding == bits


def test_who(units):
    root = units.of().who
    assert (root.uid, root.privileged) == (0, True)
    assert not units.of("CapabilityBoundingSet=CAP_NET_BIND_SERVICE").who.privileged
    nobody = units.of("User=nobody", "Group=0", "SupplementaryGroups=4711 nosuchgroup").who
    assert nobody.uid == 65534
    assert {0, 4711} <= nobody.gids
    assert not nobody.privileged
    assert units.of("User=no-such-user").who.uid == 65534


def test_rights(units, tmp_path):
    file = tmp_path / "open/closed/app"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    file.chmod(0o755)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)

    def barrier(who: Credentials, bit: int, **context) -> str:
        found = Context(View(), {}, who=who, **context).barrier(str(file), bit)
        return found.path if found else ""

    stranger = Credentials(4711, frozenset([4711]), False)
    member = Credentials(4711, frozenset([file.stat().st_gid]), False)
    assert barrier(stranger, 1) == ""
    file.chmod(0o750)
    assert barrier(stranger, 4) == str(file)
    assert barrier(member, 4) == ""
    file.chmod(0o755)
    file.parent.chmod(0o700)
    assert barrier(stranger, 4) == str(file.parent)
    assert barrier(Credentials(4711, frozenset(), False, (str(file.parent),)), 4) == ""
    assert barrier(stranger, 4, hidden=((str(file.parent), "TemporaryFileSystem="),)) == ""
    root = Credentials(0, frozenset([0]), True)
    assert barrier(root, 1) == ""
    file.chmod(0o644)
    assert barrier(root, 1) == str(file)


def test_what_the_mode_of_a_source_says_does_not_count_where_it_is_mounted(units, tmp_path):
    closed, inside = tmp_path / "closed", tmp_path / "root"
    (closed / "bin").mkdir(parents=True)
    inside.mkdir()
    (closed / "bin/app").write_text("x")
    (closed / "bin/app").chmod(0o755)
    closed.chmod(0o700)
    stranger = Credentials(4711, frozenset(), False)
    context = Context(View(str(inside), {"/opt/new/bin": str(closed / "bin")}), {}, who=stranger)
    assert context.barrier("/opt/new/bin/app", 1) is None
    context = Context(View(str(inside), {"/opt/new": str(closed)}), {}, who=stranger)
    assert context.barrier("/opt/new/bin/app", 1).path == "/opt/new"


def test_architectures(units):
    assert units.of("SystemCallArchitectures=native").architectures == ("native",)
    assert units.of("SystemCallArchitectures=native x86").architectures == ("native", "x86")


@pytest.mark.parametrize(
    ("setting", "missing"),
    [
        ("EnvironmentFile=/nonexistent/x.env", True),
        ("EnvironmentFile=-/nonexistent/x.env", False),
        ("EnvironmentFile=/nonexistent/*.env", True),
        ("WorkingDirectory=/nonexistent", True),
        ("WorkingDirectory=-/nonexistent", False),
        ("WorkingDirectory=~", False),
        ("WorkingDirectory=/var/lib/nonexistent\nStateDirectory=nonexistent", False),
        ("User=nosuchuser", True),
        ("User=nosuchuser\nDynamicUser=yes", False),
        ("User=4711", True),
        ("Group=4711", True),
        ("SupplementaryGroups=nosuchgroup", True),
        ("User=0\nGroup=0\nSupplementaryGroups=0", False),
        ("RootDirectory=/nonexistent", True),
        ("BindPaths=/nonexistent:/opt", True),
        ("BindPaths=nonexistent:/usr", False),
        ("BindReadOnlyPaths=-nonexistent:/usr", False),
        ("BindPaths=nonexistent:/nonexistent", True),
        ("BindReadOnlyPaths=-nonexistent:/nonexistent", True),
        ("BindPaths=nonexistent:-/nonexistent", False),
        ("BindPaths=nonexistent:/nonexistent:rbind", False),
        ("BindPaths=/nonexistent:opt:rbind", False),
        ("BindPaths=/usr:opt:/nonexistent", True),
        ("BindPaths=%p:/usr", False),
        ("BindReadOnlyPaths=-/nonexistent:/opt", False),
        ("ReadWritePaths=/nonexistent", True),
        ("ReadOnlyPaths=-/nonexistent", False),
        ("InaccessiblePaths=/nonexistent", True),
        ("ExecPaths=/nonexistent", True),
        ("NoExecPaths=-/nonexistent", False),
        ("ReadWritePaths=/var/lib/nonexistent\nStateDirectory=nonexistent", False),
        ("ReadOnlyPaths=/var/lib/nonexistent/deep\nInaccessiblePaths=/var/lib", False),
        ("TemporaryFileSystem=/nonexistent", False),
        ("WorkingDirectory=/home\nProtectHome=yes", False),
        ("LoadCredential=key:/nonexistent", True),
        ("LoadCredential=key:nonexistent", False),
        ("LoadCredential=key:/nonexistent\nSetCredential=key:value", False),
        ("SetCredentialEncrypted=%N:value\nLoadCredentialEncrypted=shop:/nonexistent", False),
        ("LoadCredential=key:/nonexistent\nSetCredential=other:value", True),
        ("LoadCredential=key:/nonexistent\nSetCredential=key", True),
        ("StandardInput=file:/nonexistent", True),
        ("StandardOutput=append:/nonexistent/log", True),
        ("StandardError=truncate:/tmp/nonexistent.log", False),
        ("StandardOutput=journal", False),
        ("WorkingDirectory=/var\nInaccessiblePaths=/var", False),
        ("User=nobody\nWorkingDirectory=/var\nInaccessiblePaths=/var", True),
        ("WorkingDirectory=/var/lib\nTemporaryFileSystem=/var", True),
        ("WorkingDirectory=/var\nTemporaryFileSystem=/var", False),
        ("Group=nosuchgroup", True),
    ],
)
def test_what_the_unit_names_and_is_not_there(units, setting, missing):
    found = units.of(*setting.split("\n")).missing
    assert [problem.code for problem in found] == ["unit_missing"] * missing
    assert all(any(line.split("=")[0] in problem.message for line in setting.split("\n")) for problem in found)


@pytest.mark.parametrize(
    "setting",
    [
        "EnvironmentFile=nonexistent/x.env",
        "BindPaths=nonexistent",
        "BindReadOnlyPaths=/nonexistent:opt",
        "ReadWritePaths=nonexistent",
        "ReadOnlyPaths=+nonexistent",
        "InaccessiblePaths=nonexistent",
        "NoExecPaths=nonexistent",
        "StandardInput=file:nonexistent",
        "StandardOutput=append:nonexistent/log",
    ],
)
def test_systemd_ignores_a_path_that_is_not_absolute(units, setting):
    assert units.of(setting).missing == ()


def test_what_is_not_absolute_changes_nothing(units, tmp_path, monkeypatch):
    (tmp_path / "a.env").write_text("LD_LIBRARY_PATH=/a\n")
    monkeypatch.chdir(tmp_path)
    relative = ("EnvironmentFile=a.env", "NoExecPaths=opt", "TemporaryFileSystem=opt", "InaccessiblePaths=opt")
    told = units.of(*relative, "BindPaths=opt", f"EnvironmentFile=--{tmp_path}/a.env")
    assert (told.missing, told.environment, told.hidden, told.exec_rules) == ((), {}, (), ())
    assert told.view.binds == {}
    assert units.of("NoExecPaths=%S").exec_rules == (("/var/lib", False),)


def test_systemd_goes_on_behind_a_source_that_is_not_absolute(units):
    """What was meant to be the target is the source then; `systemd-analyze verify` complains of foo, and of rbind."""
    assert units.of("BindPaths=foo:/usr").view.binds == {"/usr": "/usr"}
    assert units.of("BindPaths=foo:/usr:/opt").view.binds == {"/opt": "/usr"}
    assert units.of("BindPaths=foo:/usr:rbind").view.binds == {}
    assert units.of("BindPaths=/etc:/opt:rbind").view.binds == {"/opt": "/etc"}
    (problem,) = units.of("BindPaths=-foo:/nonexistent").missing
    assert "BindPaths=-foo:/nonexistent" in problem.message
    assert problem.fix.startswith("write the whole path of foo")


def test_a_directory_that_the_user_may_not_enter(units, tmp_path):
    (tmp_path / "closed/work").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    (problem,) = units.of("User=nobody", f"WorkingDirectory={tmp_path}/closed/work").missing
    assert problem.code == "unit_forbidden"
    assert problem.fix == f"let the user of shop.service enter {tmp_path}/closed"
    assert units.of("User=nobody", f"WorkingDirectory=-{tmp_path}/closed/work").missing == ()
    assert units.of("User=nobody", f"WorkingDirectory={tmp_path}").missing == ()
    assert units.of("CapabilityBoundingSet=", f"WorkingDirectory={tmp_path}/closed/work").missing == ()


def test_a_path_is_mounted_where_its_symlinks_lead(units, tmp_path):
    (tmp_path / "real/in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert units.of(f"InaccessiblePaths={tmp_path}/link").hidden_by(f"{tmp_path}/real/in") == "InaccessiblePaths="
    assert units.of(f"NoExecPaths={tmp_path}/link/in").exec_rule(f"{tmp_path}/real/in/app") == (
        f"{tmp_path}/real/in",
        False,
    )
    assert units.of(f"BindPaths=/usr:{tmp_path}/link/in").view.binds == {f"{tmp_path}/real/in": "/usr"}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["ProtectHome=yes", "BindReadOnlyPaths=/etc:/home/me"], "ProtectHome=yes"),
        (["ProtectHome=tmpfs", "BindReadOnlyPaths=/etc:/home/me"], ""),
        (["InaccessiblePaths=-/home", "BindPaths=/etc:/home/me"], "InaccessiblePaths="),
        (["InaccessiblePaths=-/home", "TemporaryFileSystem=/home/me"], "InaccessiblePaths="),
    ],
)
def test_what_is_closed_cannot_be_exposed(units, lines, why):
    assert units.of(*lines).hidden_by("/home/me/app") == why


def test_a_mount_of_its_own_below_what_may_not_be_executed(units):
    assert units.of("NoExecPaths=/srv", "ReadOnlyPaths=-/srv/x").exec_rule("/srv/x/app")[1] is None
    assert units.of("NoExecPaths=/srv", "BindPaths=/etc:/srv/x").exec_rule("/srv/x/app")[1] is None
    assert units.of("NoExecPaths=/srv", "BindPaths=/etc:/srv").exec_rule("/srv/x/app")[1] is False
    assert units.of("NoExecPaths=/", "ProtectSystem=full").exec_rule("/usr/bin/app")[1] is None
    assert units.of("NoExecPaths=/", "ProtectSystem=strict").exec_rule("/srv/app")[1] is False


def test_paths_are_those_of_the_host_with_a_root_directory_too(units, tmp_path):
    (tmp_path / "bin").mkdir()
    root = f"RootDirectory={tmp_path}"
    assert units.of(root, "InaccessiblePaths=/bin").hidden == ()
    assert units.of(root, "InaccessiblePaths=+/bin").hidden == (("/bin", "InaccessiblePaths="),)
    assert units.of(root, f"InaccessiblePaths={tmp_path}/bin").hidden == (("/bin", "InaccessiblePaths="),)
    assert units.of(root, "ReadOnlyPaths=/nonexistent").missing == ()
    assert [problem.code for problem in units.of(root, "ReadOnlyPaths=+/nonexistent").missing] == ["unit_missing"]


def test_a_symlink_below_an_empty_directory_is_not_there(units, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    context = units.of(f"TemporaryFileSystem={tmp_path}", f"BindReadOnlyPaths=/usr:{tmp_path}/link")
    assert context.view.binds == {f"{tmp_path}/link": "/usr"}


def test_names_of_architectures_that_do_not_exist_are_passed_over(units):
    assert units.of("SystemCallArchitectures=amd64").architectures == ()
    assert units.of("SystemCallArchitectures=amd64 x86").architectures == ("x86",)


def test_the_directories_of_a_dynamic_user(units, tmp_path, monkeypatch):
    state = tmp_path / "lib"
    for name in ("shop", "other"):
        (state / "private" / name).mkdir(parents=True)
        (state / "private" / name / "app").write_text("x")
        (state / "private" / name / "app").chmod(0o700)
        (state / name).symlink_to(f"private/{name}")
    (state / "private").chmod(0o700)
    monkeypatch.setitem(_unit_context.DIRECTORIES, "State", str(state))
    context = units.of("DynamicUser=yes", "StateDirectory=shop")
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    for path in (state / "shop/app", state / "private/shop/app"):
        assert not any(map(context.hidden_by, context.view.way(str(path))))
        assert context.barrier(str(path), 1) is None
    assert any(map(context.hidden_by, context.view.way(str(state / "other/app"))))
    stranger = units.of("User=nobody", "StateDirectory=shop")
    assert stranger.barrier(str(state / "shop/app"), 1).path == str(state / "private")


def test_environment_files_by_a_pattern(units, tmp_path):
    for name, value in (("a", "1"), ("b", "2")):
        (tmp_path / f"{name}.env").write_text(f"LD_LIBRARY_PATH=/{value}\n{name}=x\n")
    found = units.of(f"EnvironmentFile={tmp_path}/*.env")
    assert found.environment == {"LD_LIBRARY_PATH": "/2", "a": "x", "b": "x"}
    assert found.missing == ()


def test_specifiers():
    values = parser.specifiers(parse_name("a-b@c\\x2dd-e.service"), "/etc/x", "me", 7, "/home/me")
    expand = parser.expand
    assert expand("%p %i %I %j %J %f %%h %h %u %U %Q", values) == ("a-b c\\x2dd-e c-d/e b b /c-d/e %h /home/me me 7 %Q")
