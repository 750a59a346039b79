# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a role writes on a host after its baseline, so that no baseline can have it. Pure. PRIVATE."""

from __future__ import annotations

# As the template of the role proxy has it, without its comments. A test compares the two.
HAPROXY_DROP_IN = """\
[Unit]
StartLimitIntervalSec=0

[Service]
ExecStartPre=
ExecStart=
ExecStart=/usr/sbin/haproxy -Ws -f $CONFIG -f /etc/haproxy/slipway.live -f /etc/haproxy/slipway.d -p $PIDFILE \
-S /run/haproxy-master.sock
ExecReload=
ExecReload=/usr/sbin/haproxy -c -q -f $CONFIG -f /etc/haproxy/slipway.live -f /etc/haproxy/slipway.d
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=100ms
"""


def is_haproxy_drop_in(text: str) -> bool:
    """Whether it says what the role proxy writes, and nothing else. Its comments are the operator's to choose."""
    return _settings(text) == _settings(HAPROXY_DROP_IN)


def _settings(text: str) -> list[str]:
    """The lines that systemd may read; also a comment with a character that ends a line for it, such as a return."""
    return [line for line in text.split("\n") if line and not (line.startswith("#") and line.isprintable())]
