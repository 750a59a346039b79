from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.operator import status_table

ROWS = [
    {
        "host": "web1",
        "service": "shop",
        "release": "1.4.2-0123456789",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "since": 1000.0,
        "health": "pass",
        "p99": 0.0123,
        "restarts": 0,
    },
    {"host": "web2", "service": "shop", "health": "fail", "message": "web2:80 refused\nthe \x1b[31mconnection"},
    {"host": "web3", "service": "shop", "health": "warn", "restarts": 2},
    {"host": "web4", "service": None},
]


def test_the_table() -> None:
    assert status_table.render_status_table(ROWS, 1000.0 + 3 * 86400 + 4 * 3600 + 5).splitlines() == [
        "HOST  SERVICE  RELEASE           COMMIT        SINCE  HEALTH  P99      RESTARTS",
        "web1  shop     1.4.2-0123456789  0123456789ab  3d 4h  pass    12.3 ms  0",
        "web2  shop     -                 -             -      fail    -        -",
        "web3  shop     -                 -             -      warn    -        2",
        "web4  -        -                 -             -      -       -        -",
        "",
        "web2/shop: web2:80 refused the  [31mconnection",
    ]


def test_what_is_down() -> None:
    assert status_table.down(ROWS) == ["web2/shop", "web4/-"]
    assert status_table.down(ROWS[:1]) == []


def test_an_empty_table_has_its_head() -> None:
    assert status_table.render_status_table([]).startswith("HOST  SERVICE")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (61, "1m 1s"), (3600, "1h 0m"), (90000, "1d 1h"), (-5, "0s")]
)
def test_ages(seconds: float, text: str) -> None:
    assert status_table.age(seconds) == text
