from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening import sshd
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17", (9, 2)),
        ("OpenSSH_8.0p1, OpenSSL 1.1.1k  FIPS 25 Mar 2021", (8, 0)),
        ("unknown option -- V\nOpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1w\nusage: sshd", (8, 4)),
        ("OpenSSH_10.0p2 Debian-7", (10, 0)),
    ],
)
def test_versions(text, version):
    assert sshd.parse_version(text) == version


def test_another_ssh_server_is_an_error():
    with pytest.raises(SlipwayError):
        sshd.parse_version("Dropbear v2022.83")


@pytest.mark.parametrize(
    ("config", "first"),
    [
        ("# c\n\nInclude /etc/ssh/sshd_config.d/*.conf\nPort 22\n", True),
        ("Include sshd_config.d/*.conf\n", True),
        ("Port 22\nInclude /etc/ssh/sshd_config.d/*.conf\n", False),
        ("Include /etc/ssh/other.d/*.conf\n", False),
        ("", False),
    ],
)
def test_whether_a_drop_in_wins(config, first):
    assert sshd.includes_first(config) is first


def test_a_block_goes_before_everything_and_is_replaced():
    once = sshd.with_block("Port 22\nMatch User x\n", "A yes\n")
    assert once == "# BEGIN slipway.go\nA yes\n# END slipway.go\nPort 22\nMatch User x\n"
    assert sshd.with_block(once, "B no\n").splitlines()[1] == "B no"
    assert sshd.with_block(once, "") == "Port 22\nMatch User x\n"


def test_algorithms_are_those_the_host_knows():
    assert sshd.choose("Ciphers", ["new", "old"], frozenset({"old"})) == (["old"], ["new"])
    with pytest.raises(SlipwayError) as raised:
        sshd.choose("Ciphers", ["new"], frozenset({"old"}))
    assert raised.value.code == "unsupported_algorithms"


@pytest.mark.parametrize(
    ("settings", "groups", "refused"),
    [
        ({}, [], None),
        ({"AllowUsers": ["deploy"]}, [], None),
        ({"AllowUsers": "dep*"}, [], None),
        ({"AllowUsers": "deploy@10.0.0.0/8"}, [], None),
        ({"AllowUsers": ["admin"]}, [], "AllowUsers admin"),
        ({"AllowGroups": ["sudo"]}, ["deploy"], "AllowGroups sudo"),
        ({"AllowGroups": ["sudo"]}, ["deploy", "sudo"], None),
        ({"AllowGroups": ["sudo"]}, None, None),
        ({"DenyUsers": "deploy"}, [], "DenyUsers"),
        ({"DenyGroups": ["deploy"]}, ["deploy"], "DenyGroups"),
    ],
)
def test_who_would_be_locked_out(settings, groups, refused):
    answer = sshd.who_is_refused(["deploy"], settings, lambda user: groups)
    assert (answer is None) if refused is None else answer.startswith(refused)


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
    assert (sshd.overridden({key: value}, {}, [], {key.lower(): effective}) == []) is fine


def test_ports_and_algorithms_have_to_be_in_force():
    assert sshd.overridden({}, {}, [2222], {"port": ["22"]}) == ["Port is 22, not 2222"]
    assert sshd.overridden({}, {"MACs": ["a", "b"]}, [], {"macs": ["b,a"]})


@pytest.mark.parametrize("settings", [{"A b": 1}, {"A": ""}, {"A": []}])
def test_settings_that_are_no_directives(settings):
    with pytest.raises(SlipwayError):
        sshd.render(settings, {}, [])


def test_a_value_cannot_bring_a_line_of_its_own():
    assert sshd.render({"Banner": "x\nPermitRootLogin yes"}, {}, []).splitlines()[1:] == [
        "Banner x PermitRootLogin yes"
    ]


def test_directives_an_old_sshd_would_not_start_with_are_left_out():
    assert sshd.known({"RequiredRSASize": 2048, "UsePAM": True}, (8, 4)) == ({"UsePAM": True}, ["RequiredRSASize"])
    assert sshd.known({"RequiredRSASize": 2048}, (9, 2)) == ({"RequiredRSASize": 2048}, [])


def test_a_socket_listens_on_both_families():
    text = sshd.socket_drop_in([22, 2222], True)
    assert "ListenStream=\nListenStream=0.0.0.0:22\nListenStream=0.0.0.0:2222\n" in text
    assert "ListenStream=[::]:2222" in text
    assert "[::]" not in sshd.socket_drop_in([22], False)


@pytest.mark.parametrize(
    ("wanted", "before", "own", "users"),
    [
        (["deploy"], [], "", ["deploy"]),
        (["deploy"], [], "alice", ["deploy", "alice"]),
        (["deploy"], ["deploy", "alice"], "bob", ["deploy", "alice", "bob"]),
        (["deploy"], ["deploy", "alice", "bob"], "deploy", ["deploy", "alice", "bob"]),
        (["deploy"], ["deploy", "root"], "", ["deploy"]),
        (["deploy", "root"], ["deploy", "alice", "root"], "root", ["deploy", "alice", "root"]),
        (["deploy@10.0.0.0/8"], [], "deploy", ["deploy@10.0.0.0/8"]),
        (["dep*"], [], "deploy", ["dep*"]),
    ],
)
def test_runs_of_several_administrators_shut_out_nobody(wanted, before, own, users):
    assert sshd.keep_allowed(wanted, before, own) == users
    assert sshd.keep_allowed(wanted, users, own) == users, "the next run would change it again"


def test_who_was_let_in_before_is_read_from_our_own_file_only():
    config = f"{sshd.BEGIN}\nAllowUsers a b\n{sshd.END}\nAllowUsers c\n"
    assert sshd.allowed_before(config, "") == ["a", "b"]
    assert sshd.allowed_before("AllowUsers c\n", "Port 22\nAllowUsers a\n") == ["a"]


@pytest.mark.parametrize(
    ("value", "closed"), [(False, True), ("no", True), ("prohibit-password", False), (True, False)]
)
def test_whether_root_is_closed(value, closed):
    assert sshd.closes_root({"permitrootlogin": value}) is closed


def test_match_blocks_are_judged_from_where_the_connection_comes():
    here = Connection("10.0.0.7", "10.0.0.1", 22)
    assert sshd.seen_from("deploy", here, 0) == "user=deploy,host=10.0.0.7,addr=10.0.0.7,laddr=10.0.0.1,lport=22"
    assert sshd.seen_from("deploy", here, 2222).endswith("lport=2222")
    assert sshd.seen_from("deploy", None, 0).startswith("user=deploy,host=localhost,addr=127.0.0.1,")
