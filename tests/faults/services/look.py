"""What a host has of each service, so that two looks show whose part a run has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import inside

# Everything that names a service, but for the record of what happened and the watch's last look.
_LOOK = r"""
for name in {names}; do
  echo "== $name"
  find /etc/systemd/system/$name.service /etc/systemd/system/$name.socket /etc/systemd/system/$name@.service \
    /etc/systemd/system/$name-*.service /etc/systemd/system/$name-*.socket /etc/$name /etc/slipway/services/$name.json \
    /etc/slipway/ports/$name.json /etc/slipway/watch/$name.json /etc/slipway/firewall/$name.json \
    /etc/haproxy/slipway.d/$name.cfg /etc/haproxy/slipway.live/$name.cfg /etc/logrotate.d/$name \
    -type f 2>/dev/null | sort | xargs -r sha256sum
  readlink /opt/$name/current
  systemctl show --property Id,MainPID,ActiveState,NRestarts "$name@*.service" "$name.socket" | grep -v '^$'
  grep -h "$name" /etc/sudoers.d/* 2>/dev/null | tr ',' '\n' | grep -w "$name"
  ufw status 2>/dev/null | grep -w "$(cat /etc/slipway/firewall/$name.json 2>/dev/null | grep -o '[0-9]*')"
done
"""


def services(container: str, names: Iterable[str]) -> dict[str, str]:
    text = inside.run(container, "sh", "-c", _LOOK.replace("{names}", " ".join(names)), check=False)
    parts = text.split("== ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [name for name in before if before[name] != after.get(name)]
