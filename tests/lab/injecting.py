"""Faults at one exact moment inside a lab host, where inject/sitecustomize.py is what its interpreter loads first."""

from __future__ import annotations

from pathlib import Path

TOOLS = "/usr/local/lib/slipway-faults"
RUN = "/run/slipway-faults"
PYTHON = f"{TOOLS}/python"
INJECT = Path(__file__).parent / "inject" / "sitecustomize.py"
WRAPPER = f"""#!/bin/sh
PYTHONPATH={TOOLS} exec /usr/bin/python3 "$@"
"""
# The controller does its part meanwhile; the limit is only there so that a broken row ends.
PAUSE = f"touch {RUN}/reached; for i in $(seq 600); do test -e {RUN}/go && break; sleep 0.1; done"
