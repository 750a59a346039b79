# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things are on a host that more than one package knows. This file is PRIVATE to the collection."""

from __future__ import annotations

TOOL = "/usr/local/sbin/slipway"
STATE_ROOT = "/var/lib/slipway"
UNIT_ROOT = "/etc/systemd/system"
# One file for each service of the host: what the runs of its other services have to know of it.
SERVICES_ROOT = "/etc/slipway/services"
# One file for each service behind HAProxy, with the local ports that no other may have.
PORTS_ROOT = "/etc/slipway/ports"
# One file for each service that the host watches, with the options of its watch.
WATCH_ROOT = "/etc/slipway/watch"
WATCHER = "slipway-watch.service"
