"""Every row of the fix table by its subject, in the order in which they run. Scenes need no host."""

from __future__ import annotations

from ansible_collections.slipway.go.tests.faults.fixes import (
    access,
    archives,
    armed,
    balancers,
    building,
    builds,
    bundling,
    changes,
    controllers,
    elsewhere,
    hosts,
    inputs,
    intake,
    leases,
    life,
    linked,
    notices,
    options,
    origins,
    playbooks,
    programs,
    rebuilds,
    releases,
    removals,
    settings,
    several,
    sources,
    strategies,
    swaps,
)
from ansible_collections.slipway.go.tests.faults.fixes.model import Row
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes

SUBJECTS: dict[str, list[Row]] = {
    "programs": programs.ROWS,
    "access": access.ROWS,
    "building": building.ROWS,
    "intake": intake.ROWS,
    "settings": settings.ROWS,
    "playbooks": playbooks.ROWS,
    "diagnosis": life.DIAGNOSIS,
    "life": life.ROWS,
}

SCENES: dict[str, Scenes] = {
    "swaps": swaps.SCENES,
    "strategies": strategies.SCENES,
    "removals": removals.SCENES,
    "armed": armed.SCENES,
    "controllers": controllers.SCENES,
    "sources": sources.SCENES,
    "rebuilds": rebuilds.SCENES,
    "bundling": bundling.SCENES,
    "hosts": hosts.SCENES,
    "inputs": inputs.SCENES,
    "options": options.SCENES,
    "notices": notices.SCENES,
    "builds": builds.SCENES,
    "linked": linked.SCENES,
    "archives": archives.SCENES,
    "releases": releases.SCENES,
    "changes": changes.SCENES,
    "leases": leases.SCENES,
    "origins": origins.SCENES,
    "elsewhere": elsewhere.SCENES,
    "several": several.SCENES,
    "balancers": balancers.SCENES,
}
