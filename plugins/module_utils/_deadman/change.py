# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dead-man revert: a change that nobody confirms in time is taken back. This file is PRIVATE to the collection.

What is to be restored is on disk, synced, before the change begins. A timer of systemd takes the change back at its
deadline, a unit that boots before the network does so after a reboot, and neither needs Ansible or a network. The
armed state is one directory, which appears and disappears by rename(2). Whoever arms, confirms or takes back holds the
flock of the name until all is cleared up, and a revert marks that it has begun: a confirmation and a revert cannot both
win.

What was taken back stays known until the name is armed again: whoever comes to confirm it after all may have changed
the host since, and then it is taken back once more. Not so where the change was made inside hold(), for that cannot
have gone on, nor where somebody has armed or confirmed a change of the same paths since.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import io
import json
import os
import re
import secrets
import shlex
import shutil
import stat
import sys
import time
import zipfile
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from .._core import command, errors, files, safe_paths
from .._core.errors import SlipwayError
from . import account_entries

ROOT = "/var/lib/slipway/deadman"
UNITS = "/etc/systemd/system"
RUNTIME = "/run"
LONGEST = 86400
# A firewall's or a package manager's lock is held for a moment by others.
TRIES, PAUSE = 3, 2.0
UNIT_PATIENCE = 5.0  # seconds for the unit of an ended change to be gone
RUNNER = "revert.pyz"
PLAN, BEGUN = "plan.json", "reverting.json"
TICKING = "ticking"  # is there once the timer is set: before that, nothing has been changed
STALE = "stale"  # is there where what was taken back must not be taken back again
_KEPT = ".kept"
CHANGED_MEANWHILE = "changed_meanwhile"
EARLY, LATE = "early", "late"
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,47}$")
_PACKAGE = "slipway_deadman"
_ENTRY = "import sys\nfrom slipway_deadman._deadman.change import main\nsys.exit(main(sys.argv[1:]))\n"
_EARLY_UNIT = """\
DefaultDependencies=no
After=local-fs.target systemd-sysctl.service
Wants=network-pre.target
Before=network-pre.target shutdown.target
Before=ssh.socket ssh.service sshd.socket sshd.service ufw.service firewalld.service nftables.service
"""
_LATE_UNIT = "After=network.target\n"

Entry = Dict[str, Any]
Argv = List[str]
Runner = Callable[[Sequence[str]], Tuple[int, str]]


def run(argv: Sequence[str], seconds: float = command.SECONDS) -> tuple[int, str]:
    """Return the exit code of a command and what it said, and never raise.

    What a change has begun must not go on when its process is killed: the revert would come before its end.
    """
    try:
        done = command.run(argv, seconds, merged=True, ends_with_parent=True)
    except SlipwayError as error:
        return 127, error.message
    except OSError as error:
        return 127, str(error)
    return done.code, done.complaint


@dataclass(frozen=True)
class Place:
    """Where the armed state lives, and how commands are run."""

    root: str = ROOT
    units: str = UNITS
    runtime: str = RUNTIME
    run: Runner = field(default=run)
    accounts: str = account_entries.FOLDER

    def folder(self, name: str) -> str:
        return os.path.join(self.root, name)

    def marker(self, name: str) -> str:
        """A file that a reboot removes, but for one that keeps /run. It does not say that a timer runs."""
        return os.path.join(self.runtime, f"slipway-deadman-{name}")

    def lock(self, name: str) -> str:
        return os.path.join(self.runtime, f"slipway-deadman-{name}.lock")

    def kept(self, name: str) -> str:
        """What was taken back last, until this name is armed again."""
        return os.path.join(self.root, f".{name}{_KEPT}")

    def boot_unit(self, name: str) -> str:
        return os.path.join(self.units, f"slipway-boot-revert-{name}.service")

    def boot_link(self, name: str) -> str:
        return os.path.join(self.units, "multi-user.target.wants", f"slipway-boot-revert-{name}.service")

    def journal(self) -> str:
        return os.path.join(self.root, "journal.jsonl")


@dataclass(frozen=True)
class Plan:
    """What a revert does: restore these paths as they were when it was armed, then run these commands.

    account is one whose entries in passwd and its companions are restored, those of others not.
    run_at_boot replaces run after a reboot, when services have not started yet and will read the restored files.
    stage late is for commands that need the network and started services.
    held: whoever arms it changes the host inside hold() only, so that nothing of it comes after the revert.
    """

    paths: Sequence[str] = ()
    run: Sequence[Argv] = ()
    run_at_boot: Sequence[Argv] = ()
    stage: str = EARLY
    account: str = ""
    held: bool = False

    def validate(self) -> None:
        for path in self.paths:
            if not os.path.isabs(path) or os.path.normpath(path) != path or path == "/":
                raise SlipwayError("invalid_path", f"{path!r} is not a plain absolute path.", "name files in full")
        for argv in [*self.run, *self.run_at_boot]:
            if not argv or not all(isinstance(word, str) for word in argv):
                raise SlipwayError("invalid_argv", f"{argv!r} is not a command.", "give a list of strings")
        if re.search(r"[:\s/]", self.account):
            raise SlipwayError("invalid_account", f"{self.account!r} is no name of an account.", "name one account")
        if self.stage not in (EARLY, LATE):
            raise SlipwayError("invalid_stage", f"{self.stage!r} is not a stage.", "use early or late")


# --- what was there -------------------------------------------------------------------------------------------------


def _xattrs(path: str) -> dict[str, str]:
    """Labels and access lists: a file that lost its SELinux label is as good as gone."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            with contextlib.suppress(OSError):
                found[name] = base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
    return found


def snapshot(path: str) -> list[Entry]:
    """Describe path and, for a directory, all that is in it; parents come first."""
    try:
        folder = safe_paths.open_folder(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        return [{"path": path, "kind": "absent"}]
    except safe_paths.BentPath as error:
        raise SlipwayError(
            "bent_path", f"{path} is not safe to write as root: {error.strerror}.", "put a directory there"
        ) from None
    try:
        return _describe(path, safe_paths.within(folder, os.path.basename(path)))
    finally:
        os.close(folder)


def _describe(path: str, there: str) -> list[Entry]:
    """there is another name for path; only path is for the record."""
    try:
        status = os.lstat(there)
    except FileNotFoundError:
        return [{"path": path, "kind": "absent"}]
    entry: Entry = {"path": path, "uid": status.st_uid, "gid": status.st_gid, "xattrs": _xattrs(there)}
    entry["mode"] = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return [{**entry, "kind": "link", "target": os.readlink(there)}]
    if stat.S_ISREG(status.st_mode):
        return [{**entry, "kind": "file", "content": base64.b64encode(_content(there, status)).decode()}]
    if stat.S_ISDIR(status.st_mode):
        with safe_paths.held_folder(there) as folder:
            inside = safe_paths.within(folder)
            below = [_describe(os.path.join(path, n), os.path.join(inside, n)) for n in sorted(os.listdir(inside))]
        return [{**entry, "kind": "directory"}, *(e for entries in below for e in entries)]
    raise SlipwayError("not_a_file", f"{path} is neither a file, a link nor a directory.", "leave it out")


def _content(there: str, status: os.stat_result) -> bytes:
    """Of the very file that the status is of: another one in its place could be anybody's."""
    descriptor = os.open(there, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not os.path.samestat(os.fstat(descriptor), status):
            raise OSError(errno.EAGAIN, "it was exchanged while it was read")
        return stream.read()


def _remove(there: str) -> None:
    if os.path.isdir(there) and not os.path.islink(there):
        shutil.rmtree(there)
    elif os.path.lexists(there):
        os.unlink(there)


def _label(target: Union[str, int], entry: Entry) -> None:
    for name, value in entry["xattrs"].items():
        with contextlib.suppress(OSError):
            os.setxattr(target, name, base64.b64decode(value), follow_symlinks=isinstance(target, int))


def _dress(descriptor: int, entry: Entry) -> None:
    os.fchown(descriptor, entry["uid"], entry["gid"])
    os.fchmod(descriptor, entry["mode"])
    _label(descriptor, entry)


def _restore_directory(entry: Entry, there: str, known: set[str]) -> bool:
    """Return whether it was missing or had what it is not to have."""
    missing = os.path.islink(there) or not os.path.isdir(there)
    if missing:
        _remove(there)
        os.mkdir(there, 0o700)
    with safe_paths.held_folder(there) as folder:
        surplus = [n for n in os.listdir(safe_paths.within(folder)) if os.path.join(entry["path"], n) not in known]
        for name in surplus:
            _remove(safe_paths.within(folder, name))
        _dress(folder, entry)
    return missing or bool(surplus)


def _restore_file(entry: Entry, there: str) -> None:
    if os.path.isdir(there) and not os.path.islink(there):
        shutil.rmtree(there)
    # The dot keeps the name from being read: sudo, sshd, run-parts and others skip or do not match such files.
    aside = f"{there}.slipway-revert"
    _remove(aside)
    if entry["kind"] == "link":
        os.symlink(entry["target"], aside)
        os.chown(aside, entry["uid"], entry["gid"], follow_symlinks=False)
        _label(aside, entry)
    else:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64decode(entry["content"]))
            stream.flush()
            _dress(descriptor, entry)
            os.fsync(descriptor)
    os.rename(aside, there)


def _same(entry: Entry, there: str) -> bool:
    try:
        return _describe(entry["path"], there)[0] == entry
    except SlipwayError:
        return False


def _restore_entry(entry: Entry, known: set[str]) -> bool:
    """Return whether anything had to be changed."""
    if entry["kind"] == "absent":
        return _take_away(entry["path"])
    folder = safe_paths.open_folder(os.path.dirname(entry["path"]), make=True)
    try:
        there = safe_paths.within(folder, os.path.basename(entry["path"]))
        if entry["kind"] == "directory":
            changed = _restore_directory(entry, there, known)
        else:
            changed = not _same(entry, there)
            if changed:
                _restore_file(entry, there)
        if changed:
            os.fsync(folder)
        return changed
    finally:
        os.close(folder)


def _take_away(path: str) -> bool:
    try:
        folder = safe_paths.open_folder(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        there = safe_paths.within(folder, os.path.basename(path))
        found = os.path.lexists(there)
        if found:
            _remove(there)
            os.fsync(folder)
        return found
    finally:
        os.close(folder)


@dataclass(frozen=True)
class Restored:
    """Paths that had to be changed, that could not be, and that a user has made lead elsewhere."""

    changed: Sequence[str]
    problems: Sequence[str]
    bent: Sequence[str]


def restore(entries: Sequence[Entry]) -> Restored:
    """Put every path back as it was."""
    known = {entry["path"] for entry in entries}
    changed: list[str] = []
    problems: list[str] = []
    bent: list[str] = []
    for entry in entries:
        path = entry["path"]
        try:
            if _restore_entry(entry, known):
                changed.append(path)
        except safe_paths.BentPath as error:
            bent.append(f"{path}: {error.strerror}")
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
    return Restored(changed, problems, bent)


# --- the program that a timer runs ----------------------------------------------------------------------------------


def _source(module: Any) -> str:
    source = module.__loader__.get_source(module.__name__)
    if source is None:
        raise SlipwayError("no_source", f"the source of {module.__name__} is not available.", "install it as source")
    return str(source)


def runner_archive() -> bytes:
    """This file and what it imports, as a program of its own."""
    buffer = io.BytesIO()
    members = {"__main__.py": _ENTRY, f"{_PACKAGE}/__init__.py": ""}
    for module in (sys.modules[__name__], account_entries, command, errors, files, safe_paths):
        folder, name = module.__name__.split(".")[-2:]
        members[f"{_PACKAGE}/{folder}/__init__.py"] = ""
        members[f"{_PACKAGE}/{folder}/{name}.py"] = _source(module)
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def _runner_argv(place: Place, name: str) -> Argv:
    return [sys.executable or "/usr/bin/python3", os.path.join(place.folder(name), RUNNER)]


def boot_unit(place: Place, name: str, plan: Plan, token: str) -> str:
    command = " ".join([*_runner_argv(place, name), "revert", name, "--token", token, "--boot"])
    order = _EARLY_UNIT if plan.stage == EARLY else _LATE_UNIT
    return (
        "[Unit]\n"
        f"Description=Take back the unconfirmed change {name}\n"
        f"RequiresMountsFor={place.root}\n"
        f"ConditionPathExists={os.path.join(place.folder(name), RUNNER)}\n"
        f"{order}"
        "\n[Service]\nType=oneshot\n"
        f"ExecStart={command}\n"
        "\n[Install]\nWantedBy=multi-user.target\n"
    )


def _install_boot_unit(place: Place, name: str, content: str) -> None:
    """No daemon-reload: only the next boot is to read it."""
    unit, link = place.boot_unit(name), place.boot_link(name)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    files.write_atomic(unit, content, 0o644)
    files.flip_symlink(link, unit)


def _unit(name: str) -> str:
    return f"slipway-deadman-{name}"


def _short_unit(name: str) -> str:
    return f"slipway-deadman-{name}-short"


def _start_timer(place: Place, unit: str, name: str, seconds: float, token: str) -> None:
    # Else `systemctl isolate` stops it, and the boot unit is not known to systemd before the next start.
    stays = ["--timer-property=IgnoreOnIsolate=yes", "--property=IgnoreOnIsolate=yes"]
    argv = [
        "systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--on-active={seconds:g}s", *stays,
        "--timer-property=AccuracySec=100ms", "--service-type=oneshot",
        f"--description=Take back the unconfirmed change {name}",
        *_runner_argv(place, name), "revert", name, "--token", token,
    ]  # fmt: skip
    place.run(["systemctl", "reset-failed", f"{unit}.service", f"{unit}.timer"])
    end = time.monotonic() + UNIT_PATIENCE
    code, said = place.run(argv)
    if code != 0 and "already" not in said:
        # A systemd that does not know this of transient units.
        argv = [word for word in argv if word not in stays]
        code, said = place.run(argv)
    # Of the change before: its service is still ending, or a crash has left its timer.
    while code != 0 and "already" in said and time.monotonic() < end:
        place.run(["systemctl", "stop", f"{unit}.timer"])
        time.sleep(0.1)
        code, said = place.run(argv)
    if code != 0:
        raise SlipwayError(
            "no_timer", f"systemd-run did not set the timer: {said}", "slipway needs a host that runs systemd"
        )


def _ends_by_itself(place: Place, name: str) -> bool:
    """Whether a timer or a unit of the boot is going to take it back, or does."""
    return _timer_is_in_charge(place, name) or _is_up(place, os.path.basename(place.boot_unit(name)))


def _timer_is_in_charge(place: Place, name: str) -> bool:
    return _is_up(place, f"{_unit(name)}.timer", f"{_unit(name)}.service")


def _is_up(place: Place, *units: str) -> bool:
    said = place.run(["systemctl", "is-active", *units])[1]
    return not {"active", "activating", "reloading", "deactivating"}.isdisjoint(said.split())


def _is_ticking(place: Place, name: str) -> bool:
    """Whether its timer runs and has not fired yet. systemd's clock counts: the host's own may jump."""
    unit = _unit(name)
    timer, service = (place.run(["systemctl", "is-active", f"{unit}.{kind}"])[1] for kind in ("timer", "service"))
    return timer == "active" and service not in ("active", "activating", "deactivating", "reloading")


# --- arm, confirm, revert -------------------------------------------------------------------------------------------


def _validate_name(name: str) -> None:
    if not _NAME.match(name):
        raise SlipwayError(
            "invalid_name", f"{name!r} is not a usable name.", "use at most 48 of a-z, 0-9, '-', '_', a letter first"
        )


def _load(folder: str) -> Optional[dict[str, Any]]:
    for name in (PLAN, BEGUN):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), open(path, encoding="utf-8") as stream:
            return {**json.load(stream), "begun": name == BEGUN}
    return None


@contextlib.contextmanager
def _alone(place: Place, name: str) -> Iterator[None]:
    """Nobody else arms this name or ends it meanwhile."""
    descriptor = os.open(place.lock(name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(place: Place, name: str) -> Iterator[Optional[dict[str, Any]]]:
    """Yield what is armed, alone; None if nothing is."""
    if not os.path.isdir(place.folder(name)):
        yield None
        return
    with _alone(place, name):
        yield _load(place.folder(name))


def armed(name: str, place: Optional[Place] = None) -> Optional[dict[str, Any]]:
    """What is armed: token, deadline (seconds since the epoch), paths, and whether its revert has begun; else None."""
    _validate_name(name)
    place = place or Place()
    loaded = _load(place.folder(name))
    return loaded and {key: loaded[key] for key in ("name", "token", "deadline", "paths", "begun")}


def pending(name: str, token: str, place: Optional[Place] = None) -> Optional[float]:
    """When the timer will take back the change with this token, in seconds since the epoch; None if no timer will.

    After a reboot, a soft reboot or the isolation of a target none does: that is for the boot unit then.
    """
    place = place or Place()
    found = armed(name, place)
    if not found or found["token"] != token or found["begun"] or not _timer_is_in_charge(place, name):
        return None
    return float(found["deadline"])


def arm(name: str, seconds: float, plan: Plan, place: Optional[Place] = None, token: Optional[str] = None) -> str:
    """Save what the plan restores, start the clock, and return the token that confirms; a new one if none is given."""
    _validate_name(name)
    plan.validate()
    if not 1 <= seconds <= LONGEST:
        raise SlipwayError("invalid_seconds", f"{seconds:g} s is no usable time to confirm.", f"use 1 to {LONGEST}")
    place = place or Place()
    token = token or secrets.token_hex(16)
    files.make_directory(place.root, 0o700)
    with _alone(place, name):
        _sweep(place, name)
        _supersede(place, plan.paths, plan.account)
        _arm(place, name, seconds, plan, token)
    return token


def arm_when_free(name: str, seconds: float, plan: Plan, place: Optional[Place] = None) -> str:
    """Arm as soon as no other change of this name is armed: of several that have waited for one, one comes first."""
    place = place or Place()
    end = time.monotonic() + UNIT_PATIENCE
    while True:
        wait_until_free(name, place)
        try:
            return arm(name, seconds, plan, place)
        except SlipwayError as error:
            # What is not free although nothing is armed does not become so.
            if error.code != "already_armed" or (time.monotonic() > end and armed(name, place) is None):
                raise
        time.sleep(0.2)


def _arm(place: Place, name: str, seconds: float, plan: Plan, token: str) -> None:
    aside = os.path.join(place.root, f".{name}.{token}")
    os.mkdir(aside, 0o700)
    try:
        saved = {
            "name": name,
            "token": token,
            "seconds": seconds,
            "deadline": time.time() + seconds,
            "paths": list(plan.paths),
            "entries": [entry for path in plan.paths for entry in snapshot(path)],
            "account": account_entries.save(plan.account, place.accounts) if plan.account else None,
            "run": [list(argv) for argv in plan.run],
            "run_at_boot": [list(argv) for argv in plan.run_at_boot],
            "held": plan.held,
            "marks_ticking": True,
        }
        _write(os.path.join(aside, PLAN), json.dumps(saved).encode())
        _write(os.path.join(aside, RUNNER), runner_archive())
        files.fsync_directory(aside)
        _appear(place, name, aside)
    except BaseException:
        files.remove_tree(aside)
        raise
    try:
        files.write_atomic(place.marker(name), token, 0o600)
        _install_boot_unit(place, name, boot_unit(place, name, plan, token))
        _start_timer(place, _unit(name), name, seconds, token)
        _write(os.path.join(place.folder(name), TICKING), b"")
        files.fsync_directory(place.folder(name))
    except BaseException:
        _disarm(place, name)
        raise


def _has_ticked(place: Place, name: str, saved: dict[str, Any]) -> bool:
    """Whether whoever armed it has come as far as to change anything. An earlier version did not write that down."""
    return not saved.get("marks_ticking") or os.path.exists(os.path.join(place.folder(name), TICKING))


def _sweep(place: Place, name: str) -> None:
    """What a crash has left of changes that never were armed, or have ended."""
    for entry in os.listdir(place.root):
        if entry.startswith(f".{name}."):
            files.remove_tree(os.path.join(place.root, entry))


def _supersede(place: Place, paths: Sequence[str], account: str) -> None:
    """What was taken back of these paths must not be taken back again: it would undo what is made of them now."""
    with _alone(place, _KEPT):
        for entry in os.listdir(place.root):
            folder = os.path.join(place.root, entry)
            saved = _load(folder) if entry.endswith(_KEPT) else None
            if saved and (_overlap(saved["paths"], paths) or (account and account == _account_of(saved))):
                try:
                    os.close(os.open(os.path.join(folder, STALE), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
                except OSError:
                    files.remove_tree(folder)


def _account_of(saved: dict[str, Any]) -> str:
    return str((saved.get("account") or {}).get("name", ""))


def _overlap(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a path is also among the others, or above or below one of them."""
    return any(os.path.commonpath([one, other]) in (one, other) for one in some for other in others)


def _appear(place: Place, name: str, aside: str) -> None:
    try:
        os.rename(aside, place.folder(name))
    except OSError:
        raise SlipwayError(
            "already_armed",
            f"another change of {name} waits to be confirmed, or is being taken back.",
            "wait until it is confirmed or taken back, then run this again",
        ) from None
    files.fsync_directory(place.root)


def wait_until_free(name: str, place: Optional[Place] = None, act: bool = True) -> None:
    """Wait for another change under this name to end: its deadline sees to that.

    What a host is to be compared with is only certain then: until it ends, the change looks like the host's own state.
    One that nothing will take back any more, as after its timer was stopped, is taken back here, unless act is False.
    One that was cut short before its timer was set has changed nothing, and is disarmed. Raise when one stays
    armed, as after a revert that could not restore a path.
    """
    place = place or Place()
    while (found := armed(name, place)) is not None:
        if not _ends_by_itself(place, name):
            line = _take_over(place, name, found["token"]) if act else None
            left = armed(name, place)
            if left and left["token"] == found["token"] and not _ends_by_itself(place, name):
                raise _not_reverted(name, line or last_revert(name, place) or {}, left["token"], act)
        time.sleep(0.2)


def wait_until_settled(names: Sequence[str], place: Optional[Place] = None, act: bool = True) -> None:
    """Wait until none of these is armed, each as wait_until_free() does."""
    for name in names:
        wait_until_free(name, place, act)


def _take_over(place: Place, name: str, token: str) -> Optional[dict[str, Any]]:
    with _locked(place, name) as saved:
        # Whoever arms holds the lock until the timer is set.
        if saved is None or saved["token"] != token or _ends_by_itself(place, name):
            return None
        return _take_back(place, name, saved, "abandoned")


def _not_reverted(name: str, line: dict[str, Any], token: str, act: bool) -> SlipwayError:
    problems = "; ".join(line.get("problems", ())) if line.get("token") == token else ""
    if not act and not problems:
        return SlipwayError(
            "not_reverted",
            f"a change of {name} was never confirmed, and nothing is going to take it back.",
            "run without check mode, which takes it back first",
        )
    return SlipwayError(
        "not_reverted",
        f"a change of {name} that nobody confirmed could not be taken back{problems and f': {problems}'}.",
        "repair that and run again: the next run takes it back first",
    )


def _disarm(place: Place, name: str, keep: bool = False) -> None:
    """End the armed state in one rename, then clear up; what a crash leaves here does nothing any more.

    A boot unit that a power cut brings back has no program to run any more, and its condition says so.
    """
    gone = place.kept(name) if keep else os.path.join(place.root, f".{name}.gone")
    files.remove_tree(gone)
    os.rename(place.folder(name), gone)
    files.fsync_directory(place.root)
    place.run(["systemctl", "stop", f"{_unit(name)}.timer", f"{_short_unit(name)}.timer"])
    for path in (place.boot_link(name), place.boot_unit(name), place.marker(name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            files.fsync_directory(os.path.dirname(path))
    if keep:
        os.unlink(os.path.join(gone, RUNNER))
    else:
        files.remove_tree(gone)


def disarm(name: str, token: Optional[str] = None, place: Optional[Place] = None) -> bool:
    """Let the change stand, whoever armed it; return whether one was armed, with this token if one is given."""
    _validate_name(name)
    place = place or Place()
    with _locked(place, name) as saved:
        if saved is None or saved["begun"] or (token is not None and saved["token"] != token):
            return False
        _disarm(place, name)
    return True


def last_revert(name: str, place: Optional[Place] = None) -> Optional[dict[str, Any]]:
    """The newest line of the journal about this name."""
    return _journaled(place or Place(), lambda line: line.get("name") == name)


def taken_back(name: str, token: str, place: Optional[Place] = None) -> Optional[dict[str, Any]]:
    """What is known of the revert of the change with this token; None if it was not taken back."""
    place = place or Place()
    line = _journaled(place, lambda line: line.get("name") == name and line.get("token") == token)
    kept = None if line else _load(place.kept(name))
    if kept is not None and secrets.compare_digest(kept["token"], token):
        # The disk was too full for the journal.
        return {"name": name, "token": token, "reason": "not journaled", "restored": [], "problems": []}
    return line


def _journaled(place: Place, fits: Callable[[dict[str, Any]], bool]) -> Optional[dict[str, Any]]:
    """The newest line of the journal that fits."""
    try:
        with open(place.journal(), encoding="utf-8", errors="replace") as stream:
            lines = [_parsed(line) for line in stream]
    except FileNotFoundError:
        return None
    return next((line for line in reversed(lines) if fits(line)), None)


def _parsed(line: str) -> dict[str, Any]:
    """Empty for a line that a full disk or a power cut has torn."""
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}


def confirm(name: str, token: str, place: Optional[Place] = None) -> None:
    """Let the change stand; raise if it was taken back, or if somebody else's change is armed by now."""
    _validate_name(name)
    place = place or Place()
    with _locked(place, name) as saved:
        own = saved is not None and secrets.compare_digest(saved["token"], token)
        if own and saved and not saved["begun"]:
            _supersede(place, saved["paths"], _account_of(saved))
            _disarm(place, name)
            return
    line = taken_back(name, token, place)
    if own or line:
        reason = line["reason"] if line else "not to its end"
        again = None if own else _take_back_again(place, name, token)
        raise SlipwayError(
            "reverted",
            f"the change of {name} was taken back ({reason}) before it was confirmed{_since(again)}.",
            "see what kept the confirmation from coming in time, then run again",
            reverted=again,
        )
    raise SlipwayError("not_armed", f"no change of {name} with this token waits to be confirmed.", "run again")


def _take_back_again(place: Place, name: str, token: str) -> Optional[dict[str, Any]]:
    """Take back once more what was taken back with this token.

    None where it is not known any more, cannot have gone on, or would undo what somebody else has made since.
    """
    if not os.path.isdir(place.kept(name)):
        return None
    with _alone(place, name), _alone(place, _KEPT):
        saved = _load(place.kept(name))
        if saved is None or os.path.isdir(place.folder(name)) or not secrets.compare_digest(saved["token"], token):
            return None
        if saved.get("held") or os.path.lexists(os.path.join(place.kept(name), STALE)):
            return None
        return _put_back(place, name, saved, "again")[0]


def _since(line: Optional[dict[str, Any]]) -> str:
    """What a run that went on after its change was taken back had changed."""
    if not line or not (line["restored"] or line["problems"]):
        return ""
    problems = f", but not all of it: {'; '.join(line['problems'])}" if line["problems"] else ""
    return f"; what was changed after that was put back, too ({', '.join(line['restored']) or 'no file'}){problems}"


@contextlib.contextmanager
def hold(name: str, token: str, place: Optional[Place] = None) -> Iterator[None]:
    """Change the host while the change with this token is armed; a revert that is due meanwhile waits for the end.

    Raise not_armed or reverted, with nothing done, unless a timer is going to take the change back: what is written
    after a revert stays for good. Each command inside should have a time limit, for the revert waits that long.
    """
    _validate_name(name)
    place = place or Place()
    with _locked(place, name) as saved:
        own = saved is not None and secrets.compare_digest(saved["token"], token)
        if saved is None or not own or saved["begun"] or not _is_ticking(place, name):
            raise _ended(name, token, place)
        yield


def renew(name: str, token: str, place: Optional[Place] = None) -> None:
    """Inside hold(), start the clock anew: the time to confirm counts from now. Raise as hold() does.

    One call of PID 1 stops and starts the timer, so that a process killed at any point leaves it ticking.
    """
    place = place or Place()
    restarted = place.run(["systemctl", "restart", f"{_unit(name)}.timer"])[0] == 0
    saved = _load(place.folder(name))
    if not restarted or saved is None or saved["begun"] or saved["token"] != token or not _is_ticking(place, name):
        raise _ended(name, token, place)
    _save_deadline(place, name, saved, saved["seconds"])


def shorten(name: str, token: str, seconds: float, place: Optional[Place] = None) -> None:
    """Inside hold(), take the change back in this time from now, if it was armed for longer. Raise as hold() does.

    A second timer does so: while the first one was exchanged for another, nothing would tick.
    """
    place = place or Place()
    renew(name, token, place)
    saved = _load(place.folder(name)) or {}
    if seconds < saved["seconds"]:
        _start_timer(place, _short_unit(name), name, seconds, token)
        _save_deadline(place, name, saved, seconds)


def _save_deadline(place: Place, name: str, saved: dict[str, Any], seconds: float) -> None:
    kept = {key: value for key, value in saved.items() if key != "begun"}
    kept["deadline"] = time.time() + seconds
    files.write_atomic(os.path.join(place.folder(name), PLAN), json.dumps(kept), 0o600)


def _ended(name: str, token: str, place: Place) -> SlipwayError:
    """Why the change with this token is not armed any more."""
    line, saved = taken_back(name, token, place), _load(place.folder(name)) or {}
    if line or saved.get("token") == token:
        reason = line["reason"] if line else "its time is over"
        return SlipwayError(
            "reverted",
            f"the change of {name} was taken back ({reason}) before all of it was made; nothing more was changed.",
            "see what kept the run from going on in time, or raise the confirm_timeout of the role, then run again",
        )
    return SlipwayError("not_armed", f"no change of {name} with this token is armed; nothing was changed.", "run again")


def revert(
    name: str, token: Optional[str] = None, reason: str = "asked", place: Optional[Place] = None
) -> Optional[dict[str, Any]]:
    """Take the change back now and return the line that was journaled; None if there is nothing to take back.

    One that was taken back before, whose token is given, is taken back once more: the run that asks may have gone on.
    """
    _validate_name(name)
    place = place or Place()
    with _locked(place, name) as saved:
        if saved is not None and (token is None or saved["token"] == token):
            return _take_back(place, name, saved, reason)
    return None if token is None else _take_back_again(place, name, token)


def changed_meanwhile(what: str) -> SlipwayError:
    """For a transaction that has changed nothing yet: what it was planned for is not so any more."""
    return SlipwayError(CHANGED_MEANWHILE, f"{what} while this run waited; nothing was changed.", "run again")


@contextlib.contextmanager
def transaction(name: str, seconds: float, plan: Plan, place: Optional[Place] = None) -> Iterator[str]:
    """Arm, and hold what is armed while the caller changes the host; yield the token that confirms it.

    It stays armed afterwards. Where the caller fails, or came too late, it is taken back at once. A caller that raises
    changed_meanwhile has changed nothing yet, and it is only disarmed.
    """
    place = place or Place()
    token = arm_when_free(name, seconds, replace(plan, held=True), place)
    try:
        with hold(name, token, place):
            yield token
    except BaseException as error:
        if isinstance(error, SlipwayError) and error.code == CHANGED_MEANWHILE:
            disarm(name, token, place)
        else:
            revert(name, token, "failed", place)
        raise


def _take_back(place: Place, name: str, saved: dict[str, Any], reason: str) -> Optional[dict[str, Any]]:
    if not _has_ticked(place, name, saved):
        _disarm(place, name)
        return None
    _begin(place.folder(name))
    line, complete = _put_back(place, name, saved, reason)
    if complete:
        _disarm(place, name, keep=True)
    return line


def _put_back(place: Place, name: str, saved: dict[str, Any], reason: str) -> tuple[dict[str, Any], bool]:
    """Return the line for the journal, and whether every path could be restored.

    A path that could not be keeps the change armed, and the next boot or run tries again. One that a user has bent does
    not: that user could then keep every later change from being made.
    """
    done = _restore_account(place, saved.get("account"), restore(saved["entries"]))
    commands = [*saved["run_at_boot"], *_after_boot(place, name, saved)] if reason == "boot" else saved["run"]
    ran = [{"argv": argv, "code": code, "said": said} for argv in commands for code, said in [_insist(place, argv)]]
    failed = [f"{' '.join(one['argv'])} failed ({one['code']}): {one['said']}" for one in ran if one["code"] != 0]
    line = {
        "time": time.time(),
        "name": name,
        "token": saved["token"],
        "reason": reason,
        "restored": list(done.changed),
        "problems": [*done.problems, *done.bent, *failed],
        "ran": ran,
    }
    # A disk that is full must not keep armed what has been taken back.
    with contextlib.suppress(OSError):
        _append(place.journal(), line)
    return line, not done.problems


def _after_boot(place: Place, name: str, saved: dict[str, Any]) -> list[Argv]:
    """Without a reboot, services that still run have read what was changed. The boot unit is not to wait for them."""
    if not saved["run"] or not os.path.exists(place.marker(name)):
        return []
    script = "; ".join(shlex.join(argv) for argv in saved["run"])
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={_unit(name)}-after", "--no-block", "/bin/sh", "-c", script]
    return [argv]


def _restore_account(place: Place, saved: Optional[account_entries.Saved], done: Restored) -> Restored:
    if saved is None:
        return done
    try:
        return Restored([*done.changed, *account_entries.put_back(saved, place.accounts)], done.problems, done.bent)
    except OSError as error:
        problem = f"the account {saved['name']}: {error.strerror or error}"
        return Restored(done.changed, [*done.problems, problem], done.bent)


def _begin(folder: str) -> None:
    """From here on nobody can confirm it. rename(2) needs no space."""
    with contextlib.suppress(OSError):
        os.rename(os.path.join(folder, PLAN), os.path.join(folder, BEGUN))
        files.fsync_directory(folder)


def _insist(place: Place, argv: Argv) -> tuple[int, str]:
    """127 is a program that is not there, or that did not end in time."""
    code, said = place.run(argv)
    for _again in range(TRIES - 1):
        if code in (0, 127):
            break
        time.sleep(PAUSE)
        code, said = place.run(argv)
    return code, said


def _append(path: str, line: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * torn + json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    files.fsync_directory(os.path.dirname(path))


def _revert_at_boot(name: str, token: str, place: Place) -> Optional[dict[str, Any]]:
    """Unless its timer is in charge: one target that isolates another stops timers, and a soft reboot keeps /run."""
    with _locked(place, name) as saved:
        if saved is None or saved["token"] != token or _timer_is_in_charge(place, name):
            return None
        return _take_back(place, name, saved, "boot")


def main(argv: Sequence[str], place: Optional[Place] = None) -> int:
    """revert NAME --token TOKEN [--boot] | confirm NAME --token TOKEN. Prints one JSON object."""
    place = place or Place()
    words = [word for word in argv if word not in ("--token", "--boot")]
    if len(words) != 3 or words[0] not in ("revert", "confirm"):
        sys.stderr.write(f"usage: {main.__doc__}\n")
        return 2
    verb, name, token = words
    try:
        if verb == "confirm":
            confirm(name, token, place)
            answer: dict[str, Any] = {"confirmed": True}
        elif "--boot" in argv:
            answer = {"reverted": _revert_at_boot(name, token, place)}
        else:
            answer = {"reverted": revert(name, token, "deadline", place)}
    except SlipwayError as error:
        answer = {"failed": True, "code": error.code, "msg": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if answer.get("failed") else 0
