# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads slipway_notices: where notices go, and what is sent there. This file is PRIVATE to the collection.

An entry is rendered anew for each notice, with that notice at hand. What is refused is refused by the entry's name and
without a word of what it holds, for that may be secret.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._notices import mail, program, webhook
from ansible_collections.slipway.go.plugins.module_utils._notices.delivery import Delivery, Outcome
from ansible_collections.slipway.go.plugins.module_utils._notices.mail import Mail
from ansible_collections.slipway.go.plugins.module_utils._notices.notice import OF_RUNS, WATCH_ACTED, notice, one_line
from ansible_collections.slipway.go.plugins.module_utils._notices.webhook import JSON, SCHEMES, Webhook
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

# The variable, and what its templates find the notice in.
VARIABLE, NOTICE = "slipway_notices", "slipway_notice"
WAYS = ("webhook", "mail", "command")
SECONDS, MOST_SECONDS = 10.0, 60.0
METHODS = ("POST", "PUT", "PATCH")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_UNDEFINED = re.compile(r"'[^'{}]*' is undefined|(?:object of type '\w+' |'\w+ object' )?has no attribute '[^'{}]*'")
_ADDRESS = re.compile(r"[!#-'*+\-./-9=?A-Z^-~]+@[A-Za-z0-9.-]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SUBJECT = 200
_OPTIONS = {
    "webhook": ("url", "method", "headers", "body", "ca_file"),
    "mail": ("to", "from", "host", "port", "tls", "username", "password", "subject", "body", "ca_file"),
}

Template = Callable[[Any], Any]


@dataclass(frozen=True)
class Entry:
    """One place where notices go; exactly one of the three ways is not empty. body: None for the notice as it is."""

    name: str
    events: tuple[str, ...]
    seconds: float
    webhook: Webhook | None = None
    mail: Mail | None = None
    command: tuple[str, ...] = ()
    body: Any = None
    subject: str = ""

    @property
    def way(self) -> str:
        return next(way for way in WAYS if getattr(self, way))

    @property
    def content_type(self) -> str:
        given = {name.lower(): value for name, value in (self.webhook.headers if self.webhook else {}).items()}
        return given.get("content-type", JSON)


def entries(raw: Any, template: Template) -> Iterator[Entry | Outcome]:
    """What the variable says; in the place of an entry that cannot be used, why."""
    try:
        given = template(raw) if isinstance(raw, str) else raw
        given = [] if survey.is_empty(given) else survey.records(given, VARIABLE)
    except (AnsibleError, SlipwayError) as error:
        yield Outcome(VARIABLE, "template", _why(error))
        return
    rendered: Template = (lambda one: one) if isinstance(raw, str) else template
    for number, one in enumerate(given, 1):
        name = str(one["name"]) if isinstance(one, Mapping) and _is_name(one.get("name")) else f"entry {number}"
        try:
            yield read(rendered(one), number)
        except SlipwayError as error:
            yield Outcome(name, "invalid", error.message)
        except Exception as error:  # whatever a filter of somebody else raises
            yield Outcome(name, "template", _why(error))


def check(raw: Any, template_with: Callable[[Mapping[str, Any]], Template]) -> None:
    """Raise for the first entry that could not be used for a notice that may come.

    template_with: what evaluates templates with that notice at hand.
    """
    given = _first(raw, template_with(samples(OF_RUNS[0])[0]))
    rendered: list[list[Any]] = []
    for number, one in enumerate(given, 1):
        for event in OF_RUNS:
            for told in samples(event):
                entry = _checked(one, number, template_with(told) if not isinstance(raw, str) else _as_it_is)
                _check_body(entry, number)
        rendered.append([entry.name])
        if [entry.name] in rendered[:-1]:
            _refuse(_entry(number, entry.name), "has the name of an entry before it", "give each entry another name")
        _check_here(entry, number)


def _as_it_is(value: Any) -> Any:
    return value


def _first(raw: Any, template: Template) -> list[Any]:
    try:
        given = template(raw) if isinstance(raw, str) else raw
    except AnsibleError as error:
        raise _cannot(VARIABLE, error) from None
    if survey.is_empty(given):
        return []
    try:
        return survey.records(given, VARIABLE)
    except SlipwayError:
        raise SlipwayError(
            "invalid_notices", f"{VARIABLE} is not a list.", "write it as a list of entries, each with its name"
        ) from None


def _checked(one: Any, number: int, template: Template) -> Entry:
    try:
        return read(template(one), number)
    except AnsibleError as error:
        name = one.get("name") if isinstance(one, Mapping) else ""
        raise _cannot(_entry(number, name if _is_name(name) else ""), error) from None


def _cannot(where: str, error: Exception) -> SlipwayError:
    return SlipwayError(
        "invalid_notices",
        f"{where} has a template that cannot be evaluated: {_why(error)}.",
        "correct the template: docs/guide/notices.md lists the fields of slipway_notice",
    )


def _why(error: Exception) -> str:
    """An undefined name is told; other texts may quote what was to be rendered."""
    if isinstance(error, SlipwayError):
        return error.message
    if isinstance(error, AnsibleUndefinedVariable):
        # Older versions of Ansible quote the text before that, of which a part may be secret.
        told = _UNDEFINED.findall(str(error))
        return one_line(told[-1], 200) if told else "it uses what is undefined"
    return f"it fails with {type(error).__name__}"


def _entry(number: int, name: Any = "") -> str:
    return f"{VARIABLE} entry {number}{f' ({name})' if name else ''}"


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _refuse(where: str, what: str, fix: str) -> NoReturn:
    raise SlipwayError("invalid_notices", f"{where} {what}.", fix)


def read(one: Any, number: int) -> Entry:
    """An entry that is rendered; raise for what it cannot be."""
    if not isinstance(one, Mapping):
        _refuse(_entry(number), f"is {type(one).__name__} and not a dictionary", "write it as name: value pairs")
    name = one.get("name")
    if not _is_name(name):
        _refuse(_entry(number), "has no usable name", "give it a name of letters, digits and . _ -")
    where = _entry(number, name)
    _known(where, one, ("name", "events", "timeout", *WAYS))
    ways = [way for way in WAYS if not _is_left_out(one.get(way))]
    if len(ways) != 1:
        said = " and ".join(ways) if ways else "none of them"
        _refuse(where, f"has {said}", "give it exactly one of webhook, mail and command")
    if WATCH_ACTED in str(one.get("events")):
        _refuse(where, f"has {WATCH_ACTED}, which a host tells", "take it out, and set service_watch_alert")
    events = _read(where, "events", one.get("events"), survey.list_of(survey.choice(*OF_RUNS))) or OF_RUNS
    seconds = _read(where, "timeout", one.get("timeout"), survey.number, SECONDS)
    if not 1 <= seconds <= MOST_SECONDS:
        _refuse(where, f"has a timeout of {seconds:g}", f"give seconds from 1 to {MOST_SECONDS:g}")
    entry = Entry(str(name), tuple(events), float(seconds))
    if ways[0] == "command":
        return replace(entry, command=_command(where, one["command"]))
    given = one[ways[0]]
    if not isinstance(given, Mapping):
        _refuse(where, f"has a {ways[0]} that is no dictionary", f"give {ways[0]} its options as name: value pairs")
    _known(f"{where}: {ways[0]}", given, _OPTIONS[ways[0]])
    body = None if _is_left_out(given.get("body")) else given["body"]
    if ways[0] == "webhook":
        return replace(entry, webhook=_webhook(where, given), body=body)
    if body is not None and not isinstance(body, str):
        _refuse(where, "has a body of a mail that is no text", "write body as one text")
    return replace(entry, mail=_mail(where, given), body=body, subject=_text(where, "subject", given.get("subject")))


def _is_left_out(value: Any) -> bool:
    return survey.is_empty(value) or (isinstance(value, (Mapping, list)) and not value)


def _known(where: str, given: Mapping[Any, Any], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            _refuse(where, f"has {one_line(name, 40)}, which is not known", f"give it {', '.join(names)} only")


def _read(where: str, option: str, value: Any, reader: survey.Reader, default: Any = None) -> Any:
    if _is_left_out(value):
        return default
    try:
        return reader(value, option)
    except SlipwayError as error:
        _refuse(where, f"has {option} that cannot be used: {error.message.rstrip('.')}", f"{error.fix or option}")


def _text(where: str, option: str, value: Any) -> str:
    """One line; what is in it is not shown."""
    if _is_left_out(value):
        return ""
    text = str(value)
    if isinstance(value, (Mapping, list, tuple, bool)) or not text.isprintable():
        _refuse(where, f"has {option} that is not one line of text", f"give {option} as one line of text")
    return text


def _required(where: str, option: str, value: Any) -> str:
    text = _text(where, option, value)
    if not text:
        _refuse(where, f"has no {option}", f"give it {option}")
    return text


def _webhook(where: str, given: Mapping[str, Any]) -> Webhook:
    url = _required(where, "url", given.get("url"))
    fix = "write url as https://HOST/PATH"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.scheme in SCHEMES and (parts.port is None or 0 < parts.port < 65536)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or " " in url:
        _refuse(where, "has a url that is none of a web server", fix)
    method = _read(where, "method", given.get("method"), survey.choice(*METHODS)) or "POST"
    headers = _read(where, "headers", given.get("headers"), survey.mapping) or {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(str(name)) or not _VALUE.fullmatch(str(value)):
            _refuse(where, "has a header that is no name, or a value that is not one line of ASCII", "correct headers")
    ca_file = os.path.expanduser(_text(where, "ca_file", given.get("ca_file")))
    return Webhook(url, method, {str(name): str(value) for name, value in headers.items()}, ca_file)


def _mail(where: str, given: Mapping[str, Any]) -> Mail:
    to = _read(where, "to", given.get("to"), survey.list_of(survey.text)) or []
    sender = _required(where, "from", given.get("from"))
    for address in (sender, *to):
        if not _ADDRESS.fullmatch(address):
            _refuse(where, f"has {one_line(address, 60)}, which is no address", "write it as user@example.com")
    if not to:
        _refuse(where, "has nobody in to", "give it the addresses in to")
    tls = _read(where, "tls", given.get("tls"), survey.choice(*mail.TLS)) or mail.STARTTLS
    port = _read(where, "port", given.get("port"), survey.whole, mail.PORTS[tls])
    if not 0 < port < 65536:
        _refuse(where, f"has port {port}", "give a port from 1 to 65535")
    username, password = (_text(where, name, given.get(name)) for name in ("username", "password"))
    if bool(username) != bool(password):
        _refuse(where, "has only one of username and password", "give both, or none")
    if username and tls == mail.NONE:
        _refuse(where, "has a password that would be sent in clear", "set tls to starttls or implicit")
    ca_file = os.path.expanduser(_text(where, "ca_file", given.get("ca_file")))
    host = _text(where, "host", given.get("host")) or "localhost"
    return Mail(tuple(to), sender, host, port, tls, username, password, ca_file)


def _command(where: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or any(isinstance(word, (Mapping, list)) for word in given):
        _refuse(where, "has a command that is no list of words", "write command as a list, the program first")
    words = tuple(map(str, given))
    if not words or not words[0] or any("\0" in word for word in words):
        _refuse(where, "has a command without a program", "write command as a list, the program first")
    return (os.path.expanduser(words[0]), *words[1:])


def _check_body(entry: Entry, number: int) -> None:
    """What is to be JSON has to be that also with quotes and backslashes in the notice."""
    if not isinstance(entry.body, str) or entry.way != "webhook" or "json" not in entry.content_type.lower():
        return
    try:
        json.loads(entry.body)
    except ValueError:
        _refuse(
            _entry(number, entry.name),
            "has a body that is no JSON where a field has quotes in it",
            "write body as a dictionary, or use the filter to_json",
        )


def _check_here(entry: Entry, number: int) -> None:
    """What must be there on the controller."""
    where = _entry(number, entry.name)
    if entry.command and not shutil.which(entry.command[0]):
        _refuse(where, f"has the command {entry.command[0]}, which is not on the controller", "install it there")
    ca_file = (entry.webhook or entry.mail or Webhook("")).ca_file
    if ca_file:
        try:
            ssl.create_default_context(cafile=ca_file)
        except (OSError, ValueError):
            _refuse(where, f"has the ca_file {ca_file}, which has no certificates", "give a file of certificates (PEM)")


def samples(event: str) -> list[dict[str, Any]]:
    """Notices for a try: one with everything in it, and one with as little as there may be."""
    change = {"service": "shop", "from": "1.9.4-77c0aa12de", "to": "2.0.0-3b1d8f00aa", "hosts": 3}
    full = notice(
        event=event,
        text='shop 2.0.0: the health check answers "503", not \\2xx.',
        playbook="release",
        services=["shop"],
        version="2.0.0",
        changes=[change],
        hosts={"total": 3, "released": 1, "rolled_back": 1, "failed": 1},
        failed_hosts=["web3"],
        batch=1,
        batches=3,
        verdict="stopped",
        code="rolled_back",
        cause='the health check answers "503", not \\2xx.',
        host="web3",
        reason="ticket 'OPS-4711'",
        person="alice",
        controller="ctl1",
        job="AWX job 1704, release",
        job_url="https://awx.example.com/#/jobs/playbook/1704",
        run="1704",
        run_id="90f1c2aa34bb56dd",
        when="2026-11-30T14:11:00Z",
    )
    return [full, notice(event=event)]


def delivery(entry: Entry, told: Mapping[str, Any]) -> Delivery:
    """How this notice goes there."""
    if entry.webhook:
        content = entry.body if isinstance(entry.body, str) else json.dumps(told if entry.body is None else entry.body)
        send = functools.partial(webhook.send, entry.webhook, content.encode(), entry.content_type, entry.seconds)
    elif entry.mail:
        subject = one_line(entry.subject or f"{told['event']}: {told['text']}", _SUBJECT)
        body = letter(told) if entry.body is None else entry.body
        send = functools.partial(mail.send, entry.mail, subject, body, entry.seconds)
    else:
        send = functools.partial(program.send, entry.command, json.dumps(told).encode() + b"\n", entry.seconds)
    return Delivery(entry.name, str(told["event"]), send, entry.seconds)


def letter(told: Mapping[str, Any]) -> str:
    """A notice as the text of a mail."""
    lines = [str(told["text"]), ""]
    for change in told["changes"]:
        hosts = f"{change['hosts']} host{'s' if change['hosts'] != 1 else ''}"
        lines.append(f"{change['service']}: {change['from'] or 'nothing'} -> {change['to'] or '?'} on {hosts}")
    hosts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told["hosts"].items() if count)
    rows = {"hosts": hosts, "failed": ", ".join(told["failed_hosts"])}
    rows |= {name: told[name] for name in ("reason", "person", "controller", "job", "job_url", "run", "run_id", "when")}
    lines += [f"{name + ':':12}{value}" for name, value in rows.items() if value]
    return "\n".join(lines) + "\n"
