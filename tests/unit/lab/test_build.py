from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Callable

import pytest


def test_the_same_sources_give_the_same_bytes(builder: ModuleType, tmp_path: Path) -> None:
    one = builder.build_app("1.0.0", tmp_path / "one" / "shop", commit="abc")
    two = builder.build_app("1.0.0", tmp_path / "two" / "shop", commit="abc")
    other = builder.build_app("1.0.1", tmp_path / "other", commit="abc")
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_builds_only_what_changed(builder: ModuleType, tmp_path: Path) -> None:
    out = builder.build_app("1.0.0", tmp_path / "shop")
    first = out.stat().st_mtime_ns
    assert builder.build_app("1.0.0", out).stat().st_mtime_ns == first
    assert builder.build_app("1.0.0", out, commit="other").stat().st_mtime_ns != first
    out.write_bytes(b"damaged")
    builder.build_app("1.0.0", out, commit="other")
    assert subprocess.run([out, "-version"], capture_output=True, text=True, check=True).stdout == "1.0.0\n"


def test_builds_for_another_architecture(builder: ModuleType, tmp_path: Path) -> None:
    header = builder.build_app("1.0.0", tmp_path / "shop", goarch="arm64").read_bytes()[:20]
    assert header[18:20] == b"\xb7\x00"  # EM_AARCH64


@pytest.mark.parametrize("version", ["", "1 0", "1'0", "1\t0"])
def test_refuses_what_the_linker_would_misread(builder: ModuleType, tmp_path: Path, version: str) -> None:
    with pytest.raises(builder.BuildError, match="version="):
        builder.build_app(version, tmp_path / "shop")


def test_a_failed_build_is_told_and_leaves_nothing(builder: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(builder.BuildError, match="pdp11"):
        builder.build_app("1.0.0", tmp_path / "shop", goarch="pdp11")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(builder: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert builder.main(["app", "--version", "1.0.0", "--out", str(tmp_path / "shop")]) == 0
    assert builder.main(["load", "--out", str(tmp_path / "load")]) == 0
    assert builder.main(["app", "--version", "1 0", "--out", str(tmp_path / "shop")]) == 1
    assert "version='1 0'" in capsys.readouterr().err


def test_what_was_given_is_what_the_service_answers(shop: Callable[[str], Path], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen([shop("3.2.1")], env={"PORT": "0", "HOST": "127.0.0.1"}, stderr=stderr)
    try:
        deadline = time.monotonic() + 10
        while "serving" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        address = json.loads(log.read_text().splitlines()[0])["address"]
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with no_proxy.open(f"http://{address}/version", timeout=5) as response:
            told = json.load(response)
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert told == {"version": "3.2.1", "commit": "abc1234", "built": "unknown", "pid": process.pid}
    assert process.pid != os.getpid()
