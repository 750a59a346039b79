"""A Prometheus on this machine that reads the counters of lab hosts, by the names that the inventory has."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from waiting import wait


@contextmanager
def watching(addresses: Mapping[str, str], port: int, interval: int, folder: Path) -> Iterator[str]:
    """Its address, while it runs; interval: seconds between two looks."""
    groups = [{"targets": [f"{ip}:{port}"], "labels": {"instance": host}} for host, ip in addresses.items()]
    told = {
        "global": {"scrape_interval": f"{interval}s"},
        "scrape_configs": [{"job_name": "shop", "static_configs": groups}],
    }
    with running(told, folder) as listens:
        yield listens


@contextmanager
def running(told: Mapping[str, object], folder: Path) -> Iterator[str]:
    """Its address, while it runs; told: its configuration. What is in tsdb of the folder stays and is known to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listens = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "prometheus.yml").write_text(json.dumps(told))
    argv = [shutil.which("prometheus") or "prometheus", f"--config.file={folder / 'prometheus.yml'}"]
    argv += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={listens}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait("Prometheus answers", lambda: _ready(listens), 60)
        yield listens
    finally:
        process.terminate()
        process.wait()


def _ready(listens: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{listens}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def compare(listens: str, interval: int, seconds: int) -> dict[str, object]:
    """What release_compare is, for the sample service."""
    return {
        "url": f"http://{listens}",
        "requests": "sum by (instance) (http_requests_total)",
        "failures": 'sum by (instance) (http_requests_total{code=~"5.."})',
        "durations": "sum by (instance, le) (http_request_duration_seconds_bucket)",
        "time": seconds,
        "interval": interval,
    }
