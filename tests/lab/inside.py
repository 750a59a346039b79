"""Commands that run as root inside a container of the lab, beside Ansible and SSH."""

from __future__ import annotations

import subprocess


def attempt(container: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "exec", container, *argv], capture_output=True, text=True, check=False)


def run(container: str, *argv: str, check: bool = True) -> str:
    """Its standard output without the last line's end; a failure is one of the test, with all that was said."""
    done = attempt(container, *argv)
    assert not check or done.returncode == 0, f"{argv} in {container}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def script(container: str, text: str) -> str:
    """What a script of the shell prints, which ends at its first failure."""
    return run(container, "sh", "-ec", text)
