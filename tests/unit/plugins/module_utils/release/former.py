# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host in memory whose service somebody has set up by hand, before slipway has it."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import staged_units, takeover
from ansible_collections.slipway.go.plugins.module_utils._release.takeover import Takeover
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import give_back
from ansible_collections.slipway.go.plugins.module_utils._units.installer import UnitFile
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    NAME,
    Behaviour,
    FakeOs,
    FakeSystemd,
    Host,
    Instance,
    read,
)

SERVICE, SOCKET = f"{NAME}.service", f"{NAME}.socket"
WANTS = f"multi-user.target.wants/{SERVICE}"
BY_HAND = {SERVICE: "ExecStart=/usr/local/bin/shop\n", f"{SERVICE}.d/limits.conf": "LimitNOFILE=9\n"}
WITH_SOCKET = {**BY_HAND, SOCKET: "ListenStream=8080\n# by hand\n"}
UMBRELLA = "ConditionPathExists=/var/lib/slipway/shop/boot.env\nExecStart=/bin/systemctl start shop@ID\n"


class SystemdWithFormer(FakeSystemd):
    """shop.service is whatever its file said at the last daemon-reload; what runs of the name outlives a reload."""

    former = False
    started_as: dict[str, tuple[int, str]] | None = None  # its files then, of which some may be missing at a boot

    def reload(self) -> None:
        super().reload()
        path = os.path.join(self.host.layout.unit_root, SERVICE)
        if os.path.exists(path):
            self.loaded[SERVICE] = read(path)
        if self._is_former(SOCKET):
            self.enabled.add(SOCKET)

    def _is_former(self, unit: str) -> bool:
        return self.loaded.get(unit, "") in WITH_SOCKET.values()

    def _holders(self) -> list[Instance]:
        return [*super()._holders(), *([Instance(SERVICE, Behaviour())] if self.former else [])]

    def _do_umbrella(self, verb: str) -> str:
        if verb in ("stop", "kill"):
            self.former = self.umbrella = False
            return ""
        if verb == "reset-failed":
            return ""
        if verb == "start" and not self.former and not self.umbrella:
            if SERVICE not in self.loaded:
                raise SlipwayError("command_failed", f"systemctl start {SERVICE} failed (5): not loaded")
            if self._is_former(SERVICE):
                self._start_former()
                return ""
        if verb == "show":
            return f"ActiveState={'active' if self.former or self.umbrella else 'inactive'}\n"
        return super()._do_umbrella(verb) if not self.former else ""

    def _start_former(self) -> None:
        if self._holders() or (self.socket is not None and SOCKET not in self.host.by_hand):
            raise SlipwayError("command_failed", f"systemctl start {SERVICE} failed (1): Address already in use")
        self.former, self.started_as = True, self.host.files()

    def _start_socket(self) -> None:
        if not self._is_former(SOCKET):
            super()._start_socket()
        elif self.socket is None:
            assert not self._holders(), "the port is taken"
            self.inodes += 1
            self.socket = str(self.inodes)

    def _do_enable(self, verb: str, rest: list[str]) -> str:
        if SERVICE in rest and verb == "enable":
            assert SERVICE in self.loaded
            link = os.path.join(self.host.layout.unit_root, WANTS)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.join(self.host.layout.unit_root, SERVICE), link)
        return super()._do_enable(verb, [name for name in rest if name != SERVICE])

    def _start_umbrella(self) -> None:
        """At boot, too: what is enabled, and there."""
        link = os.path.join(self.host.layout.unit_root, WANTS)
        if SERVICE not in self.loaded or not os.path.islink(link):
            return
        if self._is_former(SERVICE):
            self._start_former()
        else:
            super()._start_umbrella()

    def reboot(self) -> None:
        self.former = False
        super().reboot()


class FormerHost(Host):
    """keep_former() and apply_role() are what the playbook does before the release."""

    def __init__(self, folder: str, strategy: str, by_hand: dict[str, str]) -> None:
        self.by_hand = by_hand
        super().__init__(folder, strategy)
        self.systemd = SystemdWithFormer(self)
        os.makedirs(os.path.dirname(self.program))
        with open(self.program, "w", encoding="utf-8") as stream:
            stream.write("as it was\n")
        os.chmod(self.program, 0o755)
        root = self.layout.unit_root
        for name in os.listdir(root):
            os.unlink(os.path.join(root, name))
        for name, text in by_hand.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(path, 0o640)
        os.makedirs(os.path.dirname(os.path.join(root, WANTS)))
        os.symlink(f"../{SERVICE}", os.path.join(root, WANTS))
        self.systemd.enabled = set()
        self.systemd.reload()
        self.systemd.call("start", SOCKET) if SOCKET in by_hand else None
        self.systemd.call("start", SERVICE)
        self.before = self.files()

    def install(self, monkeypatch: Any) -> FormerHost:
        super().install(monkeypatch)
        monkeypatch.setattr(takeover, "os", FakeOs(self))
        monkeypatch.setattr(takeover, "time", self.clock)
        monkeypatch.setattr(give_back, "time", self.clock)
        return self

    def copy(self, folder: str) -> FormerHost:
        twin: FormerHost = super().copy(folder)
        for base, _folders, names in os.walk(self.layout.unit_root):
            for path in (os.path.join(base, name) for name in names):
                if not os.path.islink(path):
                    os.chmod(path.replace(self.folder, folder, 1), os.stat(path).st_mode)
        path = os.path.join(twin.layout.state, "former", "former.json")
        if os.path.exists(path):
            text = read(path).replace(f"{self.folder}/", f"{folder}/")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
        return twin

    @property
    def takeover(self) -> Takeover:
        return Takeover(self.layout, self.systemd)

    @property
    def program(self) -> str:
        return os.path.join(self.folder, "bin", NAME)

    def keep_former(self) -> bool:
        paths = [os.path.join(self.layout.unit_root, name) for name in self.by_hand]
        return self.engine().keep_former(paths, [*paths, self.program])

    def _put_in_force(self, wanted: list[UnitFile]) -> None:
        super()._put_in_force(wanted)
        staged_units.hold(self.layout, [*wanted, UnitFile(SERVICE, UMBRELLA)])

    def adopt(self, version: str, **changes: Any) -> Any:
        """What the playbook does."""
        self.keep_former()
        self.apply_role()
        return self.release(version, **changes)

    def files(self) -> dict[str, tuple[int, str]]:
        """What PID 1 reads of the service's own names."""
        found = {}
        for base, _folders, names in os.walk(self.layout.unit_root):
            for name in names:
                path = os.path.join(base, name)
                told = os.readlink(path) if os.path.islink(path) else read(path)
                key = os.path.relpath(path, self.layout.unit_root)
                if name in (SERVICE, SOCKET) or key.startswith(f"{SERVICE}.d/"):
                    found[key] = (stat.S_IMODE(os.lstat(path).st_mode), told)
        return found

    def serves(self) -> str:
        """Who does: the former service, or a version; raise where it is not exactly one of them, wholly."""
        if self.systemd.former:
            assert self.systemd.running() == [], "a release runs beside the former service"
            assert self.files() == self.systemd.started_as == self.before
            assert self.layout.current_id() is None
            assert self.boot_id() is None
            assert (self.systemd.socket is not None) == (SOCKET in self.by_hand)
            return "former"
        assert not self.takeover.in_force, "the former service is to run, and does not"
        left = {name for name in self.files() if name in self.by_hand and name not in (SERVICE, SOCKET)}
        assert not left, "a drop-in of the former service changes slipway's unit"
        return self.settled().rsplit("-", 1)[0]
