# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A survey hands over texts: they are understood, or refused in one sentence that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.slipway.go.plugins.action import release
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from hypothesis import given
from hypothesis import strategies as st

ROLE = Path(__file__).resolve().parents[5] / "roles" / "release"
SPECS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]
FLAT = {**{k: v for k, v in release.OPTIONS.items() if k not in ("policy", "proxy")}, **release.POLICY, **release.PROXY}
TEXTS = [
    "",
    " ",
    "30s",
    "abc",
    "false",
    "5",
    "2.0",
    "[1, 2]",
    "[",
    "{",
    "{}",
    "a: b: c",
    "1,,2",
    "\u0661",
    "1e999",
    "nan",
]


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("weights", "5, 25,100", [5, 25, 100]),
        ("weights", "[5, 25, 100]", [5, 25, 100]),
        ("weights", 5, [5]),
        ("weights", [], []),
        ("minisign_keys", "RWone, RWtwo,", ["RWone", "RWtwo"]),
        ("minisign_keys", ["RWone", ""], ["RWone"]),
        ("listen", 8080, ["8080"]),
        ("soak_time", "2.0", 2.0),
        ("keep", "5", 5),
        ("keep", "5.0", 5),
        ("force", "false", False),
        ("force", "yes", True),
        ("force", 1, True),
        ("environment", '{"A": "b"}', {"A": "b"}),
        ("environment", "A: b\nC: d", {"A": "b", "C": "d"}),
        ("smoke", '[["/bin/true"]]', [["/bin/true"]]),
        ("min_go_version", 1.25, "1.25"),
        ("version_binding", "required", "required"),
    ],
)
def test_what_is_understood(option, value, wanted):
    found = survey.understand({option: value}, FLAT)[option]
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("soak_time", "30s"),
        ("soak_time", True),
        ("soak_time", "inf"),
        ("soak_time", [1]),
        ("keep", "5.5"),
        ("keep", "abc"),
        ("keep", False),
        ("force", "maybe"),
        ("weights", "5%"),
        ("weights", "a, b"),
        ("weights", "[5"),
        ("weights", {"a": 1}),
        ("minisign_keys", [["x"]]),
        ("environment", "A=1"),
        ("environment", "[1]"),
        ("probe", "http://127.0.0.1/"),
        ("smoke", "/bin/true"),
        ("strategy", "blue-green"),
        ("version_binding", "off"),
        ("signature_of", "both"),
        ("require_static", "perhaps"),
    ],
)
def test_what_is_refused(option, value):
    with pytest.raises(SlipwayError) as caught:
        survey.understand({option: value}, FLAT)
    assert caught.value.message.startswith(FLAT[option][0])
    assert caught.value.message.endswith(".")
    assert caught.value.fix
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["", " ", "\n", None])
def test_what_was_left_empty_was_not_given(value):
    assert survey.understand(dict.fromkeys(FLAT, value), FLAT) == {}
    nested = {"policy": dict.fromkeys(release.POLICY, value), "proxy": dict.fromkeys(release.PROXY, value)}
    assert survey.understand(nested, release.OPTIONS) == {"policy": {}, "proxy": {}}


def test_an_element_of_a_list_is_named():
    with pytest.raises(SlipwayError) as caught:
        survey.understand({"weights": "5, a"}, FLAT)
    assert str(caught.value).startswith("release_weights has 'a', not a whole number. Fix: correct that element")


def test_secrets_are_not_shown():
    for option in ("environment", "health", "probe"):
        with pytest.raises(SlipwayError) as caught:
            survey.understand({option: "TOKEN=hunter2"}, FLAT)
        assert "hunter2" not in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(FLAT)), ANYTHING)
def test_anything_is_read_or_refused_by_name(option, value):
    message = refusal({option: value})
    assert message is None or (FLAT[option][0] in message and "\n" not in message)


def refusal(options):
    """Any other exception is one too many."""
    try:
        survey.understand(options, FLAT)
    except SlipwayError as error:
        return str(error)
    return None


@pytest.mark.parametrize("entry", ["main", "preflight"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_roles_own_check_leaves_texts_to_the_module(entry, text):
    """It would answer with the whole specification."""
    options = SPECS[entry]["options"]
    assert ArgumentSpecValidator(options).validate(dict.fromkeys(options, text)).error_messages == []
    assert ArgumentSpecValidator(options).validate({}).error_messages == []


class Templated(str):
    """What a variable is, once Ansible has templated it."""

    __slots__ = ()


def test_a_text_of_ansible_is_read_as_any_other():
    assert survey.mapping(Templated("{a: 1}"), "release_environment") == {"a": 1}
    assert survey.list_of(survey.whole)(Templated("[1, 2]"), "release_weights") == [1, 2]
    assert survey.records(Templated('[{"id": "x"}]'), "release_vulnerability_ignore") == [{"id": "x"}]
