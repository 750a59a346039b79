"""A name server that swallows every question: the real resolver, in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ADDRESS = "127.9.9.9"
ASK = """
import json, sys, time
from ansible_collections.slipway.go.plugins.module_utils._health import runner
from ansible_collections.slipway.go.plugins.module_utils._health import parsing
began = time.monotonic()
found = runner.run(parsing.parse_check(json.loads(sys.argv[1]))).as_dict()
print(json.dumps([found["reason"], time.monotonic() - began]))
"""


def test_a_name_server_that_never_answers(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    (tmp_path / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:30 attempts:5\n")
    spec = json.dumps({"kind": "http", "url": "http://shop.example.com/", "timeout": 1})
    mounts = f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as swallower:
        try:
            swallower.bind((ADDRESS, 53))
        except OSError as error:
            pytest.skip(f"cannot listen on {ADDRESS}:53: {error}")
        began = time.monotonic()
        done = subprocess.run(
            ["unshare", "--mount", "/bin/sh", "-c", f'{mounts} && exec "$@"', "sh", sys.executable, "-c", ASK, spec],
            capture_output=True,
            check=False,
            timeout=60,
        )
        whole = time.monotonic() - began
        if done.returncode != 0 and b"mount" in done.stderr + b"unshare":
            pytest.skip(f"no mount namespace: {done.stderr.decode()[-200:]}")
        swallower.settimeout(1)
        assert swallower.recv(512), "the resolver did not ask"
    reason, elapsed = json.loads(done.stdout)
    assert reason == "dns"
    assert elapsed <= 1.1 + 0.1
    # The resolver that still hangs must not keep the process from ending.
    assert whole < 10
