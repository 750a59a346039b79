# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services that somebody has set up by hand, as unit texts on a host of its own."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.slipway.go.plugins.module_utils._adoption import former as formers
from ansible_collections.slipway.go.plugins.module_utils._adoption.former import Account, Former

ACCOUNTS = {
    "shop": Account("shop", "shop", 990, "/nonexistent", can_log_in=False),
    "web": Account("web", "www", 991, "/nonexistent", can_log_in=False),
    "anna": Account("anna", "anna", 1000, "/home/anna", can_log_in=True),
    "root": Account("root", "root", 0, "/root", can_log_in=True),
}
SIMPLE = """
[Unit]
Description=The shop
After=network.target

[Service]
User=shop
ExecStart=/usr/local/bin/shop --listen :8080
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


class Host:
    """Units below a folder. The paths in /etc/systemd/system are those of the unit path's first folder."""

    def __init__(self, root: Path) -> None:
        self.etc, self.lib = root / "etc", root / "lib"
        self.path = (str(self.etc), str(self.lib))

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def read(self, *lines: str) -> Former:
        """The service shop, whose unit has these lines in [Service], or as it was written before."""
        if lines:
            self.write("shop.service", "[Service]\n" + "\n".join(lines) + "\n")
        return formers.read("shop", ACCOUNTS, self.path)
