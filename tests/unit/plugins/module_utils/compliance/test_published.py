# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that containers publish, of what nft and iptables say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._compliance.published import Seen, published

SAVED = """\
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9:8080
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.3:5432
-A DOCKER -d 192.0.2.7/32 ! -i docker0 -p udp -m udp --dport 53 -j DNAT --to-destination 172.17.0.4:53
-A CNI-DN-1a2b -p tcp -m tcp --dport 9000 -j DNAT --to-destination 10.88.0.2:90
COMMIT
"""


def test_iptables() -> None:
    """Not what somebody forwards by a rule of his own, and not what only this host reaches."""
    assert [str(one) for one in published("", [SAVED, ""]).ports] == [
        "8080/tcp → 172.17.0.2:80",
        "9000/tcp → 10.88.0.2:90",
        "53/udp on 192.0.2.7/32 → 172.17.0.4:53",
    ]


def rule(*expressions: Any, chain: str = "DOCKER", table: str = "nat") -> dict[str, Any]:
    return {"rule": {"family": "ip", "table": table, "chain": chain, "handle": 1, "expr": list(expressions)}}


def port(value: Any, protocol: str = "tcp") -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": "dport"}}, "right": value}}


def daddr(value: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": value}}


DNAT = {"dnat": {"family": "ip", "addr": "10.88.0.5", "port": 80}}


def test_nft() -> None:
    entries = [
        {"metainfo": {"version": "1.0.6"}},
        {"chain": {"family": "ip", "table": "nat", "name": "DOCKER"}},
        rule(port(8080), DNAT),
        rule(port({"range": [9000, 9010]}, "udp"), DNAT, chain="nv_2f25_10_88_0_0_nm16_dnat", table="netavark"),
        rule(daddr("127.0.0.1"), port(5432), DNAT),
        rule(daddr({"prefix": {"addr": "192.0.2.0", "len": 24}}), port({"set": [80, 443]}), DNAT),
        rule({"xt": {"type": "target", "name": "DNAT"}}),
        rule(port(22), {"dnat": None}),
        rule(port(81), DNAT, chain="PREROUTING"),
    ]
    assert [str(one) for one in published(json.dumps({"nftables": entries}), []).ports] == [
        "80,443/tcp on 192.0.2.0/24 → 10.88.0.5:80",
        "8080/tcp → 10.88.0.5:80",
        "9000-9010/udp → 10.88.0.5:80",
    ]


def test_the_same_port_told_twice_is_one() -> None:
    entries = [rule(port(8080), {"dnat": {"addr": "172.17.0.2", "port": 80}})]
    assert (
        len(
            published(
                json.dumps({"nftables": entries}),
                ["-A DOCKER -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"],
            ).ports
        )
        == 1
    )


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"nftables": 1}', '{"nftables": ["x", null, {"rule": "x"}, {"rule": {}}]}']
)
def test_what_says_nothing(text: str) -> None:
    assert published(text, ["", "# nothing", "-A "]) == Seen()


COMMENT = "-A {} -p tcp -m comment --comment {} -m tcp --dport 80 -j DNAT --to-destination 10.88.0.2:80"


@pytest.mark.parametrize("comment", ['"it is "mine"', "it's", '"one\nmore"'])
def test_a_line_of_iptables_that_cannot_be_read(comment: str) -> None:
    """The others are read, and one of a chain that no container has is not missed."""
    seen = published("", [f"{COMMENT.format('MINE', comment)}\n{COMMENT.format('CNI-DN-1', comment)}\n{SAVED}"])
    assert len(seen.ports) == 3
    assert seen.unread_chains == ["CNI-DN-1"]


@pytest.mark.parametrize(
    ("expressions", "ports", "unread"),
    [
        (1, 0, True),
        (["x", DNAT], 0, True),
        ([{"match": "x"}, DNAT], 0, True),
        ([{"match": {"op": "==", "left": "x", "right": 80}}, DNAT], 0, True),
        ([{"match": {"op": "==", "left": {"payload": "x"}, "right": 80}}, DNAT], 0, True),
        ([port({"prefix": 1}), DNAT], 0, True),
        ([port({"range": 1}), DNAT], 0, True),
        ([port({"set": 1}), DNAT], 0, True),
        (["x", port(8080), DNAT], 1, False),
        (["counter packets 0 bytes 0", {"xt": None}], 0, False),
        ([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}}, DNAT], 0, False),
    ],
)
def test_a_rule_of_nft_that_cannot_be_read(expressions: Any, ports: int, unread: bool) -> None:
    """A statement that nft tells as text is not missed in a rule that forwards nothing."""
    told = {"rule": {"table": "nat", "chain": "DOCKER", "expr": expressions}}
    seen = published(json.dumps({"nftables": [told, rule(port(22), DNAT)]}), [])
    assert (len(seen.ports), seen.unread_chains) == (ports + 1, ["DOCKER"] if unread else [])
