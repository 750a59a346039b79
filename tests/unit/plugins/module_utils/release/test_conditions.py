# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release that failed is tried again once it is judged by something else; one that a person left is not."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release import conditions
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import BAD, Behaviour
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

SICK = Behaviour(healthy=False)


def _fail(host, **content):
    host.release("v1", **content)
    host.behaviours["v2"] = replace(SICK)
    refused(lambda: host.release("v2", **content), "rolled_back")
    host.behave("v2").healthy = True


@pytest.mark.parametrize("what", BAD)
def test_the_same_release_judged_by_the_same_is_refused(host, what):
    host.release("v1")
    host.behaviours["v2"] = replace(BAD[what][0])
    refused(lambda: host.release("v2"), "rolled_back")
    error = refused(lambda: host.release("v2"), "known_bad")
    assert "the same options on the same host again" in error.message


def _other_check(host):
    host.health = {**host.health, "timeout": 3}


def _more_time(host):
    host.start_timeout += 1


def _other_soak(host):
    host.soak_time += 1


@pytest.mark.parametrize("correct", [_other_check, _more_time, _other_soak])
def test_other_options_are_another_try(host, correct):
    _fail(host)
    correct(host)
    assert host.engine().predict(host.spec("v2")).action == "release"
    assert host.release("v2").current == host.id_of("v2")
    assert host.settled() == host.id_of("v2")


@pytest.mark.parametrize("which", ["keep", "confirm"])
def test_options_that_judge_nothing_are_not(host, which):
    _fail(host)
    setattr(host, which, getattr(host, which) + 1)
    refused(lambda: host.release("v2"), "known_bad")


def test_a_file_that_the_environment_names_is_another_try_once_it_is_there(host, tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "_FLEETING", ())
    missing = str(tmp_path / "cert.pem")
    content = {"environment": {"CERT": missing}}
    _fail(host, **content)
    refused(lambda: host.release("v2", **content), "known_bad")
    with open(missing, "w", encoding="utf-8") as stream:
        stream.write("x")
    assert host.release("v2", **content).changed


@pytest.mark.parametrize("change", ["content", "mode"])
def test_a_file_that_the_configuration_names_is_another_try_once_it_has_changed(host, tmp_path, change, monkeypatch):
    monkeypatch.setattr(conditions, "_FLEETING", ())
    monkeypatch.setattr(conditions, "_CONFIGURATION", (str(tmp_path),))
    named = str(tmp_path / "pool.conf")
    with open(named, "w", encoding="utf-8") as stream:
        stream.write("x")
    with open(os.path.join(host.layout.config, "config", "shop.toml"), "a", encoding="utf-8") as stream:
        stream.write(f'pool = "{named}"\n')
    _fail(host)
    refused(lambda: host.release("v2"), "known_bad")
    if change == "content":
        with open(named, "a", encoding="utf-8") as stream:
            stream.write("more")
    else:
        os.chmod(named, 0o600)
    assert host.release("v2").changed


@pytest.mark.parametrize("change", ["grows", "gone", "touched", "a socket", "a link into /run"])
def test_what_changes_by_itself_is_no_other_try(host, tmp_path, change, monkeypatch):
    """A log, a pid file, a file that a run writes anew with the same content."""
    monkeypatch.setattr(conditions, "_FLEETING", ("/run/",))
    named = tmp_path / "app.log"
    if change != "a socket":
        named.write_text("one\n")
    content = {"environment": {"LOG": str(named)}}
    _fail(host, **content)
    if change == "grows":
        named.write_text("one\ntwo\n")
    elif change == "touched":
        os.utime(named, (1, 1))
    elif change == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(named))
    else:
        named.unlink()
        if change == "a link into /run":
            named.symlink_to("/run")
    refused(lambda: host.release("v2", **content), "known_bad")


def test_a_mark_outlives_the_files_of_its_release(host):
    _fail(host)
    host.keep = 2
    for version in ("v3", "v4", "v5"):
        host.release(version)
    assert host.id_of("v2") not in host.layout.staged()
    refused(lambda: host.release("v2"), "known_bad")


def test_a_setting_of_a_later_version_lifts_no_mark(host, monkeypatch):
    _fail(host)
    monkeypatch.setattr(conditions, "asdict", lambda settings: {**asdict(settings), "later": 1})
    refused(lambda: host.release("v2"), "known_bad")


@pytest.mark.parametrize("now", [None, 5.0])
def test_what_only_ends_a_wait_sooner_or_asks_a_person_lifts_no_mark(host, now):
    """Also where a version of before has left the mark, which knew no such option."""
    host.proxy = {"max_errors": 1.0}
    _fail(host)
    host.proxy = {"max_errors": 1.0, "min_time": now, "slow": "pause", "pause_time": 60.0}
    refused(lambda: host.release("v2"), "known_bad")
    host.proxy = {"max_errors": 2.0}
    assert host.engine().predict(host.spec("v2")).action == "release"


@pytest.mark.parametrize("spelt", [3, 3.0, "3", "3.0"])
def test_a_number_is_the_same_however_it_is_spelt(host, spelt):
    host.health = {**host.health, "timeout": 3}
    _fail(host)
    host.health = {**host.health, "timeout": spelt}
    refused(lambda: host.release("v2"), "known_bad")


def test_a_mount_that_may_hang_is_not_looked_at(host, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path}/share nfs4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\nhalf\n")
    monkeypatch.setattr(conditions, "_MOUNTS", str(mounts))
    monkeypatch.setattr(conditions, "_FLEETING", ())
    release = host.release("v1", environment={"A": f"{tmp_path}/share/a", "B": f"{tmp_path}/b"}).current
    assert conditions._named_paths(host.layout, release) >= {f"{tmp_path}/b"}
    assert f"{tmp_path}/share/a" not in conditions._named_paths(host.layout, release)


def test_a_reboot_and_new_packages_are_another_try(host, tmp_path, monkeypatch):
    boot, packages = tmp_path / "boot_id", tmp_path / "status"
    boot.write_text("one")
    packages.write_text("")
    monkeypatch.setattr(conditions, "_BOOT_ID", str(boot))
    monkeypatch.setattr(conditions, "_PACKAGES", (str(packages),))
    _fail(host)
    for changed in (boot, packages):
        refused(lambda: host.release("v2"), "known_bad")
        host.behave("v2").healthy = False
        changed.write_text("another")
        refused(lambda: host.release("v2"), "rolled_back")


def test_a_failed_second_try_is_marked_again(host):
    _fail(host)
    host.behave("v2").healthy = False
    _other_check(host)
    refused(lambda: host.release("v2"), "rolled_back")
    refused(lambda: host.release("v2"), "known_bad")


def test_the_address_of_a_rehearsal_is_one_of_the_options(host):
    host.release("v1")
    host.behaviours["v2"] = replace(SICK)
    refused(lambda: host.rehearse().release("v2"), "refused")
    refused(lambda: host.release("v2"), "known_bad")
    host.rehearsal = ""
    error = refused(lambda: host.release("v2"), "known_bad")
    assert error.code == "known_bad", "it must not be tried on users because nobody rehearses it"
    host.rehearsal = "/run/elsewhere.sock"
    assert host.engine().predict(host.spec("v2")).action == "release"


def test_what_a_person_rolled_back_from_stays_marked(host):
    host.release("v1")
    host.release("v2")
    host.engine().rollback()
    _other_check(host)
    error = refused(lambda: host.release("v2"), "known_bad")
    assert "on the same host" not in error.message


HERE = {"options": "a", "host": "b", "files": {"p": "1", "q": ""}}


def test_what_a_person_took_back_before_it_was_confirmed_stays_marked():
    event = {"event": "rolled_back", "code": "taken_back", "judged_by": HERE}
    assert not conditions.is_new_try(event, {"options": "c", "host": "d", "files": {}})
    assert not conditions.compares_host(event)


@pytest.mark.parametrize("code", ["canary_failed", "probe_failed"])
def test_what_users_have_met_is_not_tried_again_because_of_the_host(code):
    event = {"event": "rolled_back", "code": code, "judged_by": HERE}
    assert not conditions.is_new_try(event, {**HERE, "host": "d", "files": {"p": "2", "q": "3"}})
    assert conditions.is_new_try(event, {**HERE, "options": "c"})
    assert not conditions.compares_host(event)


@pytest.mark.parametrize(
    ("files", "new"),
    [
        ({"p": "1", "q": ""}, False),
        ({"p": "1", "q": "2"}, True),  # it was missing
        ({"p": "2", "q": ""}, True),  # it is another one
        ({"p": "", "q": ""}, False),  # what has gone corrects nothing
        ({}, False),  # the release is no longer on the host
        ({"r": "9"}, False),
    ],
)
def test_a_file_that_has_come_or_changed_is_a_reason(files, new):
    event = {"event": "rolled_back", "code": "unhealthy", "judged_by": HERE}
    assert conditions.is_new_try(event, {**HERE, "files": files}) is new


@pytest.mark.parametrize("judged_by", [None, "x", 7, []])
def test_a_mark_that_does_not_say_what_it_was_judged_by_stays(judged_by):
    event = {"event": "rolled_back", "code": "unhealthy", "judged_by": judged_by}
    assert not conditions.is_new_try(event, HERE)


def test_neither_options_nor_paths_are_in_the_history(host):
    host.health = {**host.health, "headers": {"Authorization": "Bearer secret-of-health"}}
    _fail(host, environment={"KEY": "/etc/secret-of-environment"})
    assert "secret-of" not in str(host.store.journal.events())


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("/etc/shop/cert.pem", ["/etc/shop/cert.pem"]),
        ("a=/etc/a:/etc/b,/etc/c", ["/etc/a", "/etc/b", "/etc/c"]),
        ("-/etc/a +/usr/b !/usr/c file:///etc/d", ["/etc/a", "/usr/b", "/usr/c", "/etc/d"]),
        ("\"/etc/a\" '/etc/b' (/etc/c)", ["/etc/a", "/etc/b", "/etc/c"]),
        ("http://127.0.0.1:8080/readyz //x ./y a/b /", []),
    ],
)
def test_paths_are_found_in_text(text, paths):
    assert conditions._PATH.findall(text) == paths
