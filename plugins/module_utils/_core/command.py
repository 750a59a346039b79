# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts every program: its environment, its time limit, and what its failures mean. PRIVATE to the collection.

Nothing goes through a shell. run() waits for a program; run_in_group() is for one that may start others, or write
without end, and leaves nothing of it behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import IO, Any, Callable, Iterable, Mapping, NoReturn, Optional, Sequence, Union, cast

from . import descendants
from .errors import SlipwayError

SECONDS = 120.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_LIMIT = 65536
# Where the packages of Debian and of Red Hat have different names, both, in this order.
PACKAGES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("systemctl", "systemd-analyze", "systemd-detect-virt", "systemd-run"), ("systemd",)),
    **dict.fromkeys(("groupadd", "useradd", "usermod"), ("passwd", "shadow-utils")),
    **dict.fromkeys(("firewall-cmd", "firewall-offline-cmd"), ("firewalld",)),
    **dict.fromkeys(("ssh", "ssh-keygen"), ("openssh-client", "openssh-clients")),
    **dict.fromkeys(("ansible-inventory", "ansible-playbook"), ("ansible-core",)),
    "git": ("git", "git-core"),
    "ip": ("iproute2", "iproute"),
    "restorecon": ("policycoreutils",),
    "sshd": ("openssh-server",),
    "sudo": ("sudo",),
    "sysctl": ("procps", "procps-ng"),
    "ufw": ("ufw",),
    "visudo": ("sudo",),
}
_DEBIAN = "/etc/debian_version"
_AFTER_EXIT = 0.05  # a child that lives on may hold the pipe open: what is not there by then is not waited for
_POLL = 0.02
_ENDING = 0.002  # its output is closed: the end is near
_PR_SET_PDEATHSIG = 1


class MissingProgram(SlipwayError):
    """The program is not on this host."""

    def __init__(self, program: str) -> None:
        package = package_of(program)
        where = f", which is in the package {package}" if package else ""
        code = "no_systemd" if package == "systemd" else "no_program"
        fix = f"install {package or program}" if package != "systemd" else "use a host that runs systemd"
        super().__init__(code, f"this host has no {program}{where}.", fix)


class TimeLimitPassed(SlipwayError):
    """The program did not end in time, and was killed."""

    def __init__(self, argv: Sequence[str], seconds: float) -> None:
        super().__init__(
            "command_timeout",
            f"{' '.join(argv)} did not end within {seconds:g} s.",
            "find out on the host why it hangs, then run again",
        )


@dataclass(frozen=True)
class Finished:
    """A program that has ended, with what it wrote; code is negative where a signal has ended it."""

    argv: Sequence[str]
    code: int
    output: bytes = b""
    errors: bytes = b""

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """What it wrote to say why it failed."""
        return self.errors.decode(errors="replace").strip() or self.text.strip()

    def require_success(self) -> Finished:
        """Raise with what the program wrote unless it has ended well."""
        if self.code != 0:
            raise CommandFailed(self)
        return self


class CommandFailed(SlipwayError):
    """The program says that it has failed."""

    def __init__(self, finished: Finished) -> None:
        argv = " ".join(finished.argv)
        super().__init__("command_failed", f"{argv} failed ({finished.code}): {finished.complaint}")
        self.finished = finished


def package_of(program: str) -> str:
    """The package of this host's distribution that has the program; empty where that is not known."""
    names = PACKAGES.get(os.path.basename(program), ("",))
    return names[0] if os.path.exists(_DEBIAN) else names[-1]


def is_there(program: str) -> bool:
    """Whether it would be found."""
    return shutil.which(program, path=PATH) is not None


def environment() -> dict[str, str]:
    """The same for every program, whoever runs the module and however."""
    return {"PATH": PATH, "LC_ALL": "C.UTF-8"}


def run(
    argv: Sequence[str],
    seconds: float = SECONDS,
    *,
    variables: Optional[Mapping[str, str]] = None,
    source: Union[bytes, IO[bytes]] = b"",
    output: Optional[IO[bytes]] = None,
    merged: bool = False,
    ends_with_parent: bool = False,
    folder: Optional[str] = None,
) -> Finished:
    """Run a program to its end; raise where it is not on this host or does not end in time.

    variables: added to its environment. source: what it reads. output: a file for all that it writes. merged: its
    errors are part of its output. ends_with_parent: it is killed when this process is. folder: where it runs.
    """
    text, stream = (source, None) if isinstance(source, bytes) else (b"", source)
    try:
        done = subprocess.run(
            list(argv),
            check=False,
            timeout=seconds,
            input=text or None,
            stdin=None if text else stream or subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if merged or output else subprocess.PIPE,
            env={**environment(), **(variables or {})},
            cwd=folder,
            preexec_fn=_ending_with_parent() if ends_with_parent else None,
        )
    except FileNotFoundError as error:
        _refuse_missing(argv[0], error)
    except subprocess.TimeoutExpired:
        raise TimeLimitPassed(argv, seconds) from None
    return Finished(argv, done.returncode, done.stdout or b"", done.stderr or b"")


def attend(argv: Sequence[str], folder: str, variables: Mapping[str, str], kept: int) -> int:
    """Run a program to its end, however long that takes, and return how it ended. What it writes is this process's own.

    kept: an open file that it keeps open as well.
    """
    try:
        done = subprocess.run(
            list(argv),
            check=False,
            stdin=subprocess.DEVNULL,
            env={**environment(), **variables},
            cwd=folder,
            pass_fds=(kept,),
        )
    except FileNotFoundError as error:
        _refuse_missing(argv[0], error)
    return done.returncode


def _refuse_missing(program: str, error: FileNotFoundError) -> NoReturn:
    """A file that is there and not found names an interpreter that is not."""
    if os.path.isabs(program) and os.path.exists(program):
        raise error
    raise MissingProgram(program) from None


def _ending_with_parent() -> Any:
    """A function that a child calls before it becomes the program; the library is loaded before there is a child."""
    libc = descendants.libc()
    return libc and functools.partial(libc.prctl, _PR_SET_PDEATHSIG, int(signal.SIGKILL))


def run_each(
    run_one: Callable[[Sequence[str]], tuple[int, str]], commands: Iterable[Sequence[str]], fix: str, undone: str = ""
) -> None:
    """Run commands one after the other; SlipwayError with this fix at the first that fails.

    undone: what became of the change then, as the end of the message's first clause.
    """
    for argv in commands:
        code, output = run_one(argv)
        if code != 0:
            raise SlipwayError("command_failed", f"{' '.join(argv)} failed ({code}){undone}: {output}", fix)


def run_in_group(
    argv: Sequence[str], seconds: float, variables: Optional[Mapping[str, str]] = None, limit: int = OUTPUT_LIMIT
) -> Finished:
    """Run a program with all that it starts, and kill what is left of that at its end or when the time is over.

    It has the environment of this process, with variables added. Its output is that of both streams, cut at limit.
    """
    end = time.monotonic() + seconds

    def popen(prepare: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
            close_fds=True,
            preexec_fn=prepare,
        )

    try:
        child = descendants.start(popen)
    except FileNotFoundError as error:
        _refuse_missing(argv[0], error)
    try:
        return _finish(child, argv, end, seconds, limit)
    finally:
        _kill_group(child)
        descendants.end_orphans(child)


def feed(argv: Sequence[str], source: bytes, seconds: float) -> int:
    """Have a program read that, and return how it ended. One that does not end in time is killed with its group.

    It has the environment of this process. What it writes goes nowhere.
    """
    null = subprocess.DEVNULL
    child = subprocess.Popen(list(argv), stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True)
    try:
        child.communicate(source, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise TimeLimitPassed(argv[:1], seconds) from None
    finally:
        if child.poll() is None:
            _kill_group(child)
            child.wait()
    return child.returncode


def start_filter(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """A program between two pipes, which the caller serves and ends."""
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            bufsize=0,
        )
    except FileNotFoundError as error:
        _refuse_missing(argv[0], error)


def _finish(child: subprocess.Popen[bytes], argv: Sequence[str], end: float, seconds: float, limit: int) -> Finished:
    output = cast(IO[bytes], child.stdout).fileno()
    os.set_blocking(output, False)
    kept = bytearray()
    quiet: Optional[float] = None
    while True:
        is_open = _drain(output, kept, limit)
        code = child.poll()
        if code is not None:
            quiet = quiet or time.monotonic() + _AFTER_EXIT
            if not is_open or time.monotonic() >= quiet:
                return Finished(argv, code, bytes(kept))
        left = end - time.monotonic()
        if left <= 0:
            raise TimeLimitPassed(argv, seconds)
        _wait(output if is_open else None, min(_POLL if is_open else _ENDING, left))


def _drain(descriptor: int, kept: bytearray, limit: int) -> bool:
    """Take what is there; False once the pipe is closed. What is over the limit is read and dropped."""
    for _turn in range(16):
        try:
            data = os.read(descriptor, OUTPUT_LIMIT)
        except BlockingIOError:
            return True
        if not data:
            return False
        kept += data[: max(0, limit - len(kept))]
    return True


def _wait(descriptor: Optional[int], seconds: float) -> None:
    if descriptor is None:
        time.sleep(seconds)
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.poll(int(seconds * 1000) + 1)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdout is not None:
        child.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.2)
