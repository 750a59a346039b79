"""The hostile server's cases put to health_check, ansible.builtin.uri and ansible.builtin.wait_for.

Usage: PYTHONPATH=.work/collections python tests/bench/health_compare.py [--timeout SECONDS] [CASE…]

Prints the table of docs/evidence/health-cases.md. Each tool is asked what it is made for: uri the HTTP cases,
wait_for the plain TCP and unix ones. An answer is right when it calls healthy what is healthy and nothing else, and in
time when it comes within the timeout + 10 % (and 0.1 s for a busy machine, the same for all). What a tool returns but
does not judge, such as the body, is judged here as `failed_when` would.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._health.deadline import Deadline
from ansible_collections.slipway.go.plugins.module_utils._health.kinds.matching import search
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import CheckFailed
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile

SLACK = 0.1
PATIENCE = 10  # seconds after the timeout at which a tool that hangs is ended
TOOLS = {
    "health_check": "ansible_collections.slipway.go.plugins.modules.health_check",
    "uri": "ansible.modules.uri",
    "wait_for": "ansible.modules.wait_for",
}


# ---------------------------------------------------------------------------------------------------------------------
# In a process of its own: one module, one question


def child(name: str) -> None:
    """Run the module with the arguments on stdin; print its result and how long main() took."""
    import importlib

    from ansible.module_utils import basic

    module = importlib.import_module(TOOLS[name])
    basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
    basic._ANSIBLE_PROFILE = "legacy"
    output = io.StringIO()
    began = time.monotonic()
    with hostile.names_of_the_stage(), contextlib.redirect_stdout(output):
        try:
            module.main()
        except SystemExit:
            pass
        except Exception as error:  # a traceback is a failed task, too
            output = io.StringIO(json.dumps({"failed": True, "msg": f"MODULE FAILURE: {error!r}"}))
    elapsed = time.monotonic() - began
    print(json.dumps({"elapsed": elapsed, "result": json.loads(output.getvalue())}), flush=True)
    # A resolver left hanging in a thread must not count as time of the module, nor keep this process.
    os._exit(0)


def ask(name: str, arguments: dict[str, Any], timeout: float) -> tuple[dict[str, Any] | None, float]:
    """Result and seconds; no result when it had to be ended."""
    text = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child", name],
            input=text.encode(),
            capture_output=True,
            check=False,
            timeout=timeout + PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return None, timeout + PATIENCE
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr.decode()[-2000:]}")
    found = json.loads(done.stdout)
    return found["result"], found["elapsed"]


# ---------------------------------------------------------------------------------------------------------------------
# The same question for each tool


# What these cases are about cannot be asked of uri at all: there is no option for it.
NOT_FOR_URI = ("family", "min_days", "min_tls_version", "identity", "max_latency")
NO_LIMIT_IN_URI = ("a gzip bomb",)


def for_uri(spec: dict[str, Any]) -> dict[str, Any] | None:
    if "url" not in spec or spec["kind"] not in ("http", "https", "unix"):
        return None
    if spec["name"] in NO_LIMIT_IN_URI or any(name in spec for name in NOT_FOR_URI):
        return None
    arguments = {
        "url": spec["url"] + ("actuator/health" if spec.get("preset") == "spring" else ""),
        "timeout": int(spec["timeout"]),
        "follow_redirects": "all" if spec.get("follow_redirects") else "none",
        "return_content": True,
        "status_code": list(range(200, 300)),
        "validate_certs": True,
    }
    for ours, theirs in (("unix_socket", "unix_socket"), ("ca_file", "ca_path"), ("client_cert", "client_cert")):
        if ours in spec:
            arguments[theirs] = spec[ours]
    return arguments


def for_wait_for(spec: dict[str, Any]) -> dict[str, Any] | None:
    if spec["kind"] == "unix" and "url" not in spec and "send" not in spec:
        return {"path": spec["address"], "timeout": int(spec["timeout"])}
    if spec["kind"] != "tcp" or "send" in spec or "identity" in spec or "family" in spec:
        return None
    host, _colon, port = spec["address"].rpartition(":")
    return {"host": host, "port": int(port), "timeout": int(spec["timeout"])}


def healthy_by_uri(spec: dict[str, Any], result: dict[str, Any]) -> bool:
    content = result.get("content", "")
    document = _document(content) if "assert_json" in spec or "preset" in spec else None
    checks = [
        not result.get("failed"),
        spec.get("body_contains", "") in content,
        search(re.compile(spec.get("body_regex", "")), content, Deadline.after(PATIENCE), "the body"),
        all(
            result.get(one["name"].lower().replace("-", "_")) == one["equals"] for one in spec.get("assert_headers", [])
        ),
        all(_json_holds(document, one) for one in spec.get("assert_json", [])),
        "preset" not in spec or _json_holds(document, {"path": "$.status", "in": ("UP", "pass", "warn")}),
    ]
    return all(checks)


def _document(content: str) -> Any:
    try:
        return json.loads(content, parse_int=float)
    except (ValueError, RecursionError):
        return None


def _json_holds(document: Any, one: dict[str, Any]) -> bool:
    for key in one["path"].split(".")[1:]:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    if "max" in one:
        return bool(document <= one["max"])
    if "in" in one:
        return document in one["in"]
    return "equals" not in one or document is one["equals"]


def reasoned(case: hostile.Case, result: dict[str, Any]) -> bool:
    """health_check has to say why, too."""
    found = result["checks"][0]
    return found["state"] == case.state and found["reason"] in case.reason.split("|")


def verdict(
    tool: str, case: hostile.Case, spec: dict[str, Any], timeout: float, sentry: hostile.Sentry
) -> tuple[str, float]:
    arguments: dict[str, Any] | None = {"checks": [spec]}
    if tool != "health_check":
        arguments = for_uri(spec) if tool == "uri" else for_wait_for(spec)
    if arguments is None:
        return "", 0.0
    began = time.monotonic()
    result, elapsed = ask(tool, arguments, timeout)
    if result is None:
        return "hangs", elapsed
    try:
        healthy = healthy_by_uri(spec, result) if tool == "uri" else not result.get("failed")
    except CheckFailed:
        return "hangs", elapsed + PATIENCE
    if healthy != (case.state != "fail") or (tool == "health_check" and not reasoned(case, result)):
        return "wrong", elapsed
    in_time = elapsed <= timeout * 1.1 + SLACK + sentry.lateness(began)
    return "right" if in_time else "late", elapsed


# ---------------------------------------------------------------------------------------------------------------------
# The table


def cell(found: tuple[str, float]) -> str:
    word, elapsed = found
    if not word:
        return "-"
    shown = f"{elapsed:.1f} s" if elapsed >= 0.1 else f"{elapsed * 1000:.0f} ms"
    return f"**{word}**, {shown}" if word != "right" else f"right, {shown}"


def compare(names: list[str], timeout: float) -> list[tuple[hostile.Case, dict[str, tuple[str, float]]]]:
    rows = []
    with hostile.set_stage(Path(tempfile.mkdtemp(prefix="compare"))) as stage, hostile.Sentry() as sentry:
        for case in hostile.CASES:
            if names and case.name not in names:
                continue
            found = {}
            for tool in TOOLS:
                with hostile.played(case, stage, timeout) as spec:
                    spec["timeout"] = timeout if case.slow or "metrics" not in spec else spec["timeout"]
                    found[tool] = verdict(tool, case, spec, spec["timeout"], sentry)
            rows.append((case, found))
            print(f"{case.name}: {found}", file=sys.stderr)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--child")
    parser.add_argument("--timeout", type=int, default=2)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.child:
        child(options.child)
    rows = compare(options.names, float(options.timeout))
    print(f"| case | should be | {' | '.join(TOOLS)} |")
    print("|---|---|" + "---|" * len(TOOLS))
    for case, found in rows:
        wanted = case.reason.split("|")[0] if case.state == "fail" else case.state
        print(f"| {case.name} | {wanted} | {' | '.join(cell(found[tool]) for tool in TOOLS)} |")
    for line in totals(rows):
        print(line)
    return 0


def totals(rows: list[tuple[hostile.Case, dict[str, tuple[str, float]]]]) -> list[str]:
    words = ("right", "wrong", "late", "hangs")
    lines = [
        "",
        "| | asked | right and in time | wrong | right but late | ended after hanging |",
        "|---|---|---|---|---|---|",
    ]
    for tool in TOOLS:
        asked = [found[tool][0] for _case, found in rows if found[tool][0]]
        counts = " | ".join(str(asked.count(word)) for word in words)
        lines.append(f"| {tool} | {len(asked)} | {counts} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
