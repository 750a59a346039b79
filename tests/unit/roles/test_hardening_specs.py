from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


@pytest.mark.parametrize("role", ["base", "deploy_user", "ssh", "firewall", "selinux"])
def test_specs_say_what_the_defaults_are(role):
    defaults = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
    options = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    assert {name: option.get("default") for name, option in options.items()} == defaults
    assert (ROLES / role / "README.md").is_file()
