"""The servers of an upstream of nginx: found and marked wherever nginx itself would find them."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._balancer.upstream import entries, with_server
from hypothesis import given
from hypothesis import strategies as st

TEXT = """\
# upstream shop { server web1:80; }
upstream other { server web1:80; }
upstream shop {
    least_conn;
    server web1:80 max_fails=2;  # the first; server web9:80;
    server "web2:80"
        weight=5 down;
    server web3:80 backup;
    server unix:/run/shop.sock;
}
server { listen 80; location / { proxy_pass http://shop; } }
"""


def names(text: str, upstream: str = "shop") -> list[tuple[str, bool]]:
    return [(one.name, one.serves) for one in entries(text, upstream)]


def test_servers_are_found_with_what_they_are() -> None:
    assert names(TEXT) == [
        ("web1:80", True),
        ("web2:80", False),
        ("web3:80", False),
        ("unix:/run/shop.sock", True),
    ]
    assert names(TEXT, "other") == [("web1:80", True)]
    assert names(TEXT, "shop2") == []


def test_one_server_is_marked_and_nothing_else_changes() -> None:
    out = with_server(TEXT, "shop", "web1:80", down=True)
    assert out == TEXT.replace("max_fails=2;  # the first", "max_fails=2 down;  # the first")
    assert with_server(out, "shop", "web1:80", down=True) == out
    assert with_server(out, "shop", "web1:80", down=False) == TEXT


def test_a_mark_on_a_line_of_its_own_goes() -> None:
    back = with_server(TEXT, "shop", "web2:80", down=False)
    assert back == TEXT.replace("weight=5 down;", "weight=5;")


@pytest.mark.parametrize(
    "text",
    [
        "upstream shop { server a; ",
        "upstream shop { server 'a",
        "upstream shop { server a; } }",
        "upstream\nshop\n{server a;}",
        'upstream "shop" {server a;}',
        "http { upstream shop { server a; } }",
        "upstream shop { server a; } upstream shop { server b; }",
    ],
)
def test_the_server_is_found_in_any_shape(text: str) -> None:
    found = names(text)
    assert found == [] if "'" in text else ("a", True) in found
    marked = with_server(text, "shop", "a", down=True)
    assert not any(serves for name, serves in names(marked) if name == "a")
    assert with_server(marked, "shop", "a", down=False) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("upstream shop { hash ${request_uri} consistent; server a; server b; }", "ab"),
        ("upstream shop { server a; server b; hash ${request_uri}; server c; }", "abc"),
        ("map ${a} $b { default 1; } upstream shop { server a; }", "a"),
        ("upstream shop { server a; } upstream shop2 { server b; } server { server c; }", "a"),
        ("upstream shop { zone z 64k; server a; include more.conf; }", "a"),
    ],
)
def test_variables_and_other_blocks_hide_no_server(text: str, found: str) -> None:
    assert [name for name, _serves in names(text)] == list(found)


@pytest.mark.parametrize("text", ["server a:80 # note\n ;", "server a:80\t; # note", "server a:80 weight=2\r\n;"])
def test_a_comment_stays_a_comment(text: str) -> None:
    whole = f"upstream shop {{ {text} }}"
    out = with_server(whole, "shop", "a:80", down=True)
    assert names(out) == [("a:80", False)]
    assert with_server(out, "shop", "a:80", down=False) == whole


def test_a_mark_behind_a_comment_goes_and_the_comment_stays() -> None:
    back = with_server("upstream shop { server a:80 # note\n down; }", "shop", "a:80", down=False)
    assert back == "upstream shop { server a:80 # note\n ; }"
    assert names(back) == [("a:80", True)]


PIECES = st.sampled_from(
    ["upstream", "shop", "server", "a", "b:80", "down", "backup", "{", "}", ";", " ", "\n", "#", "'", '"', "\\", "${x}"]
)


@given(st.lists(PIECES, max_size=30).map(" ".join), st.booleans())
def test_whatever_the_file_is_only_this_server_changes(text: str, down: bool) -> None:
    after = with_server(text, "shop", "a", down)
    others = [one for one in names(text) if one[0] != "a"]
    assert [one for one in names(after) if one[0] != "a"] == others
    assert [one.down is not None for one in entries(after, "shop") if one.name == "a"] == [
        down for one in entries(text, "shop") if one.name == "a"
    ]
    assert with_server(after, "shop", "a", down) == after
