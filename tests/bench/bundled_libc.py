"""How often `linkage` is wrong about programs that bring parts of a glibc of their own.

Programs are linked here, and find parts of Debian's glibc of several suites by RUNPATH, RPATH or LD_LIBRARY_PATH. In a
container of each suite every one of them is judged, and then started. Needs gcc, dpkg, the lab's images and Docker:
`make bundled-libc`. With a path, the module_utils of that checkout judge instead: to compare two.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
HOSTS = ("bookworm", "trixie")
SUITES = ("bullseye", "bookworm", "trixie")
LIBRARIES = "lib/x86_64-linux-gnu"
SOURCES = {
    # Needs nothing newer than every libc has.
    "bare": (
        '#include <unistd.h>\nvoid _start(void){write(1,"ok\\n",3);_exit(0);}',
        ["-nostartfiles"],
        ["libc.so.6"],
    ),
    "hello": ('#include <stdio.h>\nint main(void){puts("ok");return 0;}', [], ["libc.so.6"]),
    "math": (
        '#include <math.h>\n#include <stdio.h>\nint main(int c,char**v){printf("%f\\n",pow(c,sin(c)));return 0;}',
        ["-lm"],
        ["libc.so.6", "libm.so.6"],
    ),
    "threads": (
        "#include <pthread.h>\n#include <stdlib.h>\nstatic void*f(void*a){free(malloc(9));return a;}\n"
        "int main(void){pthread_t t;return pthread_create(&t,0,f,0)||pthread_join(t,0);}",
        ["-Wl,--no-as-needed", "-l:libpthread.so.0"],
        ["libc.so.6", "libpthread.so.0"],
    ),
    "names": (
        "#include <netdb.h>\n#include <stddef.h>\nint main(void){struct addrinfo*a;"
        'getaddrinfo("127.0.0.1","80",NULL,&a);'
        "return 0;}",
        ["-Wl,--no-as-needed", "-l:libresolv.so.2"],
        ["libc.so.6", "libresolv.so.2"],
    ),
}
WAYS = ("runpath", "rpath", "environment")

# Runs in the container, with nothing but the standard library.
INSIDE = """
import json, os, subprocess, sys
sys.path.insert(0, "/bench")
from module_utils._host.kernel import Host, read_host
from module_utils._linkage.checker import Checker
from module_utils._units.context import own_context
host = read_host()
for case in json.load(open("/bench/cases.json")):
    environment = {"LD_LIBRARY_PATH": case["environment"]} if case["environment"] else {}
    verdict = Checker(host, own_context()._replace(environment=environment)).check(case["path"]).as_dict()
    done = subprocess.run([case["path"]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    print(json.dumps({**case, "said": verdict["runnable"], "real": done.returncode == 0, "code": done.returncode,
                      "problems": [p["message"] for p in verdict["problems"]], "stderr": done.stderr.decode()[:200]}))
"""


def image(suite: str) -> str:
    listed = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "slipway-lab"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return next(name for name in listed if f":{suite}-" in name)


def glibc(suite: str, target: Path) -> Path:
    """The libraries of the suite's libc6, out of its image."""
    target.mkdir(parents=True)
    made = subprocess.run(["docker", "create", image(suite)], capture_output=True, text=True, check=True).stdout.strip()
    try:
        for name in ("libc.so.6", "libm.so.6", "libpthread.so.0", "libresolv.so.2"):
            path = f"{made}:/usr/{LIBRARIES}/{name}"
            subprocess.run(["docker", "cp", "-q", "-L", path, str(target / name)], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", made], check=True, capture_output=True)
    return target


def bundles(needed: list[str]) -> list[tuple[str, ...]]:
    return [chosen for size in range(1, len(needed) + 1) for chosen in itertools.combinations(needed, size)]


def build(folder: Path) -> list[dict[str, Any]]:
    cases = []
    for suite in SUITES:
        libraries = glibc(suite, folder / "glibc" / suite)
        for name, (source, flags, needed) in SOURCES.items():
            for chosen, way in itertools.product(bundles(needed), WAYS):
                place = folder / "cases" / "-".join([suite, name, way, *(one.partition(".")[0] for one in chosen)])
                (place / "lib").mkdir(parents=True)
                for one in chosen:
                    os.link(libraries / one, place / "lib" / one)
                inside = f"/bench/cases/{place.name}"
                link = {"runpath": [f"-Wl,-rpath,{inside}/lib,--enable-new-dtags"], "environment": [],
                        "rpath": [f"-Wl,-rpath,{inside}/lib,--disable-new-dtags"]}[way]  # fmt: skip
                (place / "main.c").write_text(source)
                command = ["gcc", "-o", str(place / "main"), str(place / "main.c"), *flags, *link]
                subprocess.run(command, check=True, capture_output=True)
                environment = f"{inside}/lib" if way == "environment" else ""
                cases.append({"name": place.name, "path": f"{inside}/main", "environment": environment})
    return cases


def judged(folder: Path, suite: str) -> list[dict[str, Any]]:
    command = ["docker", "run", "--rm", "-v", f"{folder}:/bench:ro", image(suite), "python3", "-c", INSIDE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> int:
    checkout = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT
    wrong_in_all = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        cases = build(folder)
        (folder / "cases.json").write_text(json.dumps(cases))
        shutil.copytree(checkout / "plugins" / "module_utils", folder / "module_utils")
        print("| host | programs | start | said to start and do not | said not to start and do |")
        print("|---|---|---|---|---|")
        for suite in HOSTS:
            rows = judged(folder, suite)
            count = collections.Counter((row["said"], row["real"]) for row in rows)
            start = sum(row["real"] for row in rows)
            print(f"| {suite} | {len(rows)} | {start} | {count[True, False]} | {count[False, True]} |")
            for row in rows:
                if row["said"] != row["real"]:
                    wrong_in_all += 1
                    print(
                        f"  {suite} {row['name']}: {row['code']} {row['stderr']!r} {row['problems']}", file=sys.stderr
                    )
    return 1 if wrong_in_all else 0


if __name__ == "__main__":
    sys.exit(main())
