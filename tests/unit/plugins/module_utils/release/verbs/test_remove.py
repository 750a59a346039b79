# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that is removed is gone, its neighbour is as it was, and a removal that was cut short can be repeated."""

from __future__ import annotations

import json
import os
import tarfile

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release import staged_units
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.restart import RestartStrategy
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import remove
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.removal.placed import (
    RELEASE,
    Host,
    Pid1,
    two_services,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

KEPT = {
    "opt/shop/releases/1.0.0-0123456789/bin/shop",
    "var/lib/shop/orders.db",
    "var/lib/slipway/shop/boot.env",
    "var/lib/slipway/shop/journal.jsonl",
    "var/lib/slipway/shop/released/1.0.0-0123456789.sha256",
    "var/log/shop/shop.log",
}


class Cut(BaseException):
    """The process is gone."""


@pytest.fixture
def host(tmp_path, monkeypatch):
    return two_services(tmp_path, monkeypatch)


def pid1():
    return Pid1([f"shop@{RELEASE}.service", f"shop-admin@{RELEASE}.service"])


def take(host, systemd=None, **wish):
    return remove.remove(host.context("shop", systemd or pid1()), host.wish(**wish), str(host.top), host.system())


def others(files):
    return {path: text for path, text in files.items() if "admin" in path}


def own(files):
    return {path for path in files if "shop" in path and "admin" not in path}


def test_one_goes_and_the_other_is_as_it_was(host):
    before, systemd = others(host.files()), pid1()
    done = take(host, systemd)
    assert own(host.files()) == KEPT
    assert others(host.files()) == before
    assert systemd.running == [f"shop-admin@{RELEASE}.service"]
    assert not any("admin" in call for call in systemd.calls)
    assert done.known
    assert str(host.top / "etc/systemd/system/shop.service") in done.removed
    assert {os.path.relpath(path, host.top) for path in done.kept} == {
        "opt/shop/releases",
        "var/lib/shop",
        "var/lib/slipway/shop/boot.env",
        "var/lib/slipway/shop/journal.jsonl",
        "var/lib/slipway/shop/released",
        "var/log/shop",
    }
    (line,) = (host.top / "var/lib/slipway/shop/journal.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "removed"


def test_a_second_time_changes_nothing(host):
    take(host)
    left, systemd = host.files(), pid1()
    assert take(host, systemd).removed == []
    assert (host.files(), systemd.calls) == (left, [])


BY_HAND = {
    "etc/systemd/system/shop.service": "[Service]\nExecStart=/srv/shop\n",
    "etc/systemd/system/shop.service.d/own.conf": "[Service]\nNice=5\n",
    "etc/shop/environment": "PORT=8080\n",
    "etc/shop/config/shop.toml": "a = 1\n",
    "etc/nginx/conf.d/slipway-shop.conf": "# kept by somebody\n",
    "var/lib/shop/orders.db": "orders of somebody\n",
}


def test_a_service_that_somebody_has_brought_back_by_hand_loses_nothing(host):
    take(host)
    for path, text in BY_HAND.items():
        host.write(path, text)
    before, systemd = host.files(), Pid1(["shop.service"])
    done = take(host, systemd)
    assert (done.removed, host.files(), systemd.calls) == ([], before, [])
    assert {str(host.top / path) for path in BY_HAND if "/system/shop.service.d" in path} <= set(done.kept)
    assert {str(host.top / "etc/shop/environment"), str(host.top / "etc/shop/config")} <= set(done.kept)
    refused(lambda: take(host, systemd, data=True), "foreign_unit", "shop.service")
    assert (host.files(), systemd.calls) == (before, [])


def test_data_that_is_removed_later_takes_nothing_along_that_somebody_has_put_up_since(host):
    """Without a unit of these names, such as for a container."""
    take(host)
    foreign = {path: text for path, text in BY_HAND.items() if path.startswith(("etc/shop/", "etc/nginx/"))}
    for path, text in foreign.items():
        host.write(path, text)
    systemd = Pid1([])
    done = take(host, systemd, data=True)
    assert done.removed
    assert foreign.items() <= {path: host.files().get(path) for path in foreign}.items()
    assert systemd.calls == []


def test_a_removal_that_was_cut_short_is_not_finished_over_a_service_of_somebody_else(host):
    take(host)
    host.write("var/lib/slipway/shop/watch.json", "{}")
    for path, text in BY_HAND.items():
        host.write(path, text)
    before, systemd = host.files(), Pid1(["shop.service"])
    refused(lambda: take(host, systemd), "foreign_unit", "shop.service")
    assert (host.files(), systemd.calls) == (before, [])


def test_what_starts_it_goes_before_it_is_stopped_and_files_go_last(host):
    systemd = pid1()
    take(host, systemd)
    calls = systemd.calls
    stop = calls.index(f"stop shop@{RELEASE}.service")
    for earlier in ("disable --quiet shop.service", "disable --quiet shop.socket", "stop shop-watch.service",
                    "stop shop.socket", "stop shop-guard.service"):  # fmt: skip
        assert calls.index(earlier) < stop
    assert calls[-1] == "daemon-reload"


def test_data_goes_only_when_that_is_asked(host):
    done = take(host, data=True)
    assert own(host.files()) == {"var/lib/slipway/shop/journal.jsonl"}
    assert not (host.top / "opt/shop").exists()
    assert done.kept == [str(host.top / "var/lib/slipway/shop/journal.jsonl")]
    assert take(host, data=True).removed == []


def test_data_that_was_kept_can_go_later(host):
    take(host)
    assert take(host, data=True).removed
    assert own(host.files()) == {"var/lib/slipway/shop/journal.jsonl"}


def test_check_mode_says_the_same_and_changes_nothing(host):
    before, systemd = host.files(), pid1()
    foreseen = remove.predict(host.context("shop", systemd), host.wish(data=True), str(host.top))
    assert (host.files(), systemd.calls) == (before, [])
    assert take(host, data=True).removed == foreseen.removed
    again = remove.predict(host.context("shop", systemd), host.wish(data=True), str(host.top))
    assert again.removed == []


def test_a_service_that_nobody_knows(host):
    before = host.files()
    context = host.context("kiosk", pid1())
    done = remove.remove(context, host.wish(data=True), str(host.top), host.system())
    assert (done.known, done.removed, host.files()) == (False, [], before)


def test_the_name_is_free_for_another_service(host):
    """As the role service looks at it before it configures one."""
    host.write("etc/systemd/system/shop@.service.d/own.conf", "[Service]\n")
    take(host)
    assert not (host.top / "etc/systemd/system/shop@.service.d").exists()
    assert staged_units.refuse_foreign(host.layout("shop")) == []


def in_flight(host, phase):
    swap = {"txn": "1", "phase": phase, "to": RELEASE, "source": None, "strategy": "restart", "started": 1.0}
    host.write("var/lib/slipway/shop/state.json", json.dumps(swap))


@pytest.mark.parametrize(
    ("phase", "words"),
    [("PROBATION", "sudo slipway confirm shop or sudo slipway rollback shop"), ("SOAK", "sudo slipway recover shop")],
)
def test_a_release_that_is_not_settled_is_refused(host, phase, words):
    in_flight(host, phase)
    before, systemd = host.files(), pid1()
    refused(lambda: take(host, systemd), "release_in_flight", words)
    refused(
        lambda: remove.predict(host.context("shop", systemd), host.wish(), str(host.top)), "release_in_flight", words
    )
    assert (host.files(), systemd.calls) == (before, [])


def test_another_run_has_the_lock(host):
    with host.context("shop", pid1()).locked():
        refused(lambda: take(host), "locked")


def test_units_of_somebody_else_are_refused(host):
    host.write("etc/systemd/system/shop-alert.service", "[Service]\nExecStart=/srv/alert\n")
    before = host.files()
    refused(lambda: take(host), "foreign_unit", "shop-alert.service")
    assert host.files() == before


def test_what_comes_back_is_told(host):
    systemd = pid1()
    systemd.comes_back = True
    refused(lambda: take(host, systemd), "still_running")
    assert (host.top / "etc/systemd/system/shop.service").exists()
    systemd.comes_back = False
    assert take(host, systemd).removed


def test_what_cannot_be_removed_is_told(host, monkeypatch):
    monkeypatch.setattr(remove, "remove_path", lambda _path: None)
    refused(lambda: take(host), "not_removed")


def test_an_archive_has_all_of_it_and_is_for_root(host):
    path = str(host.top / "backup.tar.gz")
    assert take(host, archive=path, data=True).archive == path
    assert os.stat(path).st_mode & 0o777 == 0o600
    prefix = str(host.top).lstrip("/")
    with tarfile.open(path) as packed:
        names = {os.path.relpath(name, prefix) for name in packed.getnames()}
    wanted = {"etc/shop/credentials/key", "var/lib/shop/orders.db", f"opt/shop/releases/{RELEASE}/bin/shop"}
    assert {*wanted, "etc/systemd/system/shop.service", "var/lib/slipway/shop/settings.json"} <= names
    assert not any("admin" in name for name in names)
    assert not (host.top / "var/lib/slipway/shop/removal.json").exists()
    again = take(host, archive=path, data=True)
    assert (again.removed, again.archive) == ([], "")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("backup.tar.gz", "invalid_archive_path"),
        ("{top}/backup.zip", "invalid_archive_path"),
        ("{top}/../backup.tar.gz", "invalid_archive_path"),
        ("{top}/nowhere/backup.tar.gz", "invalid_archive_path"),
        ("{top}/opt/shop/releases/backup.tar.gz", "invalid_archive_path"),
        ("{top}/there.tar.gz", "archive_exists"),
    ],
)
def test_an_archive_that_cannot_be_is_refused_before_anything_stops(host, path, code):
    host.write("there.tar.gz")
    before, systemd = host.files(), pid1()
    refused(lambda: take(host, systemd, archive=path.format(top=host.top)), code)
    assert (host.files(), systemd.calls) == (before, [])


@pytest.mark.parametrize("listens", [False, True])
def test_haproxy_is_reloaded_while_it_has_an_address_and_stopped_when_it_has_none(host, listens):
    if not listens:
        os.unlink(host.top / "etc/haproxy/slipway.d/shop-admin.cfg")
        host.write("etc/haproxy/slipway.d/00-slipway.cfg", "global\n")
    take(host)
    verb = ["try-reload-or-restart"] if listens else ["disable", "--now"]
    assert host.ran == [
        ["systemctl", *verb, "haproxy.service"],
        ["systemctl", "try-reload-or-restart", "nginx.service"],
    ]


def test_it_can_be_cut_short_at_any_step_and_repeated(host, monkeypatch, tmp_path):
    """Before each removal and each call of systemd; the second run ends where one that was not cut short ends."""
    import shutil

    removing = remove.remove_path
    whole = tmp_path / "whole"
    counted = []

    def run(folder, at):
        shutil.copytree(host.top, folder, symlinks=True, ignore=lambda *_: {"whole", "runs", "run"})
        (folder / "run").mkdir()
        copy, systemd, step = Host(folder), pid1(), [0]

        def tick():
            step[0] += 1
            if step[0] == at:
                raise Cut

        def cut_path(path):
            tick()
            removing(path)

        call = systemd.call

        def cut_call(*arguments, **more):
            tick()
            return call(*arguments, **more)

        monkeypatch.setattr(remove, "remove_path", cut_path)
        systemd.call = cut_call
        try:
            take(copy, systemd, data=True, archive=str(folder / "backup.tar.gz"))
        except Cut:
            counted.append(at)
        monkeypatch.setattr(remove, "remove_path", removing)
        systemd.call = call
        take(copy, systemd, data=True, archive=str(folder / "backup.tar.gz"))
        assert systemd.running == [f"shop-admin@{RELEASE}.service"], at
        found = copy.files()
        found.pop("backup.tar.gz")
        lines = found.pop("var/lib/slipway/shop/journal.jsonl").splitlines()
        assert {json.loads(line)["event"] for line in lines} == {"removed"}, at
        assert remove.predict(copy.context("shop", systemd), copy.wish(data=True), str(folder)).removed == [], at
        return found

    last = run(whole, 0)
    (tmp_path / "runs").mkdir()
    at = 1
    while True:
        assert run(tmp_path / "runs" / str(at), at) == last, at
        if counted[-1:] != [at]:
            break
        at += 1
    assert at > 50


def test_the_strategy_closes_the_address(host, monkeypatch):
    closed = []
    monkeypatch.setattr(RestartStrategy, "close", lambda self: closed.append(self.layout.name))
    take(host)
    assert closed == ["shop"]
