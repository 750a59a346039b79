"""Which commit a host of a wave takes."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._pull.waves import Candidate, choose, parse


@pytest.mark.parametrize(
    ("content", "wave"),
    [(b"3\n", 3), (b" 12 ", 12), (b"0", 0), (b"", None), (None, None), (b"-1", None), (b"two", None), (b"12345", None)],
)
def test_a_wave_is_a_number(content, wave):
    assert parse(content) == wave


def test_digits_of_other_scripts_are_none():
    assert parse("٣".encode()) is None


def test_the_newest_commit_that_is_for_the_wave():
    line = [Candidate("c", 1), Candidate("b", None), Candidate("a", 3)]
    assert [choose(line, wave) for wave in (1, 2, 3, 4)] == ["c", "a", "a", None]
