# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host remembers survives whoever was writing it."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state import journal
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store, load_settings
from hypothesis import given
from hypothesis import strategies as st

A, B = "1.0-0123456789", "2.0-abcdef0123"
HOLDER = """
import sys
from ansible_collections.slipway.go.plugins.module_utils._release.state import journal
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store
with Store(Layout("shop", sys.argv[1] + "/opt", sys.argv[1] + "/var")).locked(0):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def layout(tmp_path):
    return Layout("shop", str(tmp_path / "opt"), str(tmp_path / "var"))


@pytest.fixture
def store(layout):
    os.makedirs(layout.state)
    return Store(layout)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock; a line makes it let go, and then wait."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SUDO_USER": "alice"},
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def busy(store, timeout=0.0):
    with pytest.raises(SlipwayError) as caught, store.locked(timeout):
        pytest.fail("two have the lock")
    assert caught.value.code == "locked"
    return caught.value


def test_the_second_is_told_who_holds_the_lock_and_since_when(store, holder):
    error = busy(store)
    assert f"alice (pid {holder.pid}) for " in str(error)
    assert "shop" in str(error)
    assert "release_lock_timeout" in error.fix


def test_the_second_waits_its_turn(store, holder):
    got = []

    def second():
        with store.locked(60):
            got.append(holder.stdout.readline())

    thread = threading.Thread(target=second)
    thread.start()
    holder.stdin.write("let go\n")
    holder.stdin.flush()
    thread.join()
    assert got == ["released\n"]


def test_it_waits_as_long_as_it_was_told(store, holder, monkeypatch):
    from ansible_collections.slipway.go.plugins.module_utils._release.state import store as module
    from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Clock

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    begun = clock.now
    assert "waited 12.5 s" in str(busy(store, 12.5))
    assert 12.5 <= clock.now - begun < 14


def test_a_killed_holder_frees_the_lock(store, holder):
    busy(store)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with store.locked(0):
        pass


def test_a_lock_ends_with_its_block_also_when_that_fails(store):
    with pytest.raises(ZeroDivisionError), store.locked(0):
        raise ZeroDivisionError
    with store.locked(0):
        busy(store)
    with store.locked(0):
        pass


def test_the_lock_is_not_inherited_by_a_command(store):
    with store.locked(0):
        command = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with store.locked(0):
            pass
        assert command.poll() is None
    finally:
        command.communicate()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"{}", b"\xff\xfe", b'{"user": 1}'])
def test_a_lock_file_that_says_nothing_is_no_hindrance(layout, store, content):
    with store.locked(0):
        with open(os.path.join(layout.state, "lock"), "wb") as stream:
            stream.write(content)
        assert "another run" in str(busy(store))
    with store.locked(0), open(os.path.join(layout.state, "lock"), encoding="utf-8") as stream:
        assert json.load(stream)["pid"] == os.getpid()


def test_who_without_sudo(layout, store, monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    with store.locked(0):
        assert f"{getpass.getuser()} (pid {os.getpid()})" in str(busy(store))


def test_a_transaction_comes_back_as_it_was(store):
    assert store.load() is None
    transaction = store.begin(B, A, "socket", "release")
    assert (transaction.phase, transaction.to, transaction.source) == ("INTENT", B, A)
    store.save(transaction)
    assert store.load() == transaction
    transaction.phase = "SOAK"
    store.save(transaction)
    assert store.load() == transaction
    store.clear()
    store.clear()
    assert store.load() is None


def test_two_transactions_are_told_apart(store):
    assert store.begin(B, A, "socket", "release").txn != store.begin(B, A, "socket", "release").txn


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"1", b"{}", b'{"txn": "1"}', b'{"unknown": 1}', b"\xff", b"\0" * 100]
)
def test_a_damaged_state_file_is_named_and_not_guessed_at(layout, store, content):
    path = os.path.join(layout.state, "state.json")
    with open(path, "wb") as stream:
        stream.write(content)
    with pytest.raises(SlipwayError) as caught:
        store.load()
    assert caught.value.code == "damaged_state"
    assert path in str(caught.value)
    assert "sudo slipway recover shop" in caught.value.fix


def append(layout, data):
    with open(os.path.join(layout.state, "journal.jsonl"), "ab") as stream:
        stream.write(data)


def test_the_journal_keeps_order_and_details(store):
    assert store.journal.events() == []
    store.journal.record("phase", phase="INTENT", to="a\u2028b\n")
    store.journal.record("committed", release=A, previous=None)
    first, second = store.journal.events()
    assert (first["event"], first["to"]) == ("phase", "a\u2028b\n")
    assert (second["event"], second["release"], second["previous"]) == ("committed", A, None)
    assert first["time"] <= second["time"]


@pytest.mark.parametrize("torn", [b'{"time": 1, "eve', b'{"time": 1}garbage', b"\xff\xfe", b"\0\0\0", b"[1]", b"1"])
def test_a_torn_line_takes_no_event_with_it(layout, store, torn):
    store.journal.record("committed", release=A)
    append(layout, torn)
    assert [e["release"] for e in store.journal.events()] == [A]
    store.journal.record("committed", release=B)
    assert [e["release"] for e in store.journal.events()] == [A, B]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_is_in_the_journal_the_events_are_read(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("journal")
    layout = Layout("shop", str(folder / "opt"), str(folder / "var"))
    os.makedirs(layout.state)
    store = Store(layout)
    append(layout, before)
    store.journal.record("committed", release=A)
    append(layout, after)
    store.journal.record("committed", release=B)
    found = [e.get("release") for e in store.journal.outcomes() if e.get("release") in (A, B)]
    assert found == [A, B]


def test_a_write_that_stops_half_way_is_continued(store, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))
    store.journal.record("committed", release=A)
    monkeypatch.undo()
    assert [e["release"] for e in store.journal.events()] == [A]


def test_outcomes_are_what_has_ended(store):
    for event in ("phase", "committed", "rolling_back", "rolled_back", "refused", "given_up"):
        store.journal.record(event, release=A)
    assert [e["event"] for e in store.journal.outcomes()] == ["committed", "rolled_back", "refused", "given_up"]


def test_what_is_bad(store):
    store.journal.record("committed", kind="release", release=A, previous=None)
    assert store.journal.bad() == {}
    store.journal.record("rolled_back", kind="release", release=B, code="unhealthy", reason="HTTP 503")
    assert store.journal.bad()[B]["reason"] == "HTTP 503"
    store.journal.record("committed", kind="release", release=B, previous=A)
    assert store.journal.bad() == {}, "good at last"
    store.journal.record("committed", kind="rollback", release=A, previous=B)
    assert set(store.journal.bad()) == {B}, "somebody rolled back from it"
    store.journal.record("committed", kind="release", release=B, previous=A)
    assert store.journal.bad() == {}
    store.journal.record("refused", kind="release", release="3.0-0000000000", code="crashed", phase="REHEARSE")
    assert set(store.journal.bad()) == {"3.0-0000000000"}
    store.journal.record("refused", kind="release", release="4.0-0000000000", code="command_failed", phase="REHEARSE")
    assert "4.0-0000000000" not in store.journal.bad(), "a missing unit says nothing about the release"


def test_what_was_cut_short_or_only_could_not_be_gone_back_to_is_not_bad(store):
    store.journal.record("rolled_back", kind="release", release=B, interrupted=True)
    store.journal.record("rolled_back", kind="rollback", release=A)
    store.journal.record("committed", kind="rollback", release=A, previous=None)
    assert store.journal.bad() == {}


def make(layout, name, age):
    path = layout.release(name)
    os.makedirs(path)
    os.utime(path, (1000 - age, 1000 - age))


def test_staged_is_oldest_first(layout):
    assert layout.staged() == []
    for name, age in ((B, 1), (A, 3), ("0.9-0000000000", 2)):
        make(layout, name, age)
    assert layout.staged() == [A, "0.9-0000000000", B]


def test_only_whole_releases_count_as_staged(layout):
    """What else lies there is not the engine's to start, and not its to delete."""
    make(layout, A, 1)
    for name in (f".tmp-{B}", "lost+found", "backup", "2.0", ".hidden-0123456789"):
        make(layout, name, 9)
    with open(layout.release("3.0-0123456789"), "w", encoding="utf-8"):
        pass
    os.symlink(A, layout.release(B))
    assert layout.staged() == [A]


@pytest.mark.parametrize("content", [None, "", "{", "[]", "1", "\udcff"])
def test_an_unreadable_manifest_says_nothing(layout, content):
    make(layout, A, 1)
    if content is not None:
        with open(os.path.join(layout.release(A), "release.json"), "wb") as stream:
            stream.write(content.encode(errors="surrogateescape"))
    assert layout.manifest(A) == {}


def test_manifest(layout):
    make(layout, A, 1)
    with open(os.path.join(layout.release(A), "release.json"), "w", encoding="utf-8") as stream:
        json.dump({"version": "1.0"}, stream)
    assert layout.manifest(A) == {"version": "1.0"}


def test_layout_is_that_of_the_design():
    layout = Layout("shop", "/opt/shop")
    assert layout.binary(A) == f"/opt/shop/releases/{A}/bin/shop"
    assert (layout.current, layout.last_good) == ("/opt/shop/current", "/opt/shop/last-good")
    assert (layout.state, layout.boot_file) == ("/var/lib/slipway/shop", "/var/lib/slipway/shop/boot.env")
    assert (layout.config, layout.instance(A)) == ("/etc/shop", f"shop@{A}.service")
    assert layout.template_unit == "/etc/systemd/system/shop@.service"
    assert layout.socket_unit == "/etc/systemd/system/shop.socket"


WHOLE = {"txn": "t", "phase": "FLIP", "to": B, "source": A, "strategy": "socket", "started": 1.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": None},
        {"to": "../../etc"},
        {"to": 1},
        {"source": "x"},
        {"phase": 5},
        {"phase": ""},
        {"txn": None},
        {"started": "soon"},
        {"started": True},
        {"started": float("nan")},
        {"deadline": "x"},
        {"measured": []},
        {"reason": None},
        {"strategy": {}},
        {"kind": 1},
    ],
)
def test_a_state_file_of_wrong_types_is_damaged(layout, store, wrong):
    path = os.path.join(layout.state, "state.json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(WHOLE, stream)
    assert store.load().to == B
    with open(path, "w", encoding="utf-8") as stream:
        json.dump({**WHOLE, **wrong}, stream)
    with pytest.raises(SlipwayError) as caught:
        store.load()
    assert caught.value.code == "damaged_state"


def test_a_folder_in_the_place_of_a_file_is_damage(layout, store):
    for name in ("state.json", "journal.jsonl", "settings.json"):
        os.mkdir(os.path.join(layout.state, name))
    for ask, code in ((store.load, "damaged_state"), (store.journal.events, "damaged_journal")):
        with pytest.raises(SlipwayError) as caught:
            ask()
        assert caught.value.code == code
    with pytest.raises(SlipwayError) as caught:
        load_settings("shop", layout.state_root)
    assert caught.value.code == "damaged_settings"


@pytest.mark.parametrize(
    "line",
    [
        '{"time": 1',
        "[]",
        '{"time": "x", "event": "committed", "release": "a"}',
        '{"event": "committed", "release": "a"}',
        '{"time": 1, "event": "committed"}',
        '{"time": 1, "event": ["committed"]}',
        '{"time": 1, "event": "committed", "release": "a", "probe": 5}',
        "[" * 100000,
        "\x1b[2J",
    ],
)
def test_a_damaged_line_costs_that_line_only(layout, store, line):
    store.journal.record("committed", release=A)
    with open(os.path.join(layout.state, "journal.jsonl"), "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    store.journal.record("committed", release=B)
    assert [event["release"] for event in store.journal.outcomes()] == [A, B]
    assert store.journal.unreadable_lines() == 1


NAMED = '{"name": "shop", "root": '


@pytest.mark.parametrize(
    "text",
    [
        '"x"',
        '{"name": "shop"}',
        '{"name": "other", "root": "/opt/other"}',
        f'{NAMED}"x"}}',
        f'{NAMED}"/opt/shop", "health": []}}',
        f'{NAMED}"/opt/shop", "keep": null}}',
    ],
)
def test_settings_that_cannot_be_used_are_damaged(layout, store, text):
    with open(os.path.join(layout.state, "settings.json"), "w", encoding="utf-8") as stream:
        stream.write(text)
    with pytest.raises(SlipwayError) as caught:
        load_settings("shop", layout.state_root)
    assert caught.value.code == "damaged_settings"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from(["committed", "rolled_back", "phase", "counted"])),
        st.tuples(st.just("torn"), st.sampled_from([b"\xff", b'{"event": "committed"', b"\n\n", b"[1]\n"])),
        st.tuples(st.just("replaced"), st.just(b'{"time": 1, "event": "refused", "release": "x"}\n')),
        st.tuples(st.just("shortened"), st.integers(0, 200)),
    ),
    max_size=12,
)


@given(STEPS)
def test_what_was_read_before_changes_no_answer(tmp_path_factory, steps):
    layout = Layout("shop", *(str(tmp_path_factory.mktemp("journal") / name) for name in ("opt", "var")))
    os.makedirs(layout.state)
    path, asked = os.path.join(layout.state, "journal.jsonl"), Store(layout).journal
    for what, value in steps:
        if what == "record":
            asked.record(value, release=A, totals=[])
        elif what == "torn":
            append(layout, value)
        elif what == "replaced":
            with open(f"{path}.new", "wb") as stream:
                stream.write(value)
            os.rename(f"{path}.new", path)
        elif os.path.exists(path):
            os.truncate(path, min(value, os.path.getsize(path)))
        fresh = Store(layout).journal
        assert asked.outcomes() == fresh.outcomes() == [e for e in fresh.events() if e["event"] in journal.OUTCOMES]
        assert asked.last_count_of(A) == fresh.last_count_of(A)


def test_a_long_history_is_read_once(store, monkeypatch):
    for _number in range(50):
        store.journal.record("committed", release=A)
    parsed, event = [], journal._event
    monkeypatch.setattr(journal, "_event", lambda line: parsed.append(line) or event(line))
    assert len(store.journal.outcomes()) == 50
    store.journal.record("committed", release=B)
    assert store.journal.outcomes()[-1]["release"] == B
    assert len(parsed) == 51
