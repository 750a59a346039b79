"""Where the probe goes when a proxy sends users from HTTP to TLS."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.probe import parse_plan
from ansible_collections.slipway.go.plugins.plugin_utils._input.users_probe import name_of, through_tls

HEALTH = {"url": "http://127.0.0.1:9090/-/ready?deep=1", "deadline": 20, "identity": {"unit": "x"}, "timeout": 3}
CA = "/etc/slipway-haproxy/shop.pem"


def sent(probe: Any = None, health: Any = None, tls: Any = ("443",), host: str | None = "shop.test") -> dict[str, Any]:
    return through_tls(probe or {}, health or HEALTH, ["9090"], tls, host, CA)


def test_what_the_health_check_asks_is_asked_by_tls() -> None:
    found = sent()
    assert found == {"url": "https://shop.test/-/ready?deep=1", "address": "127.0.0.1:443", "ca_file": CA, "timeout": 3}
    check = parse_plan(HEALTH, found).check
    assert check is not None
    assert check.connection is not None
    assert check.connection.tls is not None
    assert str(check.connection.endpoint) == "127.0.0.1:443"
    assert (check.connection.tls.verify, check.connection.tls.ca_file) == (True, CA)


@pytest.mark.parametrize(
    ("listen", "url", "address"),
    [
        ("8443", "https://shop.test:8443/-/ready?deep=1", "127.0.0.1:8443"),
        (8443, "https://shop.test:8443/-/ready?deep=1", "127.0.0.1:8443"),
        ("0.0.0.0:443", "https://shop.test/-/ready?deep=1", "127.0.0.1:443"),
        ("[::]:443", "https://shop.test/-/ready?deep=1", "[::1]:443"),
        ("192.0.2.1:443", "https://shop.test/-/ready?deep=1", "192.0.2.1:443"),
    ],
)
def test_it_goes_where_the_proxy_listens(listen: Any, url: str, address: str) -> None:
    found = sent(tls=[listen])
    assert (found["url"], found["address"]) == (url, address)
    assert parse_plan(HEALTH, found).check is not None


def test_what_the_operator_says_goes_first() -> None:
    found = sent({"rate": 50, "max_failed": 3, "validate_certs": False, "timeout": 1})
    assert (found["rate"], found["max_failed"], found["validate_certs"], found["timeout"]) == (50, 3, False, 1)
    assert found["url"].startswith("https://")


@pytest.mark.parametrize("own", ["url", "kind", "address", "unix_socket"])
def test_a_target_of_its_own_stays(own: str) -> None:
    assert sent({own: "x"}) == {own: "x"}


@pytest.mark.parametrize(
    "health",
    [
        {"url": "http://127.0.0.1:9091/"},
        {"url": "https://127.0.0.1:9090/"},
        {"url": "http://127.0.0.1:x/"},
        {"kind": "tcp", "address": "127.0.0.1:9090"},
        {"url": "http://localhost/", "unix_socket": "/run/x"},
    ],
)
def test_what_does_not_meet_the_redirect_stays(health: dict[str, Any]) -> None:
    assert sent({"rate": 1}, health) == {"rate": 1}


def test_without_a_name_nothing_is_verified() -> None:
    found = sent(host=None)
    assert (found["url"], found["validate_certs"]) == ("https://localhost/-/ready?deep=1", False)
    assert parse_plan(HEALTH, found).check is not None


def test_an_address_as_name() -> None:
    found = sent(host="2001:db8::1")
    assert found["url"] == "https://[2001:db8::1]/-/ready?deep=1"
    assert parse_plan(HEALTH, found).check is not None


@pytest.mark.parametrize(
    ("names", "certified", "name"),
    [
        (["*.shop.test", "shop.test"], "x.test", "shop.test"),
        (["*.shop.test", "www.*"], "x.test", "x.test"),
        ([], None, None),
    ],
)
def test_the_name_that_is_asked_for(names: list[str], certified: str | None, name: str | None) -> None:
    assert name_of(names, certified) == name
