"""The HAProxy in front of the fleet: its configuration, the state of its servers, and its log of users' requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import inside
from waiting import wait

PORT, BACKEND = 80, "shop"
SOCKET = "/run/haproxy/admin.sock"
UNIT = """[Service]
LogRateLimitIntervalSec=0
"""
CONFIGURATION = """global
  log stdout format raw local0 info
  stats socket {socket} mode 660 level admin
  user haproxy
  group haproxy

defaults
  mode http
  log global
  log-format "%s %ST %ts"
  option redispatch 1
  retries 3
  timeout connect 1s
  timeout client 30s
  timeout server 15s
  timeout check 5s

frontend users
  bind :{port}
  default_backend {backend}

backend {backend}
  balance roundrobin
  option httpchk GET /readyz
  default-server inter 1s fall 3 rise 2
{servers}
"""
_DRAINED, _MAINTAINED = 0x18, 0x27  # bits of srv_admin_state
_CLIENT_LEFT = ("C", "c")


@dataclass(frozen=True)
class Told:
    """What HAProxy has written down of the users' requests."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


def parse_log(lines: Iterable[str]) -> Told:
    """One line for each request: who answered it, the status, and how it ended. `-` and <NOSRV>: nobody."""
    told = Told()
    for line in lines:
        words = line.split()
        if len(words) != 3 or not words[1].lstrip("-").isdigit():
            continue
        server, status, ended = words
        # A stream is left by its user, who has had its first events.
        good = status.startswith("2") and (ended == "--" or ended[0] in _CLIENT_LEFT)
        (told.answered if good else told.failed)[server] += 1
    return told


def parse_states(text: str) -> dict[str, str]:
    """`show servers state`: each server is `up`, `down`, `drained` or `in maintenance`."""
    lines = [line.split() for line in text.splitlines()]
    header = next(line[1:] for line in lines if line[:1] == ["#"])
    found = {}
    for line in lines:
        if line and line[0] != "#" and len(line) > 1:
            row = dict(zip(header, line))
            admin = int(row["srv_admin_state"])
            state = "up" if int(row["srv_op_state"]) == 2 else "down"
            found[row["srv_name"]] = (
                "drained" if admin & _DRAINED else "in maintenance" if admin & _MAINTAINED else state
            )
    return found


class Balancer:
    def __init__(self, container: str, address: str, addresses: Mapping[str, str], port: int) -> None:
        self.container, self.address = container, address
        self.url = f"http://{address}:{PORT}/"
        self._addresses, self._port = addresses, port

    def set_up(self) -> None:
        inside.script(
            self.container,
            "command -v haproxy socat >/dev/null || { apt-get -qq update;"
            " DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends haproxy socat; }",
        )
        self._write("/etc/systemd/system/haproxy.service.d/log.conf", UNIT)
        self._write("/etc/haproxy/haproxy.cfg", self._configuration())
        inside.script(self.container, "systemctl daemon-reload; systemctl restart haproxy")
        self.wait_up()

    def _configuration(self) -> str:
        servers = [f"  server {name} {ip}:{self._port} check" for name, ip in self._addresses.items()]
        return CONFIGURATION.format(socket=SOCKET, port=PORT, backend=BACKEND, servers="\n".join(servers))

    def _write(self, path: str, text: str) -> None:
        inside.script(self.container, f"install -D -m 0644 /dev/stdin {path} <<'END'\n{text}END\n")

    def moved(self, name: str, address: str) -> None:
        """A host that has been off may have another address now."""
        self._addresses = {**self._addresses, name: address}
        self._write("/etc/haproxy/haproxy.cfg", self._configuration())
        self.ask(f"set server {BACKEND}/{name} addr {address} port {self._port}")

    def ask(self, command: str) -> str:
        return inside.script(self.container, f"echo '{command}' | socat - UNIX-CONNECT:{SOCKET}")

    def states(self) -> dict[str, str]:
        return parse_states(self.ask(f"show servers state {BACKEND}"))

    def wait_up(self, *besides: str) -> None:
        wait("HAProxy has all servers", lambda: self._up(besides), 60)

    def _up(self, besides: Iterable[str]) -> bool:
        return all(state == "up" for name, state in self.states().items() if name not in besides)

    def cursor(self) -> str:
        """Where its log is now."""
        shown = inside.run(self.container, "journalctl", "-u", "haproxy", "-n", "0", "--show-cursor")
        return shown.rpartition("cursor: ")[2]

    def told(self, since: str) -> Told:
        return parse_log(
            inside.run(
                self.container, "journalctl", "-u", "haproxy", "-o", "cat", "-q", f"--after-cursor={since}"
            ).splitlines()
        )
