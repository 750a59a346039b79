# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names become paths and units, values become environment files: what is accepted must be so for all who read it."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state import model
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import assume, example, given
from hypothesis import strategies as st

HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ARTEFACT = model.Artefact(sha256=HEX, size=1)

# systemd's basic/unit-name.c: VALID_CHARS of a unit's prefix, with @ between prefix and instance; UNIT_NAME_MAX is 256
# with the closing NUL. A backslash would start an escape, a dash or a slash in the instance is a path's separator.
UNIT = re.compile(r"[A-Za-z0-9:_.\-]+@[A-Za-z0-9:_.\-]+\.(service|socket)\Z")
# shadow-utils' lib/chkname.c, without the capitals and dots that distributions disagree about.
USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}\Z")


def accepted(validate, text):
    """Whether the validator takes it; what it returns is what it was given."""
    try:
        assert validate(text) == text
    except SlipwayError:
        return False
    return True


def likely(pattern):
    """Text that has a chance to be accepted, beside text that has none."""
    return st.one_of(st.from_regex(pattern), st.text(max_size=40), st.text("aZ09-_.+~@/ \n\0%\\:", max_size=130))


@given(name=likely(r"^[a-z][a-z0-9_-]*$"), version=likely(r"^[A-Za-z0-9][A-Za-z0-9._+~-]*$"))
@example(name="shop", version="1.0\n")
@example(name="shop\n", version="1.0")
@example(name="shop", version="1.0+build~rc.1")
@example(name="a" * 31, version="1" * 100)
def test_what_is_accepted_is_a_unit_a_user_and_a_path_everywhere(name, version):
    assume(accepted(model.validate_name, name) and accepted(model.validate_version, version))
    release_id = model.Content(version, HEX, "", {}, {}).release_id()
    assert model.validate_release_id(release_id) == release_id
    layout = Layout(name, "/opt/x")
    for unit in (layout.instance(release_id), layout.rehearsal(release_id)):
        assert UNIT.match(unit)
        assert len(unit.encode()) < 256
    assert USER.match(name)
    path = layout.binary(release_id)
    assert path.split("/")[:4] == ["", "opt", "x", "releases"]
    assert ".." not in path.split("/")
    assert len(path.split("/")) == 7


@pytest.mark.parametrize("name", ["shop", "a", "my-shop_2", "a" * 31])
def test_good_names(name):
    assert model.validate_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Shop", "1shop", "-shop", "sh op", "shop/x", "shop.x", "shop@x", "a" * 32, "shöp", "shop\n", "../x", "shop%i"],
)
def test_bad_names(name):
    refused(lambda: model.validate_name(name), "invalid_name", "service_name", repr(name))


@pytest.mark.parametrize("name", ["systemd", "sshd", "slipway", "shop-guard", "shop-rehearsal"])
def test_reserved_names(name):
    refused(lambda: model.validate_name(name), "invalid_name", "service_name", "belongs to")


@pytest.mark.parametrize("version", ["1", "2.0.0", "v1.2.3-rc.1+build.5", "1.0~beta", "20250101_1", "A" * 100])
def test_good_versions(version):
    assert model.validate_version(version) == version


@pytest.mark.parametrize(
    "version", ["", "1 0", "1/0", "../1", ".1", "-1", "1\n", "1\n2", "1@2", "ü", "1%i", "1\\2", "1" * 101, "\t"]
)
def test_bad_versions(version):
    refused(lambda: model.validate_version(version), "invalid_version", "release_version", repr(version))


@pytest.mark.parametrize("text", ["", "1.0", "1.0-0123456789\n", "1.0-012345678G", "1.0-01234567890", "a/b-0123456789"])
def test_bad_release_ids(text):
    refused(lambda: model.validate_release_id(text), "invalid_release", repr(text), "release_info")


class EnvironmentFile:
    """What systemd's basic/env-file.c makes of a file: an independent reader with the same states."""

    def __init__(self, text):
        self.found, self.state = {}, self.key
        self.name = self.value = self.spaces = ""
        for char in [*text, "\n"]:
            self.state = self.state(char) or self.state

    def key(self, char):
        if not self.name and char in "#;":
            return self.comment
        if char == "=":
            self.value = self.spaces = ""
            return self.before_value
        self.name = "" if char in "\n\r" else self.name + char
        return None

    def comment(self, char):
        return self.key if char in "\n\r" else None

    def before_value(self, char):
        quotes = {'"': self.double, "'": self.single, " ": self.before_value, "\t": self.before_value}
        return quotes.get(char) or self.plain(char)

    def plain(self, char):
        if char in "\n\r":
            self.found[self.name.strip()] = self.value
            self.name = ""
            return self.key
        if char in " \t":
            self.spaces += char
            return self.plain
        self.value, self.spaces = self.value + self.spaces + ("" if char == "\\" else char), ""
        return self.escape if char == "\\" else self.plain

    def escape(self, char):
        self.value += "" if char == "\n" else char
        return self.plain

    def single(self, char):
        return self.before_value if char == "'" else self.take(char)

    def double(self, char):
        return {'"': self.before_value, "\\": self.double_escape}.get(char) or self.take(char)

    def double_escape(self, char):
        if char != "\n":
            self.value += char if char in '"\\$`' else "\\" + char
        return self.double

    def take(self, char):
        self.value += char


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
VALUES = st.one_of(st.text(), st.text("\"\\$`' #;=\t\r", max_size=12), st.booleans(), st.integers(), st.floats())


@given(variables=st.dictionaries(NAMES, VALUES, max_size=5))
@example(variables={"A": 'say "hi" for $5 `now` \\ '})
@example(variables={"A": "# no comment", "B": " ", "C": ""})
def test_what_is_rendered_is_what_systemd_reads(variables):
    if not all(encodable(str(value)) and not set(str(value)) & {"\n", "\0"} for value in variables.values()):
        refused(lambda: model.render_environment(variables), "invalid_environment")
        return
    text = model.render_environment(variables)
    wanted = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in variables.items()}
    assert EnvironmentFile(text).found == wanted
    text.encode()


def encodable(text):
    try:
        return bool(text.encode()) or True
    except UnicodeEncodeError:
        return False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('A="1"\n', {"A": "1"}),
        ("A=1 2 \nB='x\"y'\n# C=3\n;D=4\n", {"A": "1 2", "B": 'x"y'}),
        ('A="1"B="2"\n', {"A": '1B="2"'}),
        ("A=x\\\ny\n", {"A": "xy"}),
    ],
)
def test_the_independent_reader_reads_as_systemd_does(text, expected):
    assert EnvironmentFile(text).found == expected


def test_environment_is_sorted_and_complete():
    assert model.render_environment({"B": True, "A": "x", "C": 0}) == 'A="x"\nB="true"\nC="0"\n'
    assert model.render_environment({}) == ""


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A\n", "Ä", 1])
def test_bad_environment_names(name):
    refused(lambda: model.render_environment({name: "x", "GOOD": "y"}), "invalid_environment", repr(str(name)))


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "\udcff"])
def test_bad_environment_values_are_refused_and_not_shown(value):
    with pytest.raises(SlipwayError) as caught:
        model.render_environment({"TOKEN": f"secret{value}"})
    assert caught.value.code == "invalid_environment"
    assert "TOKEN" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "service_config_files" in caught.value.fix


GOOD = model.Settings("shop", "/opt/shop")


@pytest.mark.parametrize("root", ["opt/shop", "", "/opt/../etc", "/opt/shop/..", "/", "//", "/.", "./shop"])
def test_bad_roots(root):
    refused(lambda: replace(GOOD, root=root), "invalid_root", "service_root", repr(root))


@pytest.mark.parametrize("keep", [1, 0, -1])
def test_keep_has_room_for_the_current_and_the_last_good(keep):
    refused(lambda: replace(GOOD, keep=keep), "invalid_keep", "release_keep", str(keep))


@pytest.mark.parametrize("option", ["start_timeout", "drain_timeout", "soak_time", "lock_timeout"])
@pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf])
def test_durations_are_seconds(option, value):
    refused(lambda: replace(GOOD, **{option: value}), "invalid_duration", f"release_{option}")
    assert getattr(replace(GOOD, **{option: 0}), option) == 0


def test_settings_check_the_name():
    refused(lambda: replace(GOOD, name="No Name"), "invalid_name")


def test_strategies_are_those_there_are():
    for strategy in model.STRATEGIES:
        assert model.Spec("1", strategy, ARTEFACT, "shop").strategy == strategy
    refused(lambda: model.Spec("1", "magic", ARTEFACT, "shop"), "invalid_strategy", "service_swap", "'magic'")
    refused(lambda: model.Spec("", "socket", ARTEFACT, "shop"), "invalid_version")


CONTENT = model.Content("1.0", HEX, 'A="1"\n', {"a.toml": HEX}, {"shop@.service": HEX})


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.1"},
        {"artefact_sha256": hashlib.sha256(b"x").hexdigest()},
        {"environment": 'A="2"\n'},
        {"config": {}},
        {"config": {"b.toml": HEX}},
        {"units": {}},
        {"version": "1.0+1"},
    ],
)
def test_any_change_of_content_is_another_release(change):
    assert replace(CONTENT, **change).release_id() != CONTENT.release_id()


def test_the_same_content_is_the_same_release_in_any_order():
    one = replace(CONTENT, config={"a": "1", "b": "2"})
    two = replace(CONTENT, config={"b": "2", "a": "1"})
    assert one.release_id() == two.release_id()
    assert re.fullmatch(r"1\.0-[0-9a-f]{10}", one.release_id())


def test_versions_that_look_the_same_in_a_unit_name_are_told_apart():
    plus, tilde = (replace(CONTENT, version=v).release_id() for v in ("1.0+1", "1.0~1"))
    assert plus.startswith("1.0_1-")
    assert tilde.startswith("1.0_1-")
    assert plus != tilde
