# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unit tests of what runs on hosts, on every Python from 3.8 on that is here.

Usage: python tests/integration/linkage/pythons.py [INTERPRETER …]

Without arguments: python3.8 to python3.14 on the PATH and below `pyenv root`, and those of the Debian 11, 12 and 13
trees where test_loader.py has made them. pytest and hypothesis come into an environment for each below .work/pythons.
Tests of what only the controller checks (the CycloneDX schema) are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import debian

CHECKOUT = Path(__file__).resolve().parents[3]
WORK = CHECKOUT / ".work" / "pythons"
NAMES = (
    "binary/test_elf", "binary/test_go_build_info", "binary/test_limits", "binary/test_policy", "binary/test_program",
    "core/test_root_view", "linkage/test_checker", "linkage/test_fuzz", "linkage/test_glibc", "linkage/test_ldcache",
    "linkage/test_musl", "units/test_context",
)  # fmt: skip
TESTS = [str(CHECKOUT / "tests/unit/plugins/module_utils" / f"{name}.py") for name in NAMES]


def found() -> list[list[str]]:
    """Commands that start a Python each."""
    names = [shutil.which(f"python3.{minor}") for minor in range(8, 15)]
    places = [Path(name) for name in names if name]
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
        places += sorted(Path(root, "versions").glob("3.*/bin/python3"))
    commands = {version([str(place)]): [str(place)] for place in places}
    commands.pop("", None)
    return [commands[key] for key in sorted(commands, key=lambda text: [int(part) for part in text.split(".")])]


def version(command: list[str]) -> str:
    """Like 3.11; nothing for what does not start (a shim of pyenv) or is older than 3.8."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([*command, "-c", code], capture_output=True, text=True, check=False)
    text = done.stdout.strip()
    return text if done.returncode == 0 and tuple(map(int, text.split("."))) >= (3, 8) else ""


def environment(command: list[str]) -> Path:
    home = WORK / version(command)
    python = home / "bin" / "python"
    if not (home / ".done").exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([*command, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "pytest", "hypothesis"], check=True)
        (home / ".done").touch()
    return python


def collections() -> str:
    link = WORK / "collections" / "ansible_collections" / "slipway" / "go"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(CHECKOUT)
    return str(WORK / "collections")


def run(command: list[str]) -> bool:
    python = environment(command)
    variables = dict(os.environ, PYTHONPATH=collections(), SLIPWAY_FUZZ_EXAMPLES="1000")
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *TESTS],
        cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines() or [done.stderr]
    print(f"Python {version([str(python)])}: {lines[-1]}", flush=True)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:])
    return done.returncode == 0


def trees() -> list[bool]:
    """The Pythons of Debian, without pytest: every module is imported and judges the tree's own programs."""
    code = (
        "import sys; sys.path.insert(0, '/plugins')\n"
        "from module_utils._binary.facts import read_binary\n"
        "from module_utils._host.kernel import read_host\n"
        "from module_utils._linkage.checker import Checker\n"
        "from module_utils._units.context import own_context\n"
        "checker = Checker(read_host(), own_context())\n"
        "paths = ['/usr/bin/' + name for name in ('env', 'find', 'sort')] + [sys.executable]\n"
        "assert all(checker.check(path).as_dict()['runnable'] for path in paths)\n"
        "assert checker.check('/etc/passwd').as_dict()['problems'][0]['code'] == 'not_elf'\n"
        "assert read_binary(sys.executable).facts['goarch']\n"
        "print('Python %d.%d of' % sys.version_info[:2], open('/etc/debian_version').read().strip(), 'agrees')"
    )
    results = []
    for root in sorted((debian.WORK / "roots").glob("*/.done")):
        target = root.parent / "plugins" / "module_utils"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(CHECKOUT / "plugins" / "module_utils", target, ignore=shutil.ignore_patterns("__pycache__"))
        (target / "__init__.py").touch()
        done = subprocess.run(["chroot", str(root.parent), "/usr/bin/python3", "-c", code], check=False)
        shutil.rmtree(target.parent)
        results.append(done.returncode == 0)
    return results


def main() -> int:
    commands = [[name] for name in sys.argv[1:]] or found()
    results = [run(command) for command in commands]
    if os.geteuid() == 0:
        results += trees()
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
