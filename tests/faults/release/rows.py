"""The rows of the fault table. Another strategy is one line in PHASES and one service in __main__.py."""

from __future__ import annotations

from typing import Any

from injecting import PAUSE, RUN
from model import (
    CUT_SSH,
    DOWN_IN_BETWEEN,
    GOES_ON,
    KILL,
    NEW,
    NOTHING,
    OLD,
    ONLY_NEW,
    ONLY_OLD,
    Moment,
    Row,
)

PHASES = {
    "socket": ("INTENT", "OVERLAP", "FLIP", "DRAIN", "SOAK", "COMMIT"),
    "restart": ("INTENT", "DRAIN", "FLIP", "START", "SOAK", "COMMIT"),
    "proxy": ("INTENT", "OVERLAP", "FLIP", "DRAIN", "SOAK", "COMMIT"),
    "reload": ("INTENT", "FLIP", "START", "DRAIN", "SOAK", "COMMIT"),
}
# `restart` has no release that could serve between the two; it is stopped and started, and that is its downtime.
SERVES = {"restart": DOWN_IN_BETWEEN}
ANY = frozenset(("any",))
# A process that dies takes along what it was answering; nobody else could.
IN_FLIGHT = frozenset(("reset", "eof", "stream_cut"))
NOTHING_OR_NEW = frozenset((NOTHING, NEW))
STARTS, STOPS = r"start --no-block \w+@", r" stop \w+@"
LOST = {"restart": ANY}
STATE, TREE = "/var/lib/slipway", "/opt"


def fill(folder: str) -> str:
    return f"dd if=/dev/zero of={folder}/filler bs=4k; true"


def free(folder: str) -> str:
    return f"rm -f {folder}/filler"


def read_only(folder: str) -> str:
    """A mount on top, because the engine's lock is a file that is open for writing below it."""
    return f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"


def environment(**values: str) -> dict[str, Any]:
    return {"release_environment": values}


# Without a rehearsal, so that the swap itself has to find out.
UNHEALTHY: dict[str, Any] = {"variables": {"release_rehearsal": "", **environment(APP_UNHEALTHY_AFTER="0s")}}
UNHEALTHY_LATER: dict[str, Any] = {
    "variables": {"release_rehearsal": "", "release_soak_time": 5, **environment(APP_UNHEALTHY_AFTER="2s")}
}


def promise(strategy: str) -> dict[str, Any]:
    return {"serves": SERVES.get(strategy, GOES_ON), "lost": LOST.get(strategy, frozenset())}


def kills(strategy: str, kind: str, edges: tuple[str, ...] = ("begin", "end")) -> list[Row]:
    words = {"begin": "as {} begins", "end": "as {} ends"}
    return [
        Row(
            "SIGKILL of the engine",
            words[edge].format(phase),
            strategy,
            kind,
            at=Moment(edge, f"^{phase}$"),
            do=KILL,
            **promise(strategy),
        )
        for phase in PHASES[strategy]
        for edge in edges
    ]


def killed(
    when: str, event: str, match: str, strategy: str = "socket", after: bool = False, nth: int = 1, **more: Any
) -> Row:
    given = {**promise(strategy), **more}
    return Row("SIGKILL of the engine", when, strategy, at=Moment(event, match, nth, after), do=KILL, **given)


KILLS = [
    killed("as STAGE begins", "os.mkdir", r"releases/\.tmp-[^/]*$", serves=ONLY_OLD),
    killed("with half of the artefact written", "open", r"\.tmp-.*/environment$", serves=ONLY_OLD),
    killed("as STAGE ends", "os.rename", r"releases/\.tmp-", serves=ONLY_OLD),
    killed("in REHEARSE", "subprocess.Popen", r"start --no-block \w+-rehearsal@", after=True, serves=ONLY_OLD),
    *kills("socket", "release"),
    killed("in OVERLAP, with the new one starting", "subprocess.Popen", STARTS, after=True),
    killed("in DRAIN, with the old one stopping", "subprocess.Popen", STOPS, after=True),
    killed("in COMMIT, before last-good is turned", "os.rename", r"last-good\.tmp"),
    killed("as PRUNE begins", "begin", "^PRUNE$", serves=ONLY_NEW),
    killed("in the undo of a release that failed in OVERLAP", "subprocess.Popen", STOPS, after=True, **UNHEALTHY),
    killed("in the undo of a release that failed in SOAK", "subprocess.Popen", STARTS, nth=2, **UNHEALTHY_LATER),
    killed(
        "in the recovery from a SIGKILL in SOAK",
        "subprocess.Popen",
        STOPS,
        after=True,
        earlier=Moment("begin", "^SOAK$"),
    ),
    killed("in a first release, as OVERLAP ends", "end", "^OVERLAP$", first=True, lost=ANY, serves=NOTHING_OR_NEW),
    killed("in a first release, as COMMIT ends", "end", "^COMMIT$", first=True, lost=ANY, serves=NOTHING_OR_NEW),
    *kills("socket", "rollback", ("begin",)),
    *kills("restart", "release"),
    *kills("restart", "rollback", ("begin",)),
]


def begins(phase: str) -> Moment:
    return Moment("begin", f"^{phase}$")


def kill_controller(bench: Any) -> None:
    bench.wait("the engine comes to that moment", lambda: bench.host.exists(f"{RUN}/reached"))
    bench.run.kill()
    bench.host.run(f"touch {RUN}/go")


def second_run(bench: Any) -> None:
    """Another run for the same service, while the first one holds the lock."""
    bench.wait("the engine comes to that moment", lambda: bench.host.exists(f"{RUN}/reached"))
    bench.start_second()
    holders = f"ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c {STATE}/{bench.service.name}/lock || true"
    bench.wait("the second run asks for the lock", lambda: int(bench.host.run(holders)) > 1 or bench.second_ended())
    bench.host.run(f"touch {RUN}/go")


def crash_loop(bench: Any) -> None:
    """Until systemd has started it a third time."""
    asked = f"systemctl show --property=NRestarts --value '{bench.service.name}@*' | sort -n | tail -1"
    bench.wait("it has crashed twice", lambda: int(bench.host.run(asked) or 0) >= 2)


def kill_instance(bench: Any) -> None:
    bench.host.run(f"systemctl kill --signal=KILL '{bench.service.name}@*'")
    bench.wait("it runs again", lambda: bool(bench.host.versions(bench.service.port, 1)))


def taken_back(bench: Any) -> None:
    """Nobody confirms it, and the timer of the host acts."""
    name = bench.service.name
    bench.wait("the host takes it back", lambda: bench.host.status(name).get("in_flight") is None, 120)


CONNECTION = [
    *(
        Row(
            "SSH connection cut",
            f"in {phase}",
            strategy,
            at=begins(phase),
            do=CUT_SSH,
            says="the host became unreachable",
            settled=True,
            **promise(strategy),
        )
        for strategy, phase in (("socket", "OVERLAP"), ("socket", "DRAIN"), ("socket", "SOAK"), ("restart", "DRAIN"))
    ),
    *(
        Row(
            "controller killed",
            f"in {phase}",
            strategy,
            at=begins(phase),
            do=PAUSE,
            meanwhile=kill_controller,
            settled=True,
            **promise(strategy),
        )
        for strategy, phase in (("socket", "OVERLAP"), ("socket", "SOAK"), ("restart", "DRAIN"))
    ),
    Row(
        "controller killed",
        "in STAGE",
        at=Moment("os.mkdir", r"releases/\.tmp-[^/]*$"),
        do=PAUSE,
        meanwhile=kill_controller,
        settled=True,
    ),
]


CONFIRM = {"release_confirm": 4}
UNCONFIRMED: dict[str, Any] = {
    "at": begins("PROBATION"),
    "variables": CONFIRM,
    "then": taken_back,
    "serves": ONLY_OLD,
    "settled": True,
}
PROBATION = [
    killed("as PROBATION begins", "begin", "^PROBATION$", variables=CONFIRM, serves=ONLY_NEW),
    Row("SSH connection cut", "in PROBATION", do=CUT_SSH, says="the host became unreachable", **UNCONFIRMED),
    Row("controller killed", "in PROBATION", do=PAUSE, meanwhile=kill_controller, **UNCONFIRMED),
]


def full(when: str, event: str, match: str, folder: str, nth: int = 1, **more: Any) -> Row:
    given = {"says": "No space left", "serves": ONLY_OLD, **more}
    return Row("disk full", when, at=Moment(event, match, nth), do=fill(folder), after=free(folder), **given)


def full_from_the_start(folder: str, says: str) -> Row:
    return Row(
        "disk full", f"before the run, {folder}", before=fill(folder), after=free(folder), says=says, serves=ONLY_OLD
    )


DISK_FULL = [
    full_from_the_start(TREE, "MiB free, this release needs"),
    full_from_the_start(STATE, "MiB free, this release needs"),
    full("as the artefact is written", "open", r"\.tmp-[^/]*/bin/", TREE),
    full("as its environment is written", "open", r"\.tmp-.*/environment$", TREE),
    full("as its units are written", "open", r"\.tmp-.*/units/", TREE),
    full("as release.json is written", "open", r"\.tmp-.*/release\.json$", TREE),
    *(
        full(f"as state.json is written for {phase}", "open", r"/state\.json\.tmp", STATE, nth)
        for nth, phase in enumerate(PHASES["socket"][:-1], 1)
    ),
    full("as state.json is written for COMMIT", "open", r"/state\.json\.tmp", STATE, 6, serves=ONLY_NEW),
    full("as settings.json is written", "open", r"/settings\.json\.tmp", STATE, serves=ONLY_NEW),
    full("as boot.env is written", "open", r"/boot\.env\.tmp", STATE, serves=ONLY_NEW),
    Row(
        "disk full",
        "in DRAIN",
        "restart",
        at=begins("DRAIN"),
        do=fill(STATE),
        after=free(STATE),
        says="No space left",
        **{**promise("restart"), "serves": ONLY_OLD},
    ),
]


def read_only_row(when: str, folder: str, at: Moment | None = None, **more: Any) -> Row:
    script = read_only(folder)
    given = {"says": "Read-only file system", "serves": ONLY_OLD, **more}
    done = {"at": at, "do": script} if at else {"before": script}
    return Row("read-only file system", when, after=f"umount -l {folder}", **done, **given)


READ_ONLY = [
    read_only_row("before the run, /opt", f"{TREE}/SERVICE"),
    read_only_row("before the run, /var/lib/slipway", f"{STATE}/SERVICE"),
    read_only_row("in FLIP, /opt", f"{TREE}/SERVICE", begins("FLIP")),
    read_only_row("in DRAIN, /var/lib/slipway", f"{STATE}/SERVICE", begins("DRAIN"), serves=GOES_ON),
    read_only_row("in COMMIT, /var/lib/slipway", f"{STATE}/SERVICE", begins("COMMIT"), serves=ONLY_NEW),
]
DAMAGE = "for f in $(ls -td /opt/SERVICE/releases/*/bin/SERVICE | head -1); do truncate -s 1000000 $f; done"


def refused(fault: str, when: str, says: str, **more: Any) -> Row:
    return Row(fault, when, says=says, serves=ONLY_OLD, exposed=False, **more)


ARTEFACTS = [
    refused(
        "truncated artefact",
        "on the controller",
        "is not a Linux executable",
        variables={"release_src": "@/shop-truncated"},
    ),
    refused(
        "another file than the artefact",
        "on the controller",
        "is not a Linux executable",
        variables={"release_src": "@/shop-text"},
    ),
    refused("corrupt artefact", "release_checksum given", "has SHA-256", variables={"release_checksum": "0" * 64}),
    refused(
        "corrupt artefact",
        "damaged by the upload",
        "what arrived on this host has SHA-256",
        at=Moment("os.mkdir", r"releases/\.tmp-[^/]*$"),
        do="for f in $(find / -xdev -name artefact -path '*ansible*');"
        " do printf x | dd of=$f seek=4096 bs=1 conv=notrunc; done",
    ),
    Row(
        "corrupt artefact",
        "damaged on the host's disk after STAGE",
        serves=ONLY_OLD,
        exposed=False,
        at=Moment("os.rename", r"releases/\.tmp-", after=True),
        do=f"{DAMAGE}; {KILL}",
    ),
    refused(
        "corrupt artefact",
        "damaged on the host's disk in OVERLAP",
        "rolled back in OVERLAP",
        at=begins("OVERLAP"),
        do=DAMAGE,
        mended={"release_force": True},
    ),
    refused("wrong architecture", "arm64", "is built for arm64", variables={"release_src": "@/shop-arm64"}),
    refused("missing library", "libq.so.6", r"libq\.so\.6", variables={"release_src": "@/shop-missing-library"}),
]
NO_REHEARSAL = {"release_rehearsal": ""}
# What has failed is marked bad, and is not released again.
ANOTHER_BUILD = environment(BUILD="another")
RELEASES = [
    refused(
        "never ready",
        "with a rehearsal",
        "refused in REHEARSE",
        variables={"release_start_timeout": 2, **environment(APP_NEVER_READY="1")},
    ),
    refused(
        "never ready",
        "without a rehearsal",
        "rolled back in OVERLAP",
        variables={**NO_REHEARSAL, "release_start_timeout": 2, **environment(APP_NEVER_READY="1")},
    ),
    refused("ends at once", "with a rehearsal", "refused in REHEARSE", variables=environment(APP_CRASH_AFTER="0s")),
    refused(
        "ends at once",
        "without a rehearsal",
        "rolled back in OVERLAP",
        variables={**NO_REHEARSAL, **environment(APP_CRASH_AFTER="0s")},
    ),
    refused(
        "never healthy", "with a rehearsal", "refused in REHEARSE", variables=environment(APP_UNHEALTHY_AFTER="0s")
    ),
    Row("never healthy", "without a rehearsal", says="rolled back in OVERLAP", serves=ONLY_OLD, **UNHEALTHY),
    Row("ready, then unhealthy", "in SOAK", says="rolled back in SOAK", serves=ONLY_OLD, **UNHEALTHY_LATER),
    Row(
        "ready, then a crash",
        "in SOAK",
        says="rolled back in SOAK",
        serves=ONLY_OLD,
        lost=IN_FLIGHT,
        variables={**NO_REHEARSAL, "release_soak_time": 5, **environment(APP_CRASH_AFTER="2500ms")},
    ),
    Row(
        "SIGKILL of the new release",
        "in SOAK",
        mended=ANOTHER_BUILD,
        says="rolled back in SOAK",
        serves=ONLY_OLD,
        lost=IN_FLIGHT,
        at=begins("SOAK"),
        do="systemctl kill --signal=KILL 'SERVICE@*'",
    ),
    Row(
        "SIGKILL of the old release",
        "in OVERLAP",
        says="",
        serves=ONLY_NEW,
        lost=IN_FLIGHT,
        at=begins("OVERLAP"),
        do="systemctl kill --signal=KILL 'SERVICE@*'",
    ),
    Row(
        "crash loop",
        "after the commit",
        says="",
        serves=ONLY_NEW,
        lost=IN_FLIGHT,
        then=crash_loop,
        variables=environment(APP_CRASH_AFTER="6s"),
    ),
    Row(
        "SIGKILL of the only release", "after the commit", says="", serves=ONLY_NEW, lost=IN_FLIGHT, then=kill_instance
    ),
    *(
        Row(
            fault,
            when,
            "restart",
            says=says,
            lost=ANY,
            serves=ONLY_OLD,
            variables={**NO_REHEARSAL, "release_soak_time": 5, **variables},
        )
        for fault, when, says, variables in (
            (
                "never ready",
                "without a rehearsal",
                "rolled back in START",
                {"release_start_timeout": 2, **environment(APP_NEVER_READY="1")},
            ),
            ("never healthy", "without a rehearsal", "rolled back in START", environment(APP_UNHEALTHY_AFTER="0s")),
            ("ready, then a crash", "in SOAK", "rolled back in SOAK", environment(APP_CRASH_AFTER="2500ms")),
        )
    ),
]
STRANGER = (
    "systemd-run --quiet --collect --unit=stranger socat TCP-LISTEN:{port},fork,reuseaddr /dev/null;"
    " for i in $(seq 50); do ss -lnt | grep -q :{port} && break; sleep 0.1; done"
)
MOVED = {
    "service_listen": ["8099"],
    "release_health": {"url": "http://127.0.0.1:8099/readyz", "deadline": 6, "timeout": 1},
}
NO_STRANGER = "systemctl stop stranger"
NO_RELOAD = "mount -o remount,size=8m /run"
RELOAD_AGAIN = "mount -o remount,size=512m /run"
LIMITS = {"service_limits": {"LimitNOFILE": 4096}, "service_backlog": 1024}
OTHER_LIMITS = {"service_limits": {"LimitNOFILE": 2048}}
HOST = [
    refused(
        "port taken by a stranger",
        "before the run",
        "is in use by socat",
        playbook="site",
        before=STRANGER.format(port=8099),
        variables=MOVED,
        after=NO_STRANGER,
    ),
    refused(
        "port taken by a stranger",
        "as OVERLAP begins",
        "rolled back in OVERLAP",
        playbook="site",
        at=begins("OVERLAP"),
        do=STRANGER.format(port=8099),
        variables=MOVED,
        after=NO_STRANGER,
    ),
    Row(
        "port taken by a stranger",
        "as DRAIN ends",
        "restart",
        at=Moment("end", "^DRAIN$"),
        do=STRANGER.format(port=8081),
        after=NO_STRANGER,
        says="going back to .* failed",
        serves=frozenset((NOTHING,)),
        lost=ANY,
    ),
    killed(
        "in SOAK, across a change of port", "begin", "^SOAK$", kind="rollback", prepare="site", prepared=MOVED, lost=ANY
    ),
    refused(
        "daemon-reload refused",
        "as the units are installed",
        "Refusing to reload",
        playbook="site",
        before=NO_RELOAD,
        after=RELOAD_AGAIN,
        variables=LIMITS,
        mended=LIMITS,
    ),
    Row(
        "daemon-reload refused",
        "in OVERLAP, across a change of units",
        kind="rollback",
        prepare="site",
        prepared=OTHER_LIMITS,
        at=begins("OVERLAP"),
        do=NO_RELOAD,
        after=RELOAD_AGAIN,
        says="in OVERLAP",
        serves=ONLY_OLD,
    ),
    Row(
        "systemd re-executed",
        "in OVERLAP",
        at=begins("OVERLAP"),
        do="systemctl daemon-reexec",
        says="",
        serves=ONLY_NEW,
    ),
    Row("systemd re-executed", "in DRAIN", at=begins("DRAIN"), do="systemctl daemon-reexec", says="", serves=ONLY_NEW),
    Row(
        "two concurrent releases",
        "the second waits",
        at=begins("OVERLAP"),
        do=PAUSE,
        meanwhile=second_run,
        second={"release_lock_timeout": 60},
        second_says="",
        says="",
        serves=ONLY_NEW,
    ),
    Row(
        "two concurrent releases",
        "the second may not wait",
        at=begins("OVERLAP"),
        do=PAUSE,
        meanwhile=second_run,
        second={"release_lock_timeout": 0},
        second_says=r"is being released by root \(pid \d+\)",
        says="",
        serves=ONLY_NEW,
    ),
    *(
        Row(
            "clock jumps",
            f"{by} in {phase}",
            at=begins(phase),
            do=f"echo {offset} > {RUN}/clock",
            says="",
            serves=ONLY_NEW,
        )
        for phase, by, offset in (("OVERLAP", "back a year", -31536000), ("SOAK", "on a year", 31536000))
    ),
    Row(
        "systemctl restart by hand",
        "in SOAK",
        at=begins("SOAK"),
        do="systemctl restart SERVICE",
        says="rolled back in SOAK",
        lost=ANY,
        serves=ONLY_OLD,
        mended=ANOTHER_BUILD,
    ),
    Row(
        "journal torn",
        "before the run",
        before=f"truncate -s -20 {STATE}/SERVICE/journal.jsonl",
        says="",
        serves=ONLY_NEW,
    ),
    Row("link current deleted", "before the run", before=f"rm {TREE}/SERVICE/current", says="", serves=ONLY_NEW),
    Row(
        "last good release damaged on disk",
        "before the run",
        kind="rollback",
        before=f"truncate -s 1000000 {TREE}/SERVICE/releases/$(ls -t {TREE}/SERVICE/releases | sed -n 2p)/bin/SERVICE",
        says="is not on this host's disk as it was released",
        serves=ONLY_OLD,
        exposed=False,
        next_playbook="release",
    ),
]


def cut_power(bench: Any) -> None:
    bench.wait("the engine comes to that moment", lambda: bench.host.exists(f"{RUN}/reached"))
    bench.host.cut_power()


def power_cut(when: str, at: Moment, strategy: str = "socket", kind: str = "release", **more: Any) -> Row:
    """The boot after it settles what was interrupted; the load would only say that the host was off."""
    given = {"serves": frozenset((OLD, NEW)), **more}
    return Row("power cut", when, strategy, kind, at=at, do=PAUSE, meanwhile=cut_power, settled=True, **given)


POWER_CUTS = [
    power_cut("in STAGE, with half of the artefact written", Moment("open", r"\.tmp-.*/environment$"), serves=ONLY_OLD),
    power_cut("in REHEARSE", Moment("subprocess.Popen", r"stop \w+-rehearsal@", nth=2), serves=ONLY_OLD),
    *(power_cut(f"in {phase}", Moment("begin", f"^{phase}$")) for phase in PHASES["socket"]),
    power_cut("in PROBATION", begins("PROBATION"), variables={"release_confirm": 60}, serves=ONLY_OLD),
    power_cut("in COMMIT, before last-good is turned", Moment("os.rename", r"last-good\.tmp")),
    power_cut("as COMMIT ends", Moment("end", "^COMMIT$"), serves=ONLY_NEW),
    power_cut("in PRUNE", Moment("begin", "^PRUNE$"), serves=ONLY_NEW),
    *(power_cut(f"in {phase}", Moment("begin", f"^{phase}$"), "restart") for phase in ("DRAIN", "START", "SOAK")),
    *(power_cut(f"in {phase}", Moment("begin", f"^{phase}$"), kind="rollback") for phase in ("OVERLAP", "DRAIN")),
]

OTHER_STRATEGIES = [
    *kills("proxy", "release"),
    *kills("proxy", "rollback", ("begin",)),
    *kills("reload", "release"),
    *kills("reload", "rollback", ("begin",)),
    *(
        Row(
            "SIGKILL of HAProxy",
            f"in {phase}",
            "proxy",
            at=begins(phase),
            do="systemctl kill --signal=KILL haproxy",
            lost=IN_FLIGHT | {"refused"},
        )
        for phase in ("OVERLAP", "FLIP", "DRAIN", "SOAK", "COMMIT")
    ),
    *(
        Row(
            "never healthy",
            "without a rehearsal",
            strategy,
            says="rolled back in",
            serves=ONLY_OLD,
            **UNHEALTHY,
        )
        for strategy in ("proxy",)
    ),
]

ROWS = [*KILLS, *CONNECTION, *PROBATION, *DISK_FULL, *READ_ONLY, *ARTEFACTS, *RELEASES, *HOST, *OTHER_STRATEGIES]
