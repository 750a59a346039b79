from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import drop_in


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
    assert drop_in.includes_first(config) is first


def test_a_block_goes_before_everything_and_is_replaced():
    once = drop_in.with_block("Port 22\nMatch User x\n", "A yes\n")
    assert once == "# BEGIN slipway.go\nA yes\n# END slipway.go\nPort 22\nMatch User x\n"
    assert drop_in.with_block(once, "B no\n").splitlines()[1] == "B no"
    assert drop_in.with_block(once, "") == "Port 22\nMatch User x\n"


def test_a_socket_listens_on_both_families():
    text = drop_in.socket_drop_in([22, 2222], True)
    assert "ListenStream=\nListenStream=0.0.0.0:22\nListenStream=0.0.0.0:2222\n" in text
    assert "ListenStream=[::]:2222" in text
    assert "[::]" not in drop_in.socket_drop_in([22], False)


def test_who_was_let_in_before_is_read_from_our_own_file_only():
    config = f"{drop_in.BEGIN}\nAllowUsers a b\n{drop_in.END}\nAllowUsers c\n"
    assert drop_in.allowed_before(config, "") == ["a", "b"]
    assert drop_in.allowed_before("AllowUsers c\n", "Port 22\nAllowUsers a\n") == ["a"]
