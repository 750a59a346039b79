from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import directives


def test_algorithms_are_those_the_host_knows():
    assert directives.choose("Ciphers", ["new", "old"], frozenset({"old"})) == (["old"], ["new"])
    with pytest.raises(SlipwayError) as raised:
        directives.choose("Ciphers", ["new"], frozenset({"old"}))
    assert raised.value.code == "unsupported_algorithms"


@pytest.mark.parametrize(
    ("key", "value", "effective", "fine"),
    [
        ("PermitRootLogin", "prohibit-password", ["without-password"], True),
        ("PermitRootLogin", False, ["yes"], False),
        ("LoginGraceTime", "2m", ["120"], True),
        ("AllowUsers", ["b", "a"], ["a", "b"], True),
        ("PerSourcePenalties", "crash:90s", ["crash:90 authfail:5"], True),
        ("PerSourcePenalties", "crash:80s", ["crash:90 authfail:5"], False),
    ],
)
def test_effective_values(key, value, effective, fine):
    assert (directives.overridden({key: value}, {}, [], {key.lower(): effective}) == []) is fine


def test_ports_and_algorithms_have_to_be_in_force():
    assert directives.overridden({}, {}, [2222], {"port": ["22"]}) == ["Port is 22, not 2222"]
    assert directives.overridden({}, {"MACs": ["a", "b"]}, [], {"macs": ["b,a"]})


@pytest.mark.parametrize("settings", [{"A b": 1}, {"A": ""}, {"A": []}])
def test_settings_that_are_no_directives(settings):
    with pytest.raises(SlipwayError):
        directives.render(settings, {}, [])


def test_a_value_cannot_bring_a_line_of_its_own():
    assert directives.render({"Banner": "x\nPermitRootLogin yes"}, {}, []).splitlines()[1:] == [
        "Banner x PermitRootLogin yes"
    ]


def test_directives_an_old_sshd_would_not_start_with_are_left_out():
    assert directives.known_directives({"RequiredRSASize": 2048, "UsePAM": True}, (8, 4)) == (
        {"UsePAM": True},
        ["RequiredRSASize"],
    )
    assert directives.known_directives({"RequiredRSASize": 2048}, (9, 2)) == ({"RequiredRSASize": 2048}, [])


KEX = "KexAlgorithms"


FALLBACK = {KEX: ["curve25519-sha256"]}


def chosen(wanted, fallback, *known, version=(9, 2)):
    supported = {KEX: frozenset(known), "PubkeyAcceptedAlgorithms": frozenset(known)}
    return directives.choose_algorithms(wanted, fallback, supported, version)


@pytest.mark.parametrize(
    ("wanted", "told", "left_out"),
    [
        (["mlkem", "sntrup"], ["sntrup"], ["mlkem"]),
        (["mlkem"], ["curve25519-sha256"], ["mlkem"]),
        ([], [], []),
    ],
    ids=["known", "none-known", "switched-off"],
)
def test_algorithms(wanted, told, left_out):
    assert chosen({KEX: wanted}, FALLBACK, "sntrup", "curve25519-sha256") == (
        {KEX: told},
        left_out,
    )


def test_a_directive_by_the_name_that_an_old_openssh_has_for_it():
    found = chosen({"PubkeyAcceptedAlgorithms": ["a"]}, {}, "a", version=(8, 4))
    assert found == ({"PubkeyAcceptedKeyTypes": ["a"]}, [])


def test_a_directive_that_names_no_algorithms():
    with pytest.raises(SlipwayError, match="Port does not name algorithms"):
        chosen({"Port": ["22"]}, {})
