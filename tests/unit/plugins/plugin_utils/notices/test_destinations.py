# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where notices go: what is accepted, what is refused and how, and that the guide's recipes are what it accepts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.go.plugins.action.notice import template_with
from ansible_collections.slipway.go.plugins.module_utils._notices.delivery import Outcome
from ansible_collections.slipway.go.plugins.module_utils._notices.notice import EVENTS, FIELDS, OF_RUNS
from ansible_collections.slipway.go.plugins.plugin_utils._input import role_options
from ansible_collections.slipway.go.plugins.plugin_utils._notices import destinations
from ansible_collections.slipway.go.plugins.plugin_utils._notices.destinations import Entry
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

GUIDE = (Path(__file__).resolve().parents[5] / "docs" / "guide" / "notices.md").read_text(encoding="utf-8")
SECRET = "s3cr3t-part"
URL = f"https://chat.example.com/{SECRET}"
HOOK: dict[str, Any] = {"name": "chat", "webhook": {"url": URL}}
MAIL: dict[str, Any] = {"to": "a@example.com", "from": "b@example.com", "host": "localhost"}


def trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    return [trusted(one) for one in value] if isinstance(value, list) else role_options.trusted(value)


def templates(**variables: Any) -> Any:
    return template_with(Templar(loader=DataLoader(), variables={}), trusted(variables))


def check(raw: Any, **variables: Any) -> None:
    destinations.check(trusted(raw), templates(**variables))


def read(raw: Any, event: str = "failed", **variables: Any) -> list[Entry | Outcome]:
    told = destinations.samples(event)[0]
    return list(destinations.entries(trusted(raw), templates(**variables)(told)))


def hook(**options: Any) -> list[dict[str, Any]]:
    return [{"name": "chat", "webhook": {"url": URL, **options}}]


def mail(**options: Any) -> list[dict[str, Any]]:
    return [{"name": "chat", "mail": {**MAIL, **options}}]


@pytest.mark.parametrize("raw", ["", None, [], "[]", [HOOK], json.dumps([HOOK]), "{{ theirs }}", hook(method="PUT")])
def test_what_is_accepted(raw: Any) -> None:
    check(raw, theirs=hook(body={"text": "{{ slipway_notice.text }}"}))


def test_a_template_of_the_whole_is_rendered_with_the_notice() -> None:
    (entry,) = read("{{ theirs }}", theirs=hook(body={"text": "{{ slipway_notice.host }}"}))
    assert isinstance(entry, Entry)
    assert entry.body == {"text": "web3"}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("chat", "slipway_notices is not a list"),
        ({"name": "chat"}, "slipway_notices is not a list"),
        (["chat"], "entry 1 is "),
        ([{"webhook": {"url": URL}}], "entry 1 has no usable name"),
        ([{"name": "on call", "webhook": {"url": URL}}], "entry 1 has no usable name"),
        ([{"name": "chat"}], "has none of them"),
        ([{**HOOK, "command": ["true"]}], "has webhook and command"),
        ([HOOK, HOOK], "entry 2 (chat) has the name of an entry before it"),
        ([{**HOOK, "event": "failed"}], "has event, which is not known"),
        ([{**HOOK, "events": ["broken"]}], "has events that cannot be used"),
        ([{**HOOK, "events": ["watch_acted"]}], "has watch_acted, which a host tells"),
        ([{**HOOK, "timeout": 600}], "has a timeout of 600"),
        ([{**HOOK, "timeout": "soon"}], "has timeout that cannot be used"),
        ([{"name": "chat", "webhook": URL}], "has a webhook that is no dictionary"),
        (hook(url=""), "has no url"),
        (hook(url=f"ftp://host/{SECRET}"), "has a url that is none of a web server"),
        (hook(url=f"file:///{SECRET}"), "has a url that is none of a web server"),
        (hook(url=f"https://host:99999/{SECRET}"), "has a url that is none of a web server"),
        (hook(url=f"https://host/{SECRET}\n"), "has url that is not one line"),
        (hook(method="GET"), "has method that cannot be used"),
        (hook(headers={"X Y": SECRET}), "has a header that is no name"),
        (hook(headers={"X": f"a\n{SECRET}"}), "has a header that is no name"),
        (hook(body='{"text": "{{ slipway_notice.text }}"}'), "has a body that is no JSON"),
        (hook(body={"text": "{{ slipway_notice.txt }}"}), "has a template that cannot be evaluated"),
        (hook(body={"text": "{{ slipway_notice.changes[0].to }}"}), "has a template that cannot be evaluated"),
        (hook(body="{{ slipway_notice.text | no_such_filter }}"), "has a template that cannot be evaluated"),
        (hook(url="{{ vault_chat_url }}"), "vault_chat_url"),
        (hook(ca_file="/no/such/file"), "has the ca_file /no/such/file, which has no certificates"),
        (mail(to=""), "has nobody in to"),
        (mail(to="a"), "has a, which is no address"),
        (mail(**{"from": "Ops <a@example.com>"}), "which is no address"),
        (mail(to="a@example.com\r\nBcc: b@example.com"), "which is no address"),
        (mail(port=0), "has port 0"),
        (mail(username="me"), "has only one of username and password"),
        (mail(username="me", password=SECRET, tls="none"), "has a password that would be sent in clear"),
        (mail(tls="yes"), "has tls that cannot be used"),
        (mail(body={"a": "b"}), "has a body of a mail that is no text"),
        ([{"name": "chat", "command": "page --now"}], "has a command that is no list of words"),
        ([{"name": "chat", "command": ["/no/such/program"]}], "which is not on the controller"),
    ],
)
def test_what_is_refused_is_refused_without_its_secrets(raw: Any, words: str) -> None:
    error = refused(lambda: check(raw), "invalid_notices", words)
    assert SECRET not in f"{error}"
    assert error.fix


def test_one_broken_entry_keeps_no_other_from_being_told() -> None:
    one, other, third = read([HOOK, *hook(body={"a": "{{ nobody_has_set_it }}"}), {"name": "x", "command": []}])
    assert isinstance(one, Entry)
    assert other == Outcome("chat", "template", other.why)
    assert "nobody_has_set_it" in other.why
    assert third[:2] == ("x", "invalid")


def test_what_is_sent() -> None:
    told = destinations.samples("failed")[0]
    (entry,) = read(mail())
    assert isinstance(entry, Entry)
    text = destinations.letter(told)
    assert text.startswith(f"{told['text']}\n\nshop: 1.9.4-77c0aa12de -> 2.0.0-3b1d8f00aa on 3 hosts\n")
    assert "failed:     web3\n" in text
    sent = destinations.delivery(entry, told).send.args
    assert sent[1] == f"failed: {told['text']}"
    (entry,) = read([HOOK])
    assert json.loads(destinations.delivery(entry, told).send.args[1]) == told
    (entry,) = read([{"name": "page", "command": [sys.executable]}])
    assert json.loads(destinations.delivery(entry, told).send.args[1]) == told


def rows(heading: str) -> list[list[str]]:
    """The first cells of the table below a heading of the guide, with the names that they have."""
    part = re.split(r"^#+ ", GUIDE.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return [re.findall(r"`(\w+)`", line.split("|")[1]) for line in part.splitlines() if line.startswith("| `")]


def test_the_guide_has_every_field_and_no_other_in_their_order() -> None:
    assert [name for row in rows("## Fields") for name in row] == list(FIELDS)
    hosts = GUIDE.partition("| `hosts` |")[2].partition("\n")[0]
    assert re.findall(r"`(\w+)`", hosts) == list(FIELDS["hosts"])


def test_the_guide_has_every_event_and_every_option() -> None:
    assert [name for row in rows("## Events") for name in row] == list(OF_RUNS)
    assert f"`{EVENTS[-1]}`" in GUIDE
    for way, options in destinations._OPTIONS.items():
        assert {name for row in rows(f"### `{way}`") for name in row} == set(options)


VAULT = {"vault_chat_url": URL, "vault_slack_url": URL, "vault_mail_password": SECRET}


RECIPES = [text for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "slipway_notices:" in text]


@pytest.mark.parametrize("text", RECIPES)
def test_each_recipe_of_the_guide_is_accepted_and_says_something(text: str) -> None:
    given = yaml.safe_load(text)["slipway_notices"]
    for entry in given:
        entry["command"] = entry.get("command") and [sys.executable]
    check(given, **VAULT)
    for entry in read(given, **VAULT):
        assert isinstance(entry, Entry)
        if entry.webhook and "slack" in entry.name:
            assert entry.body["text"] == (
                ':x: shop 2.0.0: the health check answers "503", not \\2xx. https://awx.example.com/#/jobs/playbook/1704'
            )
        if entry.mail:
            assert entry.subject == "[failed] shop 2.0.0"


def test_the_guide_has_the_recipes() -> None:
    names = re.findall(r"^  - name: (\S+)$", GUIDE, re.MULTILINE)
    assert names == ["chat", "on-call", "slack", "mail"]
