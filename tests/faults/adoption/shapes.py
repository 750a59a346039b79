# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services as people set them up by hand, with the program of the lab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BINARY = "/usr/local/bin/NAME"


@dataclass(frozen=True)
class Shape:
    """One service on the lab's host. NAME and PORT are put into its files; variables are those of the inventory."""

    name: str
    port: int
    unit: str
    files: dict[str, str] = field(default_factory=dict)  # beside the unit, by their paths
    variables: dict[str, Any] = field(default_factory=dict)
    starts: str = "NAME.service"
    adopt: dict[str, Any] = field(default_factory=dict)  # without these, it is refused

    def fill(self, text: str) -> str:
        return text.replace("NAME", self.name).replace("PORT_NUMBER", str(self.port))


INSTALL = "[Install]\nWantedBy=multi-user.target\n"
SHAPES = [
    Shape(
        "plain",
        8201,
        "[Unit]\nAfter=network-online.target\n[Service]\nUser=NAME\nEnvironment=PORT=PORT_NUMBER\n"
        f"ExecStart={BINARY}\nRestart=always\n{INSTALL}",
    ),
    Shape(
        "ready",
        8202,
        "[Service]\nType=notify\nUser=NAME\nEnvironment=PORT=PORT_NUMBER LOG_LEVEL=info\n"
        f"ExecStart={BINARY}\nTimeoutStopSec=20\n{INSTALL}",
        variables={"service_environment": {"LOG_LEVEL": "info"}},
    ),
    Shape(
        "forks",
        8203,
        "[Service]\nType=forking\nUser=NAME\nRuntimeDirectory=NAME\nPIDFile=/run/NAME/pid\n"
        "Environment=PORT=PORT_NUMBER\nExecStart=/usr/sbin/start-stop-daemon --start --background --make-pidfile"
        f" --pidfile /run/NAME/pid --exec {BINARY}\n{INSTALL}",
        variables={"service_arguments": []},
        adopt={"adopt_foreground": True},
    ),
    Shape(
        "split",
        8204,
        f"[Service]\nType=exec\nUser=NAME\nEnvironmentFile=/etc/default/NAME\nExecStart={BINARY}\n"
        f"{INSTALL}Alias=NAME-web.service\n",
        files={
            "/etc/default/NAME": "PORT=PORT_NUMBER\nTOKEN=hunter2\n",
            "/etc/systemd/system/NAME.service.d/limits.conf": "[Service]\nLimitNOFILE=4096\n",
            "/etc/systemd/system/NAME.service.d/restart.conf": "[Service]\nRestart=on-failure\nRestartSec=1\n",
        },
        variables={"service_environment": {"TOKEN": "hunter2"}, "service_limits": {"LimitNOFILE": 4096}},
    ),
    Shape(
        "woken",
        8205,
        f"[Unit]\nRequires=NAME.socket\nAfter=NAME.socket\n[Service]\nType=notify\nUser=NAME\nExecStart={BINARY}\n",
        files={
            "/etc/systemd/system/NAME.socket": (
                "[Socket]\nListenStream=PORT_NUMBER\n[Install]\nWantedBy=sockets.target\n"
            )
        },
        variables={"service_swap": "socket"},
        starts="NAME.socket",
    ),
]
