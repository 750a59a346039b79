# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others are told of a run: the playbook release as it is, with hosts that are files and a server that listens."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.slipway.go.tests.unit import test_way_back_play
from ansible_collections.slipway.go.tests.unit.test_way_back_play import (
    GONE,
    ILL,
    NEW,
    OLD,
    PYTHONS,
    ROOT,
    SERIAL,
    WELL,
)

run = test_way_back_play.run  # its fixture
SECRET = "T0123-B4567-not-for-logs"
# `make faults-simulated` plays them all, and `make unit` what nothing else shows.
more = pytest.mark.skipif(os.environ.get("SLIPWAY_FAULTS") != "all", reason="make faults-simulated")


@pytest.fixture
def chat():
    """A place for notices that keeps what it gets, but for what goes to /404."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.path.endswith("/404"):
                got.append(told)
            self.send_response(404 if self.path.endswith("/404") else 200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got = got
    server.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def places(chat, **more):
    return {"slipway_notices": [{"name": "chat", "webhook": {"url": chat.url}, **more}]}


def test_a_run_that_comes_through_also_where_a_place_takes_nothing(run, chat):
    """Three batches; the second place answers 404, the third never, and nothing of the run depends on that."""
    broken = {"name": "pager", "events": ["finished"], "webhook": {"url": f"{chat.url}/404"}}
    hosts = {"a": WELL, "b": WELL, "c": {"current": NEW}}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        hangs = {"name": "silent", "events": ["finished"], "timeout": 1, "webhook": {"url": url}}
        there = [*places(chat)["slipway_notices"], broken, hangs]
        done = run(hosts, release_serial="1,1,1", slipway_notices=there, release_reason="ticket 7")
    assert (done.code, done.runs, done.failed) == (0, "222", ""), done.text
    assert [one["event"] for one in chat.got] == ["started", "batch_done", "batch_done", "finished"]
    started, batch, other, finished = chat.got
    assert started["text"].startswith("shop 2.0.0: the release begins on 3 hosts (by ")
    assert "ticket 7" in started["text"]
    assert started["changes"] == [{"service": "shop", "from": OLD, "to": NEW, "hosts": 2}]
    assert (batch["batch"], batch["batches"], batch["hosts"]["released"], batch["hosts"]["not_touched"]) == (1, 3, 1, 2)
    assert other["text"] == "shop 2.0.0: batch 2 of 3 is done; 2 released, 1 not touched of 3 hosts."
    assert finished["text"] == "shop 2.0.0: the release is complete; 2 released, 1 unchanged of 3 hosts."
    assert (finished["verdict"], finished["services"], finished["version"]) == ("complete", ["shop"], "2.0.0")
    assert len({one["run_id"] for one in chat.got}) == 1
    assert done.said.count("finished was not delivered to pager: http://127.0.0.1") == 1
    told, _end = json.JSONDecoder().raw_decode(done.said.partition("RUN: ")[2])
    assert told["slipway"]["undelivered"] == {"pager": {"finished": "status"}, "silent": {"finished": "timeout"}}
    assert SECRET not in done.text


@pytest.mark.parametrize("run", PYTHONS[-1:], indirect=True)
def test_a_run_that_goes_back_says_why_and_what_a_host_says_is_no_template(run, chat):
    """On the oldest core that is there, which takes more for a template."""
    text = "{{ slipway_notice.host }}: {{ slipway_notice.cause }}"
    place = {"name": "chat", "events": "rolled_back", "webhook": {"url": chat.url, "body": {"text": text}}}
    done = run({"a": WELL, "b": ILL}, **SERIAL, slipway_notices=[place])
    assert (done.code, done.runs) == (2, "11"), done.text
    assert chat.got == [{"text": f"b: {NEW} was rolled back in SOAK: it answers 500 {{{{ 6 * 7 }}}}."}]


def test_an_entry_that_nobody_could_use_is_refused_before_anything_changes(run, chat):
    """On one host alone, whose variables the preflight of fleets does not check."""
    body = {"text": "{{ slipway_notice.no_such_field }}"}
    place = {"name": "chat", "webhook": {"url": chat.url, "body": body}}
    done = run({"a": WELL}, slipway_notices=[place])
    assert (done.code != 0, done.tried, chat.got) == (True, "", []), done.text
    assert "slipway_notices entry 1 (chat) has a template" in done.said
    assert "no_such_field" in done.said
    assert SECRET not in done.text


@more
@pytest.mark.parametrize("hosts", ["a", "ab"])
def test_a_run_whose_tags_have_no_release_in_it_tells_nobody(run, chat, hosts, tmp_path):
    done = run(dict.fromkeys(hosts, WELL), "--tags", "proxy", release_report=str(tmp_path / "reports"), **places(chat))
    assert (done.code, done.tried, chat.got) == (0, "", []), done.text
    assert not (tmp_path / "reports").exists()


@more
@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_a_secret_in_a_template_that_cannot_be_evaluated_is_not_told(run, chat):
    chat_url = f"{chat.url}/{{{{ team_channel }}}}"
    place = {"name": "chat", "webhook": {"url": "{{ vault_chat_url }}"}}
    done = run({"a": WELL, "b": WELL}, vault_chat_url=chat_url, slipway_notices=[place])
    assert (done.code != 0, done.tried) == (True, ""), done.text
    assert "'team_channel' is undefined" in done.said
    assert SECRET not in done.text


@more
@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_a_run_that_is_refused(run, chat):
    done = run({"a": WELL, "b": GONE}, **SERIAL, **places(chat))
    assert (done.code, done.tried) == (2, ""), done.text
    assert [one["event"] for one in chat.got] == ["failed"]
    told = chat.got[0]
    assert (told["verdict"], told["host"], told["code"]) == ("refused", "b", "unreachable")
    assert told["text"].startswith("shop 2.0.0 was refused, and nothing was changed. b: ")


@more
@pytest.mark.parametrize(("state", "event"), [(WELL, "finished"), (ILL, "rolled_back")])
def test_one_host_alone(run, chat, state, event):
    done = run({"a": state}, **places(chat))
    assert done.code == (2 if state == ILL else 0), done.text
    assert [one["event"] for one in chat.got] == ["started", event]


@more
def test_hosts_that_were_lost_within_the_budget_are_a_failure(run, chat):
    done = run({"a": WELL, "b": ILL, "c": WELL}, release_max_unavailable=1, **SERIAL, **places(chat))
    assert (done.code, done.runs) == (2, "212"), done.text
    assert [one["event"] for one in chat.got] == ["started", "batch_done", "failed"]
    assert (chat.got[-1]["verdict"], chat.got[-1]["failed_hosts"]) == ("incomplete", ["b"])


@more
@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_check_mode_sends_nothing_and_says_what_it_would(run, chat):
    done = run({"a": WELL, "b": WELL}, "--check", **SERIAL, **places(chat))
    assert (done.code, chat.got) == (0, []), done.text
    assert [line for line in done.text.splitlines() if line.startswith("Check mode:")] == [
        f"Check mode: would send {event} to chat (webhook)." for event in ("started", "batch_done", "finished")
    ]


ASKED = f"""
module.exit_json(changed=False, current="{NEW}", good=["{OLD}", "{NEW}"], releases=["{OLD}", "{NEW}"], health="pass")
"""


@more
@pytest.mark.parametrize("run", PYTHONS, indirect=True)
@pytest.mark.parametrize(
    ("to", "stays", "event"), [(OLD, False, "rolled_back"), (OLD, True, "failed"), ("3.0.0", False, "failed")]
)
def test_a_rollback(run, chat, tmp_path, request, to, stays, event):
    """One that comes through, one that fails on a host, and one that is refused on all."""
    run({"a": WELL, "b": WELL}, **SERIAL, **places(chat))
    modules = tmp_path / "collections" / "ansible_collections" / "slipway" / "go" / "plugins" / "modules"
    info = (modules / "release_info.py").read_text()
    (modules / "release_info.py").write_text(info[: info.index("\nids = ")] + ASKED)
    rollback = (modules / "rollback.py").read_text()
    ends = f'changed=True, action="rollback", previous="{NEW}", current="{OLD}"'
    told = f"if not module.check_mode: module.exit_json({ends})"
    told = rollback.replace("assert module", f"{told}\nassert module").replace("meant = ", "meant = True or ")
    fails = 'if module.check_mode: module.exit_json(action="rollback")\nif state.get("stays")'
    (modules / "rollback.py").write_text(told.replace('if state.get("stays")', fails))
    if stays:
        state = json.loads((tmp_path / "b.json").read_text())
        (tmp_path / "b.json").write_text(json.dumps({**state, "stays": True}))
    chat.got.clear()
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "SLIPWAY_PLAYED": str(tmp_path)}
    python = request.node.callspec.params["run"]
    argv = [python, "-m", "ansible.cli.playbook", "-i", str(tmp_path / "inventory.yml"), "slipway.go.rollback"]
    argv += ["-e", f"release_rollback_to={to}"]
    done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == (event == "failed"), done.stdout + done.stderr
    events = [one["event"] for one in chat.got]
    assert events == (["started", event] if to == OLD else [event]), done.stdout + done.stderr
    last = chat.got[-1]
    if stays:
        assert (last["host"], last["code"], last["failed_hosts"]) == ("b", "damaged_release", ["b"])
        assert last["hosts"]["rolled_back"] == 1
    elif to == OLD:
        assert last["changes"] == [{"service": "shop", "from": NEW, "to": OLD, "hosts": 2}]
    else:
        assert "3.0.0 is not on this host" in last["text"]
