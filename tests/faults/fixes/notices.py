"""Scenes of slipway_notices: entries by which no notice could be sent, as the first tasks of a run refuse them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.go.plugins.action.notice import template_with
from ansible_collections.slipway.go.plugins.plugin_utils._input import role_options
from ansible_collections.slipway.go.plugins.plugin_utils._notices import destinations
from ansible_collections.slipway.go.tests.faults.fixes.inputs import CHAT, noticed, refused
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.lab import web

SCENES = Scenes()
GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "notices.md"
MAIL = {"to": ["ops@example.com"], "from": "slipway@example.com"}
WORDS = "write command as a list, the program first"


def hook(**options: Any) -> dict[str, Any]:
    return {**CHAT, "webhook": {**CHAT["webhook"], **options}}


def letter(**options: Any) -> dict[str, Any]:
    return {"name": "ops", "mail": {**MAIL, **options}}


for how, wrong, right, fix in (
    ("is no dictionary", "https://host/x", CHAT, "write it as name: value pairs"),
    (
        "has an option that is not known",
        {**CHAT, "event": ["failed"]},
        {**CHAT, "events": ["failed"]},
        "give it name, events, timeout, webhook, mail, command only",
    ),
    ("has a timeout of a day", {**CHAT, "timeout": 86400}, {**CHAT, "timeout": 60}, "give seconds from 1 to 60"),
    (
        "has a URL in the place of a webhook",
        {**CHAT, "webhook": "https://host/x"},
        CHAT,
        "give webhook its options as name: value pairs",
    ),
    ("has a webhook without url", {"name": "chat", "webhook": {"method": "PUT"}}, CHAT, "give it url"),
    ("has a url without https", hook(url="host/x"), CHAT, "write url as https://HOST/PATH"),
    ("has a header of two lines", hook(headers={"X": "a\nb"}), hook(headers={"X": "a b"}), "correct headers"),
    ("has a sender that is no address", letter(**{"from": "slipway"}), letter(), "write it as user@example.com"),
    ("has a mail to nobody", letter(to=""), letter(), "give it the addresses in to"),
    ("has a port that is none", letter(port=70000), letter(port=587), "give a port from 1 to 65535"),
    (
        "has a username alone",
        letter(username="slipway"),
        letter(username="slipway", password="x"),
        "give both, or none",
    ),
    (
        "has a password for a server without TLS",
        letter(username="slipway", password="x", tls="none"),
        letter(username="slipway", password="x", tls="starttls"),
        "set tls to starttls or implicit",
    ),
    ("has a dictionary as the body of a mail", letter(body={"text": "x"}), letter(body="x"), "write body as one text"),
    (
        "has a line for a shell",
        {"name": "log", "command": "sh -c x"},
        {"name": "log", "command": ["/bin/sh"]},
        WORDS,
    ),
    ("has an empty program", {"name": "log", "command": [""]}, {"name": "log", "command": ["/bin/sh"]}, WORDS),
):
    refused("invalid_notices", f"an entry {how}", fix, noticed, wrong, right, "slipway_notices", SCENES)


def all_noticed(raw: Any) -> None:
    """With the templates that an inventory has."""
    trusted = [
        {**one, "webhook": {name: role_options.trusted(text) for name, text in one["webhook"].items()}} for one in raw
    ]
    destinations.check(trusted, template_with(Templar(loader=DataLoader()), {}))


refused(
    "invalid_notices",
    "slipway_notices is one entry",
    "write it as a list of entries, each with its name",
    lambda value: destinations.check(value, lambda _notice: lambda one: one),
    CHAT,
    [CHAT],
    "slipway_notices",
    SCENES,
)
refused(
    "invalid_notices",
    "two entries have one name",
    "give each entry another name",
    all_noticed,
    [CHAT, CHAT],
    [CHAT, {**CHAT, "name": "again"}],
    "slipway_notices",
    SCENES,
)


@SCENES.row(
    "invalid_notices",
    "a template names a field that no notice has",
    r"correct the template: (?P<page>\S+) lists the fields of slipway_notice",
    "another field of that page",
)
def _scene(stage: Stage) -> None:
    page = stage.fails(lambda: all_noticed([hook(body="{{ slipway_notice.summary | to_json }}")]))["page"]
    assert GUIDE.match(page)
    assert re.search(r"^\| `text` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    stage.passes(lambda: all_noticed([hook(body="{{ slipway_notice.text | to_json }}")]))


@SCENES.row(
    "invalid_notices",
    "ca_file is a private key",
    literal("give a file of certificates (PEM)"),
    "another `ca_file`",
)
def _scene(stage: Stage) -> None:
    web.certificate(stage.folder, "127.0.0.1")
    key, file = (str(stage.folder / name) for name in ("key.pem", "cert.pem"))
    stage.fails(lambda: noticed(hook(ca_file=key)))
    stage.passes(lambda: noticed(hook(ca_file=file)))
