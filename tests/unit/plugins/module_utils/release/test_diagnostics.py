# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release that failed is told with the end of its log and with its answer, and without its secrets."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import MESSAGE_LIMIT, excerpt
from ansible_collections.slipway.go.plugins.module_utils._host import journald
from ansible_collections.slipway.go.plugins.module_utils._release import confirm_timer
from ansible_collections.slipway.go.plugins.module_utils._release.diagnostics import LINES, MASK, Diagnostics, masked
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host, Killed
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

LOG = ("reading /etc/shop.toml", "no database: dial tcp 10.0.0.7:5432: refused")
ANSWER = '{"status":"DOWN","db":"refused"}'


def _sick(**more):
    return Behaviour(healthy=False, logs=LOG, answers=ANSWER, **more)


def test_result_message_and_history_have_log_and_answer(host):
    host.release("v1")
    host.behaviours["v2"] = _sick()
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert error.details["log"] == list(LOG)
    assert error.details["answer"] == ANSWER
    assert f"Its log ends: {LOG[0]} | {LOG[1]}. It answered: {ANSWER}." in error.message
    event = host.store.journal.history()[-1]
    assert (event["event"], event["log"], event["answer"]) == ("rolled_back", list(LOG), ANSWER)


def test_a_release_that_is_refused_in_rehearsal_has_them_too(host):
    host.release("v1")
    host.behaviours["v2"] = _sick()
    error = refused(lambda: host.rehearse().release("v2"), "refused")
    assert (error.details["log"], error.details["answer"]) == (list(LOG), ANSWER)
    event = host.store.journal.history()[-1]
    assert (event["event"], event["log"], event["answer"]) == ("refused", list(LOG), ANSWER)


def test_a_first_release_that_fails_has_them_too(host):
    host.behaviours["v1"] = _sick()
    assert refused(lambda: host.release("v1"), "rolled_back").details["log"] == list(LOG)


def test_what_is_healthy_and_then_not_has_its_last_answer(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(sick_after=3, logs=LOG, answers=ANSWER)
    host.soak_time = 10
    assert refused(lambda: host.release("v2"), "rolled_back").details["answer"] == ANSWER


def test_secrets_are_masked_everywhere(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(
        healthy=False, logs=("password hunter2hunter2",), answers="hunter2hunter2 is wrong"
    )
    error = refused(lambda: host.release("v2", environment={"PASSWORD": "hunter2hunter2"}), "rolled_back")
    assert error.details["log"] == [f"password {MASK}"]
    assert error.details["answer"] == f"{MASK} is wrong"
    assert "hunter2" not in str(error) + str(error.details) + str(host.store.journal.events())


def test_it_is_bounded_and_printable(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(
        healthy=False, logs=(*("x" * 5000,) * 50, "red \x1b[31m"), answers="\x1b]0;title\a"
    )
    details = refused(lambda: host.release("v2"), "rolled_back").details
    assert len(details["log"]) == LINES
    assert max(map(len, details["log"])) <= MESSAGE_LIMIT
    assert all(line.isprintable() for line in (*details["log"], details["answer"]))


def test_nothing_is_said_of_what_has_not_been_started(host, monkeypatch):
    def no_timer(*_: object) -> None:
        raise SlipwayError("no_timer", "the timer cannot be started.", "start it")

    host.release("v1")
    host.behaviours["v2"] = _sick()
    monkeypatch.setattr(confirm_timer, "arm", no_timer)
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert "log" not in error.details
    assert "answer" not in error.details


@pytest.mark.parametrize(
    "error", [SlipwayError("command_timeout", "late"), OSError("gone"), ValueError("odd"), MemoryError()]
)
def test_a_log_that_cannot_be_read_keeps_the_answer_and_the_way_back(host, monkeypatch, error):
    def unreadable(*_: object) -> list[str]:
        raise error

    good = host.release("v1").current
    host.behaviours["v2"] = _sick()
    monkeypatch.setattr(journald, "last_lines", unreadable)
    told = refused(lambda: host.release("v2"), "rolled_back")
    assert "log" not in told.details
    assert told.details["answer"] == ANSWER
    assert host.settled() == good


def test_the_mark_is_there_before_the_log_is_asked(host, monkeypatch):
    def killed(*_: object) -> list[str]:
        raise Killed

    good = host.release("v1").current
    host.behaviours["v2"] = _sick()
    monkeypatch.setattr(journald, "last_lines", killed)
    with pytest.raises(Killed):
        host.release("v2")
    assert host.settled() == good
    refused(lambda: host.release("v2"), "known_bad")


def test_with_reload_the_log_of_the_release_before_is_not_told(tmp_path, monkeypatch):
    reloads = Host(str(tmp_path), "reload").install(monkeypatch)
    reloads.behave("v1").logs = ("GET / 200",)
    reloads.release("v1")
    reloads.behaviours["v2"] = _sick()
    assert "log" not in refused(lambda: reloads.release("v2"), "rolled_back").details


SECRET = 'hun"ter<2>&%/'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps({"password": SECRET}),
        json.dumps(SECRET).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
        quote(SECRET, safe=""),
        "a" * 5000 + SECRET + "b" * 5000,
    ],
)
def test_a_secret_is_masked_however_it_is_written(text):
    said = masked(text, [SECRET])
    assert MASK in said
    assert "ter" not in said


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("postgres://shop:s3cr3t-pw@db:5432/shop", "s3cr3t-pw"),
        ("host=db user=shop password=s3cr3t-pw", "s3cr3t-pw"),
        ('{"database": {"password": "s3cr3t-pw"}}', "s3cr3t-pw"),
        ("amqp://u:s3cr3t%2Dpw@mq", "s3cr3t-pw"),
    ],
)
def test_the_secret_in_a_value_is_masked_by_itself(value, secret):
    assert masked(f"no login with {secret}", [value]) == f"no login with {MASK}"


@pytest.mark.parametrize(
    "value", ["true", "error", "8080", "127.0.0.1", "127.0.0.1:8080", "[::1]:80", "/etc/shop/a.pem"]
)
def test_what_hides_nothing_stays_readable(value):
    assert masked(f"cannot use {value}", [value]) == f"cannot use {value}"


def test_the_secrets_of_the_health_check_are_masked(host, tmp_path):
    token = tmp_path / "token"
    token.write_text("Basic from-a-file-1\n")
    host.health = {
        **host.health,
        "headers": {"Authorization": "Bearer hunter2hunter2"},
        "authorization_file": str(token),
    }
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False, answers="401: hunter2hunter2, from-a-file-1")
    assert refused(lambda: host.release("v2"), "rolled_back").details["answer"] == f"401: {MASK}, {MASK}"


def test_a_secret_is_masked_before_the_answer_is_cut(host):
    host.release("v1")
    long = "a" * (MESSAGE_LIMIT // 2 - 10) + "hunter2hunter2" + "b" * 500
    host.behaviours["v2"] = Behaviour(healthy=False, answers=long)
    error = refused(lambda: host.release("v2", environment={"PASSWORD": "hunter2hunter2"}), "rolled_back")
    assert "hunter" not in error.details["answer"]


@pytest.mark.parametrize(
    ("body", "said"),
    [("", ""), ("not ready\n", "not ready"), ("[+]ping ok\r\n\r\n[-]db failed\n", "[+]ping ok | [-]db failed")],
)
def test_an_answer_is_one_line(body, said):
    assert excerpt(body) == said


def test_a_long_answer_keeps_both_its_ends():
    said = excerpt("begin " + "x" * 10_000 + " end")
    assert said.startswith("begin ")
    assert said.endswith(" end")
    assert len(said) <= MESSAGE_LIMIT


def test_what_is_not_known_has_no_key():
    assert Diagnostics().as_dict() == {}
    assert Diagnostics().sentences() == ""
