"""The units of the table: directives, programs and files, each with each, and by hand where they meet."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

BIN = "/opt/bench/bin"

# Run on each host before the units: users, directories, links, mounts.
FILES = r"""
set -e
getent group team >/dev/null || groupadd team
getent passwd svc >/dev/null || useradd --system --home-dir /home/svc --no-create-home svc
getent passwd homeless >/dev/null || useradd --system --home-dir /home/nowhere --no-create-home homeless
cp -f /opt/bench/ld-musl-x86_64.so.1 /lib/ld-musl-x86_64.so.1
place() { mkdir -p $1; cp -a /opt/bench/bin/static /opt/bench/bin/dyn /opt/bench/bin/sh /opt/bench/bin/envlib $1; }
for d in /home/svc/bin /root/bin /srv/closed/bin /srv/team/bin /srv/acl/bin /tmp/bench /var/tmp/bench /srv/own /srv/data
do place $d; done
for s in state static; do place /var/lib/$s/bin; done
mkdir -p /var/lib/private/dyn && place /var/lib/private/dyn/bin && ln -sfn private/dyn /var/lib/dyn
chmod 0700 /var/lib/private
chmod 0700 /srv/closed /root
chown root:team /srv/team; chmod 0750 /srv/team
chown svc /home/svc /srv/own /srv/own/*; chmod 0700 /srv/own/*
mkdir -p /srv/modes /srv/links /srv/noexec /opt/envs /srv/work/closed/in /srv/empty /srv/deps
for m in 0644 0700 0711 0750 0755 4755 0111; do cp /opt/bench/bin/static /srv/modes/$m; chmod $m /srv/modes/$m
  cp /opt/bench/bin/sh /srv/modes/sh$m; chmod $m /srv/modes/sh$m; done
mountpoint -q /srv/noexec || mount -t tmpfs -o noexec,mode=0755 tmpfs /srv/noexec
place /srv/noexec/bin; mkdir -p /srv/noexec/deps; cp /opt/bench/deps/* /srv/noexec/deps
chmod 0700 /srv/work/closed
ln -sfn /home/svc/bin /srv/links/home; ln -sfn /opt/bench/bin /srv/links/bin; ln -sfn /srv/links/bin /srv/links/again
ln -sfn /srv/closed/bin/static /srv/links/closed; ln -sfn /nonexistent /srv/links/broken; ln -sfn loop /srv/links/loop
for d in /home/svc/deps /srv/closed/deps; do mkdir -p $d; cp /opt/bench/deps/libf.so.1 $d; done
ln -sfn /home/svc/deps/libf.so.1 /srv/deps/libf.so.1
echo LD_LIBRARY_PATH=/opt/bench/deps > /opt/envs/a.env; echo LD_LIBRARY_PATH=/none > /opt/envs/b.envx
printf '# note\nLD_LIBRARY_PATH="/opt/bench/deps"\n' > /opt/envs/quoted; mkdir -p /opt/envs/folder
mkdir -p /srv/jail/bin /srv/jail/lib64 /srv/jail/lib/x86_64-linux-gnu /srv/jail/usr /srv/jail/opt/bench /srv/jail/data
for d in proc sys dev run tmp var/tmp etc var/lib home; do mkdir -p /srv/jail/$d; done
for p in static dyn sh envlib static-pie; do cp /opt/bench/bin/$p /srv/jail/bin; done
cp -L /lib64/ld-linux-x86-64.so.2 /srv/jail/lib64; cp -L /lib/x86_64-linux-gnu/libc.so.6 /srv/jail/lib/x86_64-linux-gnu
mkdir -p /srv/bare/bin; cp /opt/bench/bin/static /opt/bench/bin/dyn /srv/bare/bin
for d in proc sys dev run tmp var/tmp etc; do mkdir -p /srv/bare/$d; done
ln -sfn /bin /srv/jail/link
"""


class Row(NamedTuple):
    """One unit: the program that it starts, and the lines beside ExecStart=."""

    program: str
    lines: tuple[str, ...]


PROGRAMS = (
    "static",
    "static-pie",
    "static32",
    "dyn32",
    "dyn",
    "dyn-fixed",
    "envlib",
    "deps-lib",
    "text-lib",
    "stack-lib",
    "rwx-lib",
    "stack-both",
    "dyn-stack",
    "dyn-rwx",
    "entry-nowhere",
    "entry-in-data",
    "musl",
    "musl-static",
    "musl-lib",
    "musl-nolib",
    "sh",
    "env",
    "env-gone",
    "gone",
    "crlf",
    "of-script",
    "of-dyn",
    "of-envlib",
    "no-line",
)
COMMON = ("static", "dyn", "sh", "envlib")

DIRECTIVES: tuple[tuple[str, ...], ...] = (
    (),
    ("User=svc",),
    ("DynamicUser=yes",),
    ("MemoryDenyWriteExecute=yes",),
    ("SystemCallArchitectures=x86-64",),
    ("SystemCallArchitectures=x86",),
    ("SystemCallArchitectures=native", "NoNewPrivileges=yes"),
    ("Environment=LD_LIBRARY_PATH=/opt/bench/deps",),
    ("EnvironmentFile=/opt/envs/*.env", "User=svc"),
    ("ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes"),
)

PLACES = (
    "/home/svc/bin",
    "/root/bin",
    "/srv/closed/bin",
    "/srv/team/bin",
    "/srv/own",
    "/srv/noexec/bin",
    "/tmp/bench",
    "/srv/links/home",
    "/srv/links/again",
    "/var/lib/static/bin",
)
SANDBOXES: tuple[tuple[str, ...], ...] = (
    (),
    ("User=svc",),
    ("User=svc", "SupplementaryGroups=team"),
    ("ProtectHome=yes",),
    ("ProtectHome=tmpfs", "User=svc"),
    ("PrivateTmp=yes",),
    ("CapabilityBoundingSet=",),
)

MISSING: tuple[tuple[str, ...], ...] = tuple(
    tuple(text.split("|"))
    for text in (
        "EnvironmentFile=/opt/none.env",
        "EnvironmentFile=-/opt/none.env",
        "EnvironmentFile=/opt/none/*.env",
        "EnvironmentFile=-/opt/none/*.env",
        "EnvironmentFile=/opt/envs/folder",
        "EnvironmentFile=/opt/envs/quoted",
        "WorkingDirectory=/opt/none",
        "WorkingDirectory=-/opt/none",
        "WorkingDirectory=/opt/bench",
        "WorkingDirectory=/opt/envs/a.env",
        "WorkingDirectory=/srv/work/closed",
        "WorkingDirectory=/srv/work/closed|User=svc",
        "WorkingDirectory=/srv/work/closed/in|User=svc",
        "WorkingDirectory=-/srv/work/closed/in|User=svc",
        "WorkingDirectory=/srv/work/closed/in|CapabilityBoundingSet=",
        "WorkingDirectory=/srv/links/broken",
        "WorkingDirectory=/srv/links/bin",
        "WorkingDirectory=~|User=svc",
        "WorkingDirectory=~|User=homeless",
        "WorkingDirectory=-~|User=homeless",
        "WorkingDirectory=/home/svc|ProtectHome=yes|User=svc",
        "WorkingDirectory=/home/svc|ProtectHome=tmpfs|User=svc",
        "WorkingDirectory=/home|ProtectHome=tmpfs|User=svc",
        "WorkingDirectory=/home|ProtectHome=yes|User=svc",
        "WorkingDirectory=/home|ProtectHome=yes",
        "WorkingDirectory=/home/svc|ProtectHome=read-only|User=svc",
        "WorkingDirectory=/tmp/bench|PrivateTmp=yes",
        "WorkingDirectory=/var/lib/made|StateDirectory=made|User=svc",
        "WorkingDirectory=/run/one|RuntimeDirectory=one/two|User=svc",
        "WorkingDirectory=/var/cache/made|CacheDirectory=made|DynamicUser=yes",
        "WorkingDirectory=/var/lib/other|StateDirectory=made",
        "User=nosuchuser",
        "User=4711",
        "User=0",
        "User=svc|Group=nosuchgroup",
        "Group=4711",
        "Group=team",
        "SupplementaryGroups=nosuchgroup",
        "SupplementaryGroups=team root",
        "User=newuser|DynamicUser=yes",
        "RootDirectory=/srv/none",
        "BindPaths=/srv/none:/srv/empty",
        "BindPaths=-/srv/none:/srv/empty",
        "BindReadOnlyPaths=/srv/none",
        "BindReadOnlyPaths=/srv/data:/srv/new/deep",
        "BindPaths=/srv/links/broken:/srv/empty",
        "ReadWritePaths=/srv/none",
        "ReadWritePaths=-/srv/none",
        "ReadWritePaths=/srv/data",
        "ReadWritePaths=/var/lib/fresh|StateDirectory=fresh|ProtectSystem=strict",
        "ReadOnlyPaths=/srv/none",
        "ReadOnlyPaths=/srv/none|InaccessiblePaths=/srv/empty",
        "ReadOnlyPaths=/srv/empty/none|InaccessiblePaths=/srv/empty",
        "ReadOnlyPaths=/srv/data/bin|TemporaryFileSystem=/srv/data",
        "InaccessiblePaths=/srv/none",
        "InaccessiblePaths=-/srv/none",
        "InaccessiblePaths=/srv/links/broken",
        "ExecPaths=/srv/none",
        "NoExecPaths=/srv/none",
        "NoExecPaths=-/srv/none",
        "TemporaryFileSystem=/srv/none",
        "LoadCredential=key:/opt/none",
        "StandardInput=file:/opt/none",
        "StandardInput=file:/opt/envs/a.env",
        "StandardOutput=append:/opt/none/log",
        "StandardOutput=append:/tmp/units.log",
        "StandardError=truncate:/opt/none/log",
    )
)

# Directives that decide where a program is and whether it may be executed there.
PATHS: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (text.split(" ", 1)[0], tuple(text.split(" ", 1)[1].split("|")))
    for text in (
        "/srv/data/static InaccessiblePaths=/srv/data",
        "/srv/data/static InaccessiblePaths=/srv/data/dyn",
        "/srv/data/static InaccessiblePaths=/srv/data/static",
        "/srv/data/static InaccessiblePaths=/srv/links",
        "/srv/links/again/static InaccessiblePaths=/srv/links",
        "/opt/bench/bin/static InaccessiblePaths=/srv/links/again",
        "/opt/bench/bin/dyn InaccessiblePaths=/lib64",
        "/opt/bench/bin/dyn InaccessiblePaths=/bin",
        "/opt/bench/bin/sh InaccessiblePaths=/bin",
        "/opt/bench/bin/sh InaccessiblePaths=/usr/bin/dash",
        "/opt/bench/bin/deps-lib InaccessiblePaths=/opt/bench/deps",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/deps",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/deps|ProtectHome=yes",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/deps|ProtectHome=tmpfs",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/deps|ProtectHome=tmpfs|BindPaths=/home/svc/deps",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/closed/deps",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/closed/deps|User=svc",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/noexec/deps",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/srv/noexec/deps:/opt/bench/deps",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=|EnvironmentFile=/opt/envs/quoted",
        "/opt/bench/bin/envlib EnvironmentFile=/opt/envs/a.*",
        "/opt/bench/bin/envlib EnvironmentFile=/opt/envs/?.env*",
        "/opt/bench/bin/envlib EnvironmentFile=/opt/envs/a.env|UnsetEnvironment=LD_LIBRARY_PATH",
        "/opt/bench/bin/envlib Environment=LD_LIBRARY_PATH=/opt/bench/deps|NoExecPaths=/opt/bench/deps",
        "/opt/bench/bin/envlib Environment=LD_PRELOAD=/opt/bench/deps/libf.so.1",
        "/opt/bench/bin/envlib WorkingDirectory=/opt/bench/deps|Environment=LD_LIBRARY_PATH=:/none",
        "/home/svc/bin/static ProtectHome=yes|BindReadOnlyPaths=/home/svc/bin",
        "/home/svc/bin/static ProtectHome=tmpfs|BindReadOnlyPaths=/home/svc/bin",
        "/home/svc/bin/static ProtectHome=tmpfs|BindReadOnlyPaths=/home/svc|User=svc",
        "/root/bin/static ProtectHome=tmpfs|BindReadOnlyPaths=/root/bin",
        "/root/bin/static ProtectHome=tmpfs|BindReadOnlyPaths=/root/bin|User=svc",
        "/srv/empty/static BindReadOnlyPaths=/home/svc/bin:/srv/empty|ProtectHome=yes",
        "/srv/empty/dyn BindPaths=/srv/closed/bin:/srv/empty|User=svc",
        "/srv/empty/bin/dyn BindPaths=/srv/closed:/srv/empty|User=svc",
        "/srv/empty/dyn BindPaths=/srv/noexec/bin:/srv/empty",
        "/srv/new/place/static BindPaths=/srv/data:/srv/new/place|User=svc",
        "/srv/links/bin/static BindPaths=/srv/empty:/opt/bench/bin",
        "/srv/data/static BindPaths=/srv/empty:/srv/data",
        "/srv/data/static TemporaryFileSystem=/srv",
        "/srv/data/static TemporaryFileSystem=/srv|BindReadOnlyPaths=/srv/data",
        "/srv/data/static TemporaryFileSystem=/srv:ro|BindReadOnlyPaths=/srv/data|User=svc",
        "/srv/data/static TemporaryFileSystem=/srv/data|BindPaths=/srv/data",
        "/srv/data/static InaccessiblePaths=/srv|BindPaths=/srv/data",
        "/opt/bench/bin/static TemporaryFileSystem=/|BindReadOnlyPaths=/opt",
        "/opt/bench/bin/dyn TemporaryFileSystem=/|BindReadOnlyPaths=/opt",
        "/opt/bench/bin/dyn TemporaryFileSystem=/|BindReadOnlyPaths=/opt /usr /lib /lib64",
        "/opt/bench/bin/sh TemporaryFileSystem=/|BindReadOnlyPaths=/opt /usr /lib /lib64",
        "/srv/data/static NoExecPaths=/srv",
        "/srv/data/sh NoExecPaths=/srv",
        "/opt/bench/bin/sh NoExecPaths=/bin",
        "/opt/bench/bin/sh NoExecPaths=/usr/bin/dash",
        "/opt/bench/bin/dyn NoExecPaths=/lib64",
        "/opt/bench/bin/dyn NoExecPaths=/usr/lib",
        "/srv/data/static NoExecPaths=/|ExecPaths=/srv/data",
        "/srv/data/dyn NoExecPaths=/|ExecPaths=/srv/data",
        "/srv/data/dyn NoExecPaths=/|ExecPaths=/srv/data /usr/lib /lib64",
        "/srv/data/dyn NoExecPaths=/|ExecPaths=/srv/data /usr",
        "/srv/data/static NoExecPaths=/srv/data|ExecPaths=/srv",
        "/srv/data/static NoExecPaths=/srv|ExecPaths=/srv/data/static",
        "/srv/empty/static BindPaths=/srv/data:/srv/empty|NoExecPaths=/srv",
        "/srv/empty/static BindPaths=/srv/data:/srv/empty|NoExecPaths=/srv/data",
        "/srv/empty/static BindPaths=/srv/data:/srv/empty|NoExecPaths=/srv/empty",
        "/srv/data/static ReadOnlyPaths=/srv/data|NoExecPaths=/srv",
        "/srv/noexec/bin/static ExecPaths=/srv/noexec",
        "/srv/noexec/bin/static ExecPaths=/srv/noexec|NoExecPaths=/srv/data",
        "/var/lib/state/bin/static StateDirectory=state|DynamicUser=yes",
        "/var/lib/dyn/bin/static StateDirectory=dyn|DynamicUser=yes",
        "/var/lib/private/dyn/bin/dyn StateDirectory=dyn|DynamicUser=yes",
        "/var/lib/dyn/bin/static StateDirectory=another|DynamicUser=yes",
        "/var/lib/dyn/bin/static DynamicUser=yes",
        "/var/lib/dyn/bin/static User=svc",
        "/var/lib/dyn/bin/static ",
        "/var/lib/static/bin/static StateDirectory=static|User=svc",
        "/tmp/bench/static DynamicUser=yes",
        "/tmp/bench/static PrivateTmp=yes|BindReadOnlyPaths=/tmp/bench",
        "/var/tmp/bench/static PrivateTmp=yes",
        "/home/svc/bin/static DynamicUser=yes",
        "/bin/static RootDirectory=/srv/jail",
        "/bin/dyn RootDirectory=/srv/jail",
        "/bin/static-pie RootDirectory=/srv/jail|User=svc",
        "/bin/sh RootDirectory=/srv/jail",
        "/bin/envlib RootDirectory=/srv/jail|Environment=LD_LIBRARY_PATH=/opt/bench/deps",
        "/bin/envlib RootDirectory=/srv/jail|Environment=LD_LIBRARY_PATH=/opt/bench/deps|BindReadOnlyPaths=/opt/bench",
        "/bin/dyn RootDirectory=/srv/bare",
        "/bin/static RootDirectory=/srv/bare",
        "/bin/dyn RootDirectory=/srv/bare|BindReadOnlyPaths=/usr /lib /lib64",
        "/link/static RootDirectory=/srv/jail",
        "/opt/bench/bin/dyn RootDirectory=/srv/jail|BindReadOnlyPaths=/opt/bench",
        "/opt/bench/bin/static RootDirectory=/srv/jail",
        "/bin/static RootDirectory=/srv/jail|InaccessiblePaths=/bin",
        "/bin/static RootDirectory=/srv/jail|InaccessiblePaths=+/bin",
        "/bin/static RootDirectory=/srv/jail|NoExecPaths=+/bin",
        "/bin/static RootDirectory=/srv/jail|NoExecPaths=/data",
        "/bin/static RootDirectory=/srv/jail|WorkingDirectory=/data",
        "/bin/static RootDirectory=/srv/jail|WorkingDirectory=/srv/data",
        "/bin/static RootDirectory=/srv/jail|ReadOnlyPaths=/srv/data",
        "/bin/static RootDirectory=/srv/jail|ReadOnlyPaths=/data",
        "/bin/static RootDirectory=/srv/jail|StateDirectory=state2|WorkingDirectory=/var/lib/state2|User=svc",
        "/bin/static RootDirectory=/srv/links/broken",
        "/srv/links/closed User=svc",
        "/srv/links/closed ",
        "/srv/links/broken ",
        "/srv/links/loop ",
        "/srv/none/static ",
        "/srv/data ",
    )
)


def mixed(count: int, seed: int) -> Iterator[Row]:
    """Any program of the rows above with two or three of their sets of lines: what nobody has thought of."""
    chance = random.Random(seed)
    sets = sorted({row.lines for row in listed() if row.lines and not any("none" in line for line in row.lines)})
    places = sorted({row.program for row in listed()})
    for _number in range(count):
        lines = tuple(itertools.chain(*chance.sample(sets, chance.choice((2, 2, 3)))))
        yield Row(chance.choice(places), tuple(dict.fromkeys(lines)))


def listed() -> Iterator[Row]:
    for lines, name in itertools.product(DIRECTIVES, PROGRAMS):
        yield Row(f"{BIN}/{name}", lines)
    for place, sandbox, name in itertools.product(PLACES, SANDBOXES, COMMON[:3]):
        yield Row(f"{place}/{name}", sandbox)
    for lines in MISSING:
        yield Row(f"{BIN}/dyn", lines)
    for program, lines in PATHS:
        yield Row(program, tuple(line for line in lines if line))
    for mode, lines in itertools.product(("0644", "0700", "0711", "0750", "0755", "4755", "0111"), ((), ("User=svc",))):
        yield Row(f"/srv/modes/{mode}", lines)
        yield Row(f"/srv/modes/sh{mode}", lines)
