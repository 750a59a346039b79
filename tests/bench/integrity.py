"""What it costs to verify a release before every start: `make bench-integrity`.

One lab host and a service of 8 MB and of 50 MB. Rollbacks back and forth, in turn with and without the check, in the
engine and in the unit; then the parts by themselves. Prints a table and writes .work/bench/integrity.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import lab
import play
from build import build_app

LAB = os.environ.get("SLIPWAY_LAB", "bench-integrity")
SERVICE = "shop"
WORK = lab.CHECKOUT / ".work" / "bench"
SIZES = (8, 50)
TIMES = 15
DROP_IN = f"/etc/systemd/system/{SERVICE}@.service.d"
PROGRAM = """\
import sys, time
sys.path.insert(0, "/usr/local/sbin/slipway")
from slipway_go._release import integrity
from slipway_go._release.state.layout import Layout
from slipway_go._tool import cli
"""
UNVERIFIED = f"{PROGRAM}integrity.differences = lambda *_: []\nsys.exit(cli.main(sys.argv[1:]))\n"
PARTS = f"""{PROGRAM}
import json, statistics, subprocess
layout, told = Layout("{SERVICE}", "/opt/{SERVICE}"), {{}}
release = layout.current_id()
def timed(act):
    took = []
    for _number in range({TIMES}):
        begun = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(took), 2)
told["engine"] = timed(lambda: integrity.differences(layout, release))
told["watch"] = timed(lambda: integrity.fingerprint(layout, release))
check = ["sha256sum", "--check", "--quiet", "--strict", layout.sums(release)]
told["unit"] = timed(lambda: subprocess.run(check, check=True))
told["process"] = timed(lambda: subprocess.run(["true"], check=True))
told["verify"] = timed(lambda: subprocess.run(["slipway", "verify", "{SERVICE}"], check=True, stdout=-3))
print(json.dumps(told))
"""


def on_host(script: str, *arguments: str) -> str:
    argv = ["docker", "exec", f"slipway-{LAB}-{LAB}1", *arguments, script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def variables(version: str) -> dict[str, object]:
    return {
        "service_name": SERVICE,
        "service_listen": ["8080"],
        "service_watch": False,
        "release_version": version,
        "release_src": str(WORK / f"{SERVICE}-{version}"),
        "release_health": {"url": "http://127.0.0.1:8080/readyz"},
        "release_soak_time": 0,
        "release_keep": 4,
    }


def swap(verified: bool) -> float:
    """Seconds of one rollback to the other release."""
    drop_in = "rm -rf {0}" if verified else "mkdir -p {0} && printf '[Service]\\nExecStartPre=\\n' > {0}/bench.conf"
    on_host(f"{drop_in.format(DROP_IN)}; systemctl daemon-reload", "sh", "-c")
    current = on_host(f"basename $(readlink /opt/{SERVICE}/current)", "sh", "-c").strip()
    other = next(i for i in on_host(f"ls /opt/{SERVICE}/releases", "sh", "-c").split() if i != current)
    tool = "slipway" if verified else "python3 /root/unverified.py"
    told = on_host(f"{tool} rollback {SERVICE} {other} --json", "sh", "-c")
    return float(json.loads(told)["swap_seconds"])


def measure(size: int, inventory: Path) -> dict[str, float]:
    for number, version in enumerate((f"{size}.0.0", f"{size}.1.0")):
        build_app(version, WORK / f"{SERVICE}-{version}")
        path = WORK / f"{SERVICE}-{version}"
        with path.open("ab") as stream:  # what an ELF file has behind its sections is not loaded
            stream.write(os.urandom(max(0, (size << 20) - path.stat().st_size)))
        done = play.playbook("site" if number == 0 else "release", inventory, variables(version))
        if done.code:
            raise SystemExit(done.output[-3000:])
    on_host(f"cd /opt/{SERVICE}/releases && ls | grep -v '^{size}[.]' | xargs -r rm -r", "sh", "-c")
    swaps: dict[bool, list[float]] = {True: [], False: []}
    for _number in range(TIMES):
        for verified in (False, True):
            swaps[verified].append(swap(verified))
    on_host(f"rm -rf {DROP_IN}; systemctl daemon-reload", "sh", "-c")
    before, after = (statistics.median(swaps[verified]) for verified in (False, True))
    parts: dict[str, float] = json.loads(on_host(PARTS, "python3", "-c"))
    return {"swap_s_unverified": before, "swap_s": after, "swap_ratio": round(after / before, 3), **parts}


def main() -> int:
    WORK.mkdir(parents=True, exist_ok=True)
    inventory = lab.up(LAB, 1, ["bookworm"])
    try:
        (WORK / "unverified.py").write_text(UNVERIFIED)
        subprocess.run(["docker", "cp", str(WORK / "unverified.py"), f"slipway-{LAB}-{LAB}1:/root/"], check=True)
        found = {size: measure(size, inventory) for size in SIZES}
    finally:
        lab.down(LAB)
    for name in found[SIZES[0]]:
        print(f"{name:<24}" + "".join(f"{found[size][name]:>12}" for size in SIZES))
    (WORK / "integrity.json").write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
