"""One line a host; whoever did not answer is down."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.status_table import status_table

GOOD = {"service": "shop", "current": "2.0.0-aa00bb11cc", "since": 1.0, "health": "pass", "p99": 0.002, "restarts": 0}


def test_hosts_that_serve_and_hosts_that_do_not() -> None:
    told = {
        "web1": GOOD,
        "web2": {**GOOD, "health": "fail", "message": "readyz answers 503"},
        "web3": {"unreachable": True, "msg": "no route to host"},
    }
    found = status_table(told, "shop")
    assert found["down"] == ["web2/shop", "web3/shop"]
    lines = found["table"].splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["web1", "web2", "web3"]
    assert "2.0.0-aa00bb11cc" in lines[1]
    assert "web2/shop: readyz answers 503" in found["table"]
    assert "web3/shop: no route to host" in found["table"]
    assert found["reasons"] == {
        "web2": "shop is not well on this host: readyz answers 503.",
        "web3": "shop is not well on this host: no route to host.",
    }


def test_a_host_whose_record_is_damaged_is_not_all_well() -> None:
    found = status_table({"web1": {**GOOD, "message": "fine", "damaged": ["state.json is not readable."]}}, "shop")
    assert found["down"] == ["web1/shop"]
    assert "web1/shop: fine state.json is not readable." in found["table"]


def test_a_release_that_may_yet_be_taken_back_is_not_fine() -> None:
    until = "3.0.0-99887766ff is unconfirmed until 14:03:20 UTC, and is taken back then (PROBATION)"
    found = status_table({"web1": {**GOOD, "unsettled": until}}, "shop")
    assert found["down"] == ["web1/shop"]
    assert f"web1/shop: {until}" in found["table"]


def test_a_first_release_that_failed_is_known() -> None:
    told = {**GOOD, "current": None, "state": "never released", "health": "fail", "message": "never released"}
    told["history"] = [{"event": "rolled_back", "release": "1.0-aa00bb11cc", "reason": "readyz\nanswers 503"}]
    found = status_table({"web1": told}, "shop")
    why = "never released: 1.0-aa00bb11cc was rolled back: readyz answers 503"
    assert found["reasons"] == {"web1": f"shop is not well on this host: {why}."}
    assert f"web1/shop: {why}" in found["table"]
    told["history"] = []
    assert status_table({"web1": told}, "shop")["reasons"] == {"web1": "shop is not well on this host: never released."}


def test_anything_but_a_dictionary_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError):
        status_table(["web1"], "shop")


def test_a_release_that_waits_for_a_person_is_paused() -> None:
    told = {**GOOD, "unsettled": "3.0.0 is paused since 14:03:20 UTC", "in_flight": {"paused": {"since": 1.0}}}
    found = status_table({"web1": told}, "shop")
    assert found["down"] == ["web1/shop"]
    assert "  paused  " in found["table"]
    assert "web1/shop: 3.0.0 is paused since" in found["table"]
