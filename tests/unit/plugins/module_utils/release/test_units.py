# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release brings its units, and they are in force with it and not before."""

from __future__ import annotations

import os

from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


def test_a_changed_socket_is_opened_anew_before_the_release_takes_it(sockets):
    sockets.release("v1")
    old = sockets.systemd.socket
    sockets.release("v2")
    assert sockets.systemd.socket == old, "the same unit, the same socket"
    sockets.write_unit("another backlog")
    sockets.release("v3")
    assert sockets.systemd.socket != old
    assert sockets.settled() == sockets.id_of("v3")


def test_units_that_systemd_has_not_read_yet_are_read_before_the_release_starts(host):
    """The role wrote them, and then the daemon-reload failed or never came."""
    host.release("v1")
    known = dict(host.systemd.loaded)
    host.write_unit("another sandbox", "shop@.service")
    host.systemd.loaded = known
    host.release("v2")
    assert "another sandbox" in host.systemd.loaded["shop@.service"]


def test_after_a_bad_release_with_a_changed_socket_the_old_one_serves_on_the_socket_that_is_open(sockets):
    good = sockets.release("v1").current
    sockets.write_unit("another backlog")
    sockets.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: sockets.release("v2"), "rolled_back")
    assert sockets.settled() == good


def test_a_release_comes_back_in_the_units_it_was_released_with(host):
    host.write_unit("old sandbox", "shop@.service")
    first = host.release("v1").current
    host.write_unit("new sandbox", "shop@.service")
    host.release("v2")
    assert "new sandbox" in host.systemd.loaded["shop@.service"]
    assert host.rollback().current == first
    assert "old sandbox" in host.systemd.loaded["shop@.service"]
    host.behaviours["v3"] = Behaviour(healthy=False)
    host.write_unit("newer sandbox", "shop@.service")
    refused(lambda: host.release("v3"), "rolled_back")
    assert "old sandbox" in host.systemd.loaded["shop@.service"]


def template(host):
    """Of the unit that releases start in: what is in force."""
    with open(host.layout.template_unit, encoding="utf-8") as stream:
        return stream.readline().strip()


def test_units_for_the_next_release_are_not_in_force_under_the_one_that_serves(host):
    """A crash, a boot or a restart would start it with arguments that it does not know."""
    host.write_unit("first", "shop@.service")
    host.release("v1")
    host.write_unit("second", "shop@.service")
    assert template(host) == "# first"
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.rehearse().release("v2"), "refused")
    assert template(host) == "# first"
    host.release("v3")
    assert template(host) == "# second"


def test_after_a_rollback_the_next_release_still_has_its_units_beside_its_environment(host):
    host.write_unit("first", "shop@.service")
    host.release("v1")
    host.write_unit("second", "shop@.service")
    with open(os.path.join(host.layout.config, "environment"), "w", encoding="utf-8") as stream:
        stream.write('SHARED="second"\n')
    host.behaviours["v2"] = Behaviour(sick_after=3)
    refused(lambda: host.release("v2"), "rolled_back")
    assert template(host) == "# first"
    current = host.release("v3").current
    assert template(host) == "# second"
    with open(os.path.join(host.layout.release(current), "environment"), encoding="utf-8") as stream:
        assert 'SHARED="second"' in stream.read()
