# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._units import context as _unit_context
from ansible_collections.slipway.go.plugins.module_utils._units import parser
from ansible_collections.slipway.go.plugins.module_utils._units.parser import parse_name, read_unit, split_words


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
    assert [context.may_execute(path) for path in paths] == [True, True, False, False]
    assert units.of().may_execute("/anything")


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
    stranger = _unit_context.Credentials(4711, frozenset([4711]), False)
    member = _unit_context.Credentials(4711, frozenset([file.stat().st_gid]), False)
    reachable = stranger.may(str(tmp_path), 1)
    assert stranger.may(str(file), 1) is reachable
    file.chmod(0o750)
    assert not stranger.may(str(file), 4)
    assert member.may(str(file), 4) is reachable
    file.chmod(0o755)
    file.parent.chmod(0o700)
    assert not stranger.may(str(file), 4)
    assert _unit_context.Credentials(0, frozenset([0]), True).may(str(file), 1)
    file.chmod(0o644)
    assert not _unit_context.Credentials(0, frozenset([0]), True).may(str(file), 1)


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
        ("User=4711", False),
        ("Group=nosuchgroup", True),
    ],
)
def test_what_the_unit_names_and_is_not_there(units, setting, missing):
    found = units.of(setting).missing
    assert [problem.code for problem in found] == ["unit_missing"] * missing
    assert all(setting.split("=")[0] in problem.message for problem in found)


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
