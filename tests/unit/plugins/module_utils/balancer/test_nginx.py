# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An nginx whose program is played, and the mark of a reload that is still to be sent."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._balancer import nginx
from ansible_collections.slipway.go.plugins.module_utils._balancer.model import BACK, OUT, Wish
from ansible_collections.slipway.go.plugins.module_utils._core.command import Finished
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError

TEXT = "upstream shop {\n  server web1:80;\n  server web2:80;\n}\n"


@dataclass
class Played:
    """fails: the arguments that nginx ends badly with."""

    folder: Path
    fails: set[str] = field(default_factory=set)
    reloads: int = 0

    def run(self, argv: list[str]) -> Finished:
        self.reloads += argv[-1] == "reload"
        shown = f"# configuration file {self.folder}/shop.conf:\n" if argv[-1] == "-T" else ""
        return Finished(argv, int(argv[-1] in self.fails), shown.encode(), b"no")

    def apply(self, state: str) -> Any:
        wish = Wish("shop", "web1:80", state, 0, 0.0)
        paths = [str(self.folder / name) for name in ("shop.conf", "nginx.conf", "nginx.pid")]
        return nginx.Nginx(paths[0], wish, *paths[1:]).apply(predict=False)

    def refuse(self, argument: str) -> None:
        self.fails = {argument}
        with pytest.raises(SlipwayError):
            self.apply(OUT)
        self.fails = set()

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played(tmp_path)
    (tmp_path / "shop.conf").write_text(TEXT)
    (tmp_path / "nginx.pid").write_text("7")
    monkeypatch.setattr(nginx.command, "run", played.run)
    monkeypatch.setattr(nginx.processes, "every_pid", list)
    monkeypatch.setattr(nginx, "one_at_a_time", contextlib.nullcontext)
    return played


@pytest.mark.parametrize("argument", ["-T", "-t"])
def test_what_nginx_refuses_leaves_nothing_to_be_reloaded(played: Played, argument: str) -> None:
    played.refuse(argument)
    assert (played.folder / "shop.conf").read_text() == TEXT
    assert played.files == ["nginx.pid", "shop.conf"]
    assert not played.apply(BACK).changed
    assert played.reloads == 0


def test_what_nginx_refuses_does_not_take_away_what_an_interrupted_run_has_left(played: Played) -> None:
    (played.folder / ".shop.conf.slipway-reload").touch()
    played.refuse("-t")
    assert played.apply(BACK).changed
    assert played.reloads == 1
    assert not played.apply(BACK).changed


def test_a_reload_that_may_have_been_sent_is_sent_again(played: Played) -> None:
    played.refuse("reload")
    assert (played.folder / "shop.conf").read_text() == TEXT
    assert played.apply(BACK).changed
    assert played.reloads == 2
