"""The dashboard of examples/monitoring on a real Prometheus: every query is asked, and its panels are drawn.

`make dashboard` runs it; needs the packages prometheus, and chromium for the picture. Exits 1 when a query is refused,
finds nothing in a day that has what it asks for, or shows what was not chosen, when no panel shows a metric that hosts
export, or when an alert rule cannot be evaluated. Grafana has no part in it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "lab"))

import prometheus
from ansible_collections.slipway.go.tests.pictures.dashboard import check, day, draw
from ansible_collections.slipway.go.tests.pictures.dashboard.api import Prometheus
from ansible_collections.slipway.go.tests.pictures.dashboard.queries import queries
from waiting import wait

ROOT = HERE.parents[2]
MONITORING = ROOT / "examples" / "monitoring"
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")
LOOKS, EVALUATES = 15, 5
FIRES_LAST = "SlipwayServiceDown"  # of what the day ends with, it needs a minute
LIMIT = 400_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="where to put a PNG of the panels")
    parser.add_argument("--page", type=Path, help="where to leave the page that it shows")
    options = parser.parse_args()
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    with tempfile.TemporaryDirectory(prefix="slipway-dashboard-") as folder:
        with recorded(Path(folder)) as listens:
            asked = Prometheus(listens)
            wait("the alerts fire", lambda: FIRES_LAST in firing(asked), 240, 2)
            now = time.time()
            problems = list(check.problems(dashboard, exported(), asked, now - day.HOURS * 3600, now))
            problems += check.rule_problems(asked.rules(), asked, now - day.HOURS * 3600, now)
            asked_for, rules = list(queries(dashboard)), asked.rules()
            print(f"{len(asked_for)} queries, {len(rules)} rules; fires: {', '.join(firing(asked))}")
            print("\n".join(problems) or "nothing is wrong")
            if problems:
                return 1
            page = draw.page(dashboard, asked, now)
        if options.page:
            options.page.write_text(page)
        if options.picture:
            photograph(page, draw.size(dashboard), options.picture, Path(folder))
    return 0


def exported() -> set[str]:
    return set(re.findall(r"^\| `(slipway_\w+)`", REFERENCE.read_text(), re.MULTILINE))


def firing(asked: Prometheus) -> list[str]:
    return sorted(rule["name"] for rule in asked.rules() if rule["state"] == "firing")


@contextmanager
def recorded(folder: Path) -> Iterator[str]:
    """The address of a Prometheus that has the day, looks at its hosts as it goes on, and evaluates the rules."""
    end = time.time()
    text = folder / "day.txt"
    with text.open("w") as stream:
        stream.writelines(f"{line}\n" for line in day.samples(end))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "tsdb")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with serving(end) as port:
        told: dict[str, object] = {
            "global": {"scrape_interval": f"{LOOKS}s", "evaluation_interval": f"{EVALUATES}s"},
            "rule_files": [str(MONITORING / "slipway.rules.yml")],
            "scrape_configs": [{"job_name": day.JOB, "static_configs": [target(host, port) for host in day.SERVICES]}],
        }
        with prometheus.running(told, folder) as listens:
            yield listens


def target(host: str, port: int) -> dict[str, Any]:
    labels = {"instance": host, "__metrics_path__": f"/{host}"}
    return {"targets": [f"127.0.0.1:{port}"], "labels": labels}


@contextmanager
def serving(end: float) -> Iterator[int]:
    """The port where the collectors of all hosts answer."""

    class Collector(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = day.page(self.path.strip("/"), time.time(), end).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_told: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def photograph(page: str, size: tuple[int, int], picture: Path, folder: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("the picture needs a Chromium: install the package chromium")
    source = folder / "page.html"
    source.write_text(page)
    taken = folder / "page.png"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-lcd-text",
        f"--screenshot={taken}",
    ]
    command += [f"--window-size={size[0]},{size[1]}", f"--user-data-dir={folder / 'browser'}", source.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    if taken.stat().st_size > LIMIT:
        raise SystemExit(f"the picture has {taken.stat().st_size} bytes; {LIMIT} are allowed")
    shutil.copyfile(taken, picture)


if __name__ == "__main__":
    sys.exit(main())
