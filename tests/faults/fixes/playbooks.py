"""Rows of playbooks as operators run them, on a host that has the service of life.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.life import variables
from ansible_collections.slipway.go.tests.faults.fixes.model import Playbook, Row

SRC = "@files/shop-2.0.0"
FRESH: dict[str, Any] = {
    "service_name": "fresh",
    "service_listen": ["7173"],
    "release_health": {"url": "http://127.0.0.1:7173/readyz", "deadline": 20},
}


def site(**more: Any) -> Playbook:
    return Playbook("site", variables("2.0.0", SRC, **more))


def preflight(**more: Any) -> Playbook:
    return Playbook("preflight", variables("2.0.0", SRC, **more))


ROWS = [
    Row(
        "invalid_variable",
        "service_watch is no boolean",
        site(service_watch="perhaps"),
        literal("set service_watch to true or false"),
        give={"service_watch": True},
    ),
    Row(
        "invalid_variable",
        "a survey leaves service_swap empty",
        site(service_swap=""),
        r"leave service_swap out, or give .*",
        give={"service_swap": None},
    ),
    Row(
        "invalid_force",
        "release_force is no boolean",
        preflight(release_force="perhaps"),
        literal("set release_force to true or false"),
        give={"release_force": True},
    ),
    Row(
        "unknown_variables",
        "a variable is misspelt, and unknown ones are refused",
        preflight(slipway_unknown_variables="refuse", release_sok_time=5),
        r"write release_soak_time, or add the name to slipway_other_variables if somebody else reads it",
        give={"release_sok_time": None, "release_soak_time": 0},
    ),
    Row(
        "unknown_variables",
        "a variable is somebody else's, and unknown ones are refused",
        preflight(slipway_unknown_variables="refuse", release_colour="blue"),
        r"(write \w+|remove it), or add the name to slipway_other_variables if somebody else reads it",
        give={"slipway_other_variables": ["release_colour"]},
    ),
    Row(
        "unknown_directive",
        "a directive of systemd is misspelt",
        site(service_directives={"MemoryMacs": "1G"}),
        r"write MemoryMax in service_directives",
        give={"service_directives": {"MemoryMax": "1G"}},
    ),
    Row(
        "no_units",
        "a service is released that was never set up",
        Playbook("release", variables("2.0.0", SRC, **FRESH)),
        r"apply the role slipway\.go\.service first, or run site\.yml",
        then=Playbook("site", variables("1.0.0", "@files/shop-1.0.0", **FRESH)),
    ),
]
