"""The filter renders what the engine renders, and says what is wrong in Ansible's own way."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.environment_file import environment_file


def test_values_are_quoted_and_sorted() -> None:
    assert environment_file({"B": 'say "hi" for $5', "A": True}) == 'A="true"\nB="say \\"hi\\" for \\$5"\n'


@pytest.mark.parametrize("wrong", [["A=1"], "A=1", {"A B": 1}, {"A": "one\ntwo"}])
def test_what_cannot_be_an_environment_is_an_error(wrong: object) -> None:
    with pytest.raises(AnsibleFilterError):
        environment_file(wrong)
