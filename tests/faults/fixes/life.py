"""Rows of a service's releases and of its diagnosis, on a host that runs one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.intake import HEALTH, PORT, SERVICE, literal, release
from ansible_collections.slipway.go.tests.faults.fixes.model import Command, Playbook, Row, Task

DATABASE = 9301
STATE, ROOT = f"/var/lib/slipway/{SERVICE}", f"/opt/{SERVICE}"
UNIT = f'{SERVICE}@"$(basename "$(readlink -f {ROOT}/current)")".service'
BINARY = f'"$(readlink -f {ROOT}/current)"/bin/{SERVICE}'
DROP_IN = f"/etc/systemd/system/{SERVICE}@.service.d/zz.conf"
WELL = f"for i in $(seq 100); do slipway status {SERVICE} >/dev/null && break; sleep 0.3; done"
FAILED = f"for i in $(seq 100); do systemctl is-active --quiet {UNIT} || break; sleep 0.2; done"


def variables(version: str, source: str, **more: Any) -> dict[str, Any]:
    """Of the service for `site.yml`."""
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "service_dependencies": [{"name": "database", "priority": "high", "address": f"127.0.0.1:{DATABASE}"}],
        "site_harden": False,
        "release_version": version,
        "release_src": source,
        "release_health": HEALTH,
        "release_soak_time": 0,
        **more,
    }


def anew(version: str, **more: Any) -> Task:
    return release(version=version, confirm=0, **more)


def look(code: str, how: str, says: str, make: str, fix: str, undo: str = "") -> Row:
    """A row of `slipway diagnose`."""
    run = Command(f"slipway diagnose {SERVICE} --json || true")
    back = f"rm -f {DROP_IN}; systemctl daemon-reload; systemctl reset-failed '{SERVICE}*'; {undo or 'true'}"
    well = f"systemctl start {SERVICE}.socket {SERVICE}.service; systemctl restart {UNIT}; {WELL}"
    forget = "journalctl --quiet --rotate --vacuum-time=1s"
    return Row(code, how, run, says, make, fix, undo=f"{back}; {well}; {forget}", alone=True)


def directive(*lines: str, then: str = f"systemctl restart --no-block {UNIT}; sleep 2; {FAILED}") -> str:
    text = "[Service]\\n" + "\\n".join(lines)
    return f"mkdir -p $(dirname {DROP_IN}); printf '{text}\\n' > {DROP_IN}; systemctl daemon-reload; {then}"


RECORD = f"/etc/slipway/services/{SERVICE}.json"
# It stands for the five minutes in which an end of the service is still named.
LATER = "journalctl --quiet --rotate --vacuum-time=1s"
MENDED = f"rm {DROP_IN}; systemctl daemon-reload; systemctl restart {UNIT}; {WELL}; {LATER}"
LOG = rf"correct what its log complains of, or run sudo (?P<command>slipway rollback {SERVICE})"
ONCE = f"systemctl restart {UNIT}; systemctl kill --signal=KILL {UNIT}; {FAILED}"
PAYMENTS = (
    "systemctl stop payments 2>/dev/null || true;"
    " openssl req -x509 -newkey rsa:2048 -nodes -days {days} -subj /CN=127.0.0.1"
    " -addext subjectAltName=IP:127.0.0.1 -keyout /srv/payments.key -out /srv/payments.pem 2>/dev/null;"
    " cat /srv/payments.key >> /srv/payments.pem; systemd-run --quiet --unit=payments openssl s_server -quiet -WWW"
    " -accept 127.0.0.1:9302 -cert /srv/payments.pem; for i in $(seq 50); do ss -ltn | grep -q :9302 && break;"
    " sleep 0.2; done"
)


def depends(**entry: Any) -> str:
    """What the role has written of the service, with another dependency."""
    edit = f"import json; path = '{RECORD}'; told = json.load(open(path)); told['dependencies'] = [{entry!r}]"
    return f"cp -p {RECORD} /srv/record; python3 -c \"{edit}; json.dump(told, open(path, 'w'))\""


WORSE = {"APP_UNHEALTHY_AFTER": "0s"}
SHORT = {**HEALTH, "deadline": 3}

ROWS = [
    Row(
        "rolled_back",
        "the new release is unhealthy",
        anew("3.0.0-worse", environment=WORSE, health=SHORT),
        r"see journalctl -u (?P<unit>\S+), or raise release_health\.deadline",
        give={"environment": {}, "version": "3.0.1"},
        alone=True,
    ),
    Row(
        "known_bad",
        "a release that has failed is released again",
        anew("3.0.0-worse", environment=WORSE, health=SHORT),
        literal("release another version or configuration, or set release_force: true when the cause is gone"),
        give={"environment": {"NEXT": "1"}},
        alone=True,
    ),
    Row(
        "locked",
        "another run holds the lock",
        anew("3.0.2", lock_timeout=1),
        literal("wait for that run to end, or raise release_lock_timeout"),
        f"systemd-run --quiet --unit=holder flock {STATE}/lock sleep 600; sleep 1",
        "systemctl stop holder",
        alone=True,
    ),
    Row(
        "locked",
        "another run holds the lock for a while",
        anew("3.0.2", lock_timeout=1),
        literal("wait for that run to end, or raise release_lock_timeout"),
        f"systemd-run --quiet --unit=holder flock {STATE}/lock sleep 20; sleep 1",
        give={"lock_timeout": 120},
        alone=True,
    ),
    Row(
        "port_in_use",
        "somebody else has a port of the service",
        anew("3.0.3", listen=[str(PORT), "7272"]),
        literal("stop that process, or choose another port in service_listen"),
        "systemd-run --quiet --unit=squatter python3 -m http.server 7272;"
        "for i in $(seq 100); do ss -ltn | grep -q :7272 && break; sleep 0.2; done",
        "systemctl stop squatter",
        alone=True,
    ),
    Row(
        "disk_full",
        "the file system of the releases is full",
        anew("3.0.4"),
        r"free space on the file system of service_root \(\S+\).*",
        "dd if=/dev/zero of=/opt/filler bs=1M 2>/dev/null || true",
        "rm /opt/filler",
        alone=True,
    ),
    Row(
        "damaged_settings",
        "the settings of the service were edited",
        Task("rollback", {"name": SERVICE}),
        literal("release the service again"),
        f"echo edited > {STATE}/settings.json",
        then=anew("3.0.10"),
        alone=True,
    ),
    Row(
        "damaged_journal",
        "the journal of the service is a folder",
        anew("3.0.8"),
        literal("move it away: the history begins anew, and releases marked bad are forgotten"),
        f"mv {STATE}/journal.jsonl /srv/journal.jsonl; mkdir {STATE}/journal.jsonl",
        f"mv {STATE}/journal.jsonl /srv/journal.folder",
        undo=f"cat /srv/journal.jsonl {STATE}/journal.jsonl > /srv/both; cp /srv/both {STATE}/journal.jsonl;"
        " rmdir /srv/journal.folder",
        alone=True,
    ),
    Row(
        "foreign_owner",
        "the folder of the releases belongs to a user",
        anew("3.0.9"),
        r"run (?P<command>chown .*)",
        f"chown nobody {ROOT}/releases",
        "<command>",
        alone=True,
    ),
    Row(
        "damaged_release",
        "the binary of the release that serves was replaced",
        Command(f'slipway verify {SERVICE} "$(basename $(readlink -f {ROOT}/current))" --json'),
        rf"run sudo (?P<command>slipway rollback {SERVICE} \S+), or release another version.*",
        f"cp /bin/false {BINARY}.new; mv {BINARY}.new {BINARY}",
        "<command>",
        alone=True,
    ),
    Row(
        "release_needed",
        "the release that serves is to be purged",
        Task("purge", {"name": SERVICE, "releases": ["@current"]}),
        r"release or confirm another one first, or name the ids of those that are to go",
        give={"releases": []},
    ),
]

DIAGNOSIS = [
    look(
        "stopped_by_hand",
        "somebody has stopped the service",
        r"run (?P<command>systemctl start \w+)",
        f"systemctl stop {SERVICE}",
        f"<command>; {WELL}",
    ),
    look(
        "unit_masked",
        "the unit of the service is masked",
        r"run (?P<command>systemctl unmask \S+), then start it",
        f"systemctl stop {SERVICE}; mv /etc/systemd/system/{SERVICE}.service /usr/lib/systemd/system/;"
        f" systemctl daemon-reload; systemctl mask {SERVICE}.service",
        f"<command>; systemctl start {SERVICE}.service; {WELL}",
        f"mv /usr/lib/systemd/system/{SERVICE}.service /etc/systemd/system/; systemctl daemon-reload",
    ),
    look(
        "not_at_boot",
        "the service is disabled",
        r"run (?P<command>systemctl enable \w+)",
        f"systemctl disable {SERVICE}.service",
        "<command>",
    ),
    look(
        "not_watched",
        "the watch was stopped",
        r"run (?P<command>systemctl start slipway-watch\.service)",
        "systemctl stop slipway-watch.service",
        "<command>",
    ),
    look(
        "other_time_zone",
        "the host has another time zone",
        r"run (?P<command>timedatectl set-timezone UTC)",
        "timedatectl set-timezone Europe/Paris",
        "<command>",
    ),
    look(
        "dependency_refused",
        "the database is down",
        r"start (?P<name>\w+)",
        "systemctl stop database",
        f"systemctl start <name>; for i in $(seq 50); do ss -ltn | grep -q :{DATABASE} && break; sleep 0.2; done",
    ),
    look(
        "damaged_release",
        "the binary was replaced and the service restarted",
        rf"run sudo (?P<command>slipway rollback {SERVICE} \S+), or release another version.*",
        f"cp /bin/false {BINARY}.new; mv {BINARY}.new {BINARY}; systemctl restart --no-block {UNIT}; sleep 2; {FAILED}",
        "<command>",
    ),
    look(
        "unit_missing",
        "the working directory of the unit is gone",
        r"create (?P<path>\S+), or remove WorkingDirectory=",
        directive("WorkingDirectory=/srv/later-made"),
        f"mkdir <path>; systemctl start {SERVICE}; {WELL}",
        "rmdir /srv/later-made",
    ),
    look(
        "unit_noexec",
        "the unit may execute nothing below its root",
        r"add (?P<path>\S+) to ExecPaths= of (?P<unit>\S+)",
        directive("NoExecPaths=/opt"),
        f"echo ExecPaths=<path> >> {DROP_IN}; systemctl daemon-reload; systemctl start {SERVICE}; {WELL}",
    ),
    look(
        "health_fails",
        "the health check fails",
        rf"correct what the answer says, or run sudo slipway rollback {SERVICE}",
        directive("Environment=APP_UNHEALTHY_AFTER=0s", then=f"systemctl restart {UNIT}; sleep 2"),
        f"rm {DROP_IN}; systemctl daemon-reload; systemctl restart {UNIT}; {WELL}",
    ),
    look(
        "changed_by_hand",
        "the unit of the service was changed",
        literal("run site.yml, which writes it again, or undo the change"),
        f"cp -p /etc/systemd/system/{SERVICE}@.service /srv/unit;"
        f" echo '# changed' >> /etc/systemd/system/{SERVICE}@.service; systemctl daemon-reload",
        f"cp -p /srv/unit /etc/systemd/system/{SERVICE}@.service; systemctl daemon-reload",
    ),
    look(
        "in_flight",
        "a swap was cut short",
        rf"run sudo (?P<command>slipway recover {SERVICE})",
        'printf \'%s\' \'{"txn": "x", "phase": "OVERLAP", "strategy": "socket", "started": 1.0,'
        f' "source": null, "to": "\'"$(basename "$(readlink -f {ROOT}/current)")"\'"}}\' > {STATE}/state.json',
        "<command>",
        f"rm -f {STATE}/state.json",
    ),
    look(
        "damaged_state",
        "the state of a transaction was edited",
        rf"run sudo (?P<command>slipway recover {SERVICE}) on the host, which rebuilds it from the journal",
        f"echo edited > {STATE}/state.json",
        "<command>",
        f"rm -f {STATE}/state.json",
    ),
    look(
        "disk_full",
        "the disk of the service's cache is full",
        r"free space on the file system of (?P<path>\S+)",
        f"mkdir -p /var/cache/{SERVICE}; mount -t tmpfs -o size=2m none /var/cache/{SERVICE};"
        f" dd if=/dev/zero of=/var/cache/{SERVICE}/x bs=1k 2>/dev/null || true",
        "rm <path>/x",
        f"umount /var/cache/{SERVICE}",
    ),
    look(
        "no_inodes",
        "the disk of the service's cache has no inodes",
        r"remove files from the file system of (?P<path>\S+) \(see df -i\)",
        f"mkdir -p /var/cache/{SERVICE}; mount -t tmpfs -o size=64m,nr_inodes=2 none /var/cache/{SERVICE};"
        f" touch /var/cache/{SERVICE}/x /var/cache/{SERVICE}/y || true",
        "rm <path>/x",
        f"umount /var/cache/{SERVICE}",
    ),
    look(
        "read_only_disk",
        "the disk of the service's cache is read-only",
        r"find out why \(dmesg\), then mount (?P<path>\S+) read-write",
        f"mkdir -p /var/cache/{SERVICE}; mount -t tmpfs -o size=64m none /var/cache/{SERVICE};"
        f" mount -o remount,ro /var/cache/{SERVICE}",
        "mount -o remount,rw <path>",
        f"umount /var/cache/{SERVICE}",
    ),
    look(
        "port_in_use",
        "somebody else has the port",
        r"(?P<stop>stop that process), or choose another port in service_listen",
        f"systemctl stop {SERVICE} {SERVICE}.socket; systemd-run --quiet --unit=squatter python3 -m http.server {PORT};"
        f" for i in $(seq 100); do ss -ltn | grep -q :{PORT} && break; sleep 0.2; done;"
        f" systemctl start {SERVICE} || true",
        f"systemctl stop squatter; systemctl start {SERVICE}.socket {SERVICE}; {WELL}",
    ),
    look(
        "disk_almost_full",
        "the disk of the service's cache is almost full",
        r"free space on the file system of (?P<path>\S+)",
        f"mkdir -p /var/cache/{SERVICE}; mount -t tmpfs -o size=64m none /var/cache/{SERVICE};"
        f" dd if=/dev/zero of=/var/cache/{SERVICE}/x bs=1M count=62 2>/dev/null",
        "rm <path>/x",
        f"umount /var/cache/{SERVICE}",
    ),
    look(
        "no_descriptors",
        "the service may have no more files than it has",
        literal("raise LimitNOFILE in service_limits"),
        f"pid=$(systemctl show -p MainPID --value {UNIT}); n=$(ls /proc/$pid/fd | wc -l);"
        " prlimit --pid $pid --nofile=$n:$n",
        directive("LimitNOFILE=65536", then=f"systemctl restart {UNIT}; {WELL}"),
    ),
    look(
        "not_ready_yet",
        "the service takes its time to be ready",
        literal("wait, and look in its log for what it waits for"),
        directive("Environment=APP_BOOT_DELAY=20s", then=f"systemctl restart --no-block {UNIT}; sleep 3"),
        f"sleep 20; {WELL}",
    ),
    look(
        "not_running",
        "somebody has stopped the instance of the service",
        rf"run (?P<command>systemctl restart {SERVICE})",
        f"systemctl mask --runtime {SERVICE}-guard.service; systemctl stop {UNIT}",
        f"<command>; {WELL}",
        f"systemctl unmask --runtime {SERVICE}-guard.service",
    ),
    look(
        "start_failed",
        "the service does not take a setting, and was restarted",
        rf"correct what the lines say, then run (?P<command>systemctl start {SERVICE})",
        directive("Environment=DRAIN_LINGER=soon", then=f"systemctl restart {SERVICE} || true"),
        f"rm {DROP_IN}; systemctl daemon-reload; <command>; {WELL}",
    ),
    look(
        "not_executed",
        "systemd cannot enter the working directory",
        LOG,
        directive("WorkingDirectory=/srv/later-made"),
        f"mkdir /srv/later-made; systemctl restart {UNIT}; {WELL}; {LATER}",
        "rmdir /srv/later-made",
    ),
    look(
        "process_exited",
        "the service does not take a setting",
        LOG,
        directive("Environment=DRAIN_LINGER=soon"),
        MENDED,
    ),
    look(
        "process_failed",
        "systemd cannot read the environment of the unit",
        LOG,
        directive("EnvironmentFile=/srv/later-made.env"),
        f"touch /srv/later-made.env; systemctl restart {UNIT}; {WELL}; {LATER}",
        "rm -f /srv/later-made.env",
    ),
    look("process_killed", "somebody kills the service", LOG, directive("Restart=no", then=ONCE), MENDED),
    look(
        "start_timed_out",
        "the service never says that it is ready",
        LOG,
        directive("Environment=APP_NEVER_READY=true", "TimeoutStartSec=2", "Restart=no"),
        MENDED,
    ),
    look(
        "stop_timed_out",
        "the service does not end when it is told to",
        rf"find out in its log what it waited for, then run (?P<command>systemctl start {SERVICE})",
        directive(
            "KillSignal=SIGCONT",
            "TimeoutStopSec=1",
            then=f"systemctl restart {UNIT}; {WELL}; systemctl stop {SERVICE}",
        ),
        f"rm {DROP_IN}; systemctl daemon-reload; <command>; {WELL}",
    ),
    look(
        "watchdog_missed",
        "the service hangs",
        LOG,
        directive(
            "WatchdogSec=2",
            "TimeoutStopSec=1",
            "TimeoutAbortSec=1",
            "Restart=no",
            then=f"systemctl restart {UNIT}; systemctl kill --signal=STOP {UNIT}; sleep 5; {FAILED}",
        ),
        MENDED,
    ),
    look(
        "dependency_certificate",
        "the certificate of a dependency ends in some days",
        r"renew the certificate of (?P<name>\w+)",
        PAYMENTS.format(days=5)
        + "; "
        + depends(name="payments", priority="high", url="https://127.0.0.1:9302/", ca_file="/srv/payments.pem"),
        PAYMENTS.format(days=90),
        f"cp -p /srv/record {RECORD}; systemctl stop payments",
    ),
    replace(
        look(
            "dependency_not_asked",
            "the entry of a dependency was edited",
            r"correct service_dependencies, then run site\.yml",
            depends(name="database", priority="high", address="nowhere"),
            "",
        ),
        then=Playbook("site", variables("1.0.0", "@files/shop-1.0.0")),
    ),
]
