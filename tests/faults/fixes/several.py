"""Scenes of several services of one host, and of the hosts that a run is about."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import inventory_hostnames
from ansible.template import Templar
from ansible_collections.slipway.go.plugins.action import variables as plugin
from ansible_collections.slipway.go.plugins.module_utils._host import sockets
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import reserved_ports
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage

SCENES = Scenes()
UNDECLARED = r"correct service_name, or declare (?P<name>\w+) in slipway_services"


def run_about(wanted: str, *declared: str) -> None:
    """A run with this service_name, on a host that declares these services."""
    declared_services.check_choice({"web1": (declared, wanted)})


@SCENES.row("undeclared_service", "service_name is misspelt", UNDECLARED, "another `service_name`")
def _scene(stage: Stage) -> None:
    stage.fails(lambda: run_about("shpo", "shop", "mailer"))
    stage.passes(lambda: run_about("shop", "shop", "mailer"))


@SCENES.row("undeclared_service", "a service is new", UNDECLARED, "another `slipway_services`")
def _scene(stage: Stage) -> None:
    name = stage.fails(lambda: run_about("books", "shop", "mailer"))["name"]
    stage.passes(lambda: run_about("books", "shop", "mailer", name))


for how, variable, value, other in (
    ("two services have one port", "service_listen", "8080", "8081"),
    ("two services have one directory", "service_root", "/srv/shop", "/srv/mailer"),
    ("two services have one local port behind HAProxy", "service_proxy_ports", "18500", "18502"),
):

    @SCENES.row(
        "services_clash",
        how,
        r"give (?P<name>\w+) or (?P<other>\w+) another one in slipway_services",
        f"another `{variable}`",
    )
    def _scene(stage: Stage, variable: str = variable, value: str = value, other: str = other) -> None:
        of_each: dict[str, dict[str, list[str]]] = {"shop": {variable: [value]}, "mailer": {variable: [value]}}
        found = stage.fails(lambda: declared_services.check_together("shop", of_each))
        of_each[found["other"]][variable] = [other]
        stage.passes(lambda: declared_services.check_together("shop", of_each))


# --- the hosts of a run

GROUPS = {"all": ["web1", "db1"], "web": ["web1"]}


class Variables(plugin.ActionModule):
    """The judge of a run's variables."""

    def __init__(self) -> None:
        self._loader = DataLoader()
        self._templar = Templar(self._loader)

    def _matching(self, pattern: str, variables: Mapping[str, Any]) -> list[str]:
        """The same lookup, without the loader of plugins, which a play sets up."""
        lookup = inventory_hostnames.LookupModule(self._loader, self._templar)
        return list(map(str, lookup.run([pattern], variables=dict(variables))))

    def judge(self, hosts: list[str], given: Mapping[str, Any]) -> None:
        """Each host of the play has these variables."""
        hostvars = SimpleNamespace(raw_get=lambda _host: given)
        told = {"ansible_play_hosts_all": hosts, "hostvars": hostvars, "groups": GROUPS}
        self._refuse_hosts({**given, **told, "inventory_hostname": hosts[0]})


@SCENES.row(
    "pattern_without_effect",
    "slipway_hosts is in the inventory",
    r"give it as an extra variable, -e (?P<name>\w+)=…, and take it out of the inventory",
    "`-e slipway_hosts=web`",
)
def _scene(stage: Stage) -> None:
    judge = Variables()
    name = stage.fails(lambda: judge.judge(GROUPS["all"], {"slipway_hosts": "web"}))["name"]
    # An extra variable decides which hosts a play has, and is a variable of these.
    stage.passes(lambda: judge.judge(judge._matching("web", {"groups": GROUPS}), {name: "web"}))


# --- local ports behind HAProxy


def layout(stage: Stage, name: str) -> Layout:
    places = ("state_root", "config_root", "unit_root", "proxy_root", "ports_root")
    return Layout(name, str(stage.folder / name), **{place: str(stage.folder / place) for place in places})


def reserve(stage: Stage, name: str, *wanted: int) -> tuple[int, ...]:
    ports, _new = reserved_ports.reserve(layout(stage, name), wanted, False)
    return ports.first


RESERVED = literal("choose another port, or leave service_proxy_ports empty")


@SCENES.row("port_reserved", "service_proxy_ports are another service's", RESERVED, "another `service_proxy_ports`")
def _scene(stage: Stage) -> None:
    reserve(stage, "mailer", 18500, 18501)
    stage.fails(lambda: reserve(stage, "shop", 18501, 18502))
    assert stage.passes(lambda: reserve(stage, "shop", 18502, 18503)) == (18502, 18503)


@SCENES.row("port_reserved", "service_proxy_ports were copied", RESERVED, "no `service_proxy_ports`")
def _scene(stage: Stage) -> None:
    taken = reserve(stage, "mailer")
    stage.fails(lambda: reserve(stage, "shop", *taken))
    assert not set(stage.passes(lambda: reserve(stage, "shop"))) & set(taken)


PUBLIC = literal("choose another port to listen on, or set service_proxy_ports to two other ports")


def reserve_beside(stage: Stage, listen: str, *wanted: int) -> tuple[int, ...]:
    ports, _new = reserved_ports.reserve(layout(stage, "shop"), wanted, False, (), [listen])
    return ports.first


@SCENES.row("port_reserved", "service_listen moves to a local port of the service", PUBLIC, "another `service_listen`")
def _scene(stage: Stage) -> None:
    taken = reserve(stage, "shop")
    stage.fails(lambda: reserve_beside(stage, str(taken[1])))
    assert stage.passes(lambda: reserve_beside(stage, "8080")) == taken


@SCENES.row(
    "port_reserved", "service_listen moves to a local port, and stays there", PUBLIC, "other `service_proxy_ports`"
)
def _scene(stage: Stage) -> None:
    taken = reserve(stage, "shop")
    stage.fails(lambda: reserve_beside(stage, str(taken[1])))
    assert stage.passes(lambda: reserve_beside(stage, str(taken[1]), 18502, 18503)) == (18502, 18503)


LISTENS = r"choose another port, or give (?P<service>\w+) other service_proxy_ports"


def listens(stage: Stage, port: str) -> None:
    reserved_ports.refuse_reserved(layout(stage, "shop"), [port])


@SCENES.row(
    "port_reserved", "service_listen has the local port of another service", LISTENS, "another `service_listen`"
)
def _scene(stage: Stage) -> None:
    reserve(stage, "mailer", 18500, 18501)
    stage.fails(lambda: listens(stage, "18500"))
    stage.passes(lambda: listens(stage, "8080"))


@SCENES.row(
    "port_reserved",
    "service_listen has the local port of another service, and keeps it",
    LISTENS,
    "other `service_proxy_ports` of the other service",
)
def _scene(stage: Stage) -> None:
    reserve(stage, "mailer", 18500, 18501)
    reserve(stage, stage.fails(lambda: listens(stage, "18500"))["service"], 18502, 18503)
    stage.passes(lambda: listens(stage, "18500"))


@SCENES.row(
    "no_free_port",
    "every local port is in use",
    literal("give two free ports in service_proxy_ports"),
    "another `service_proxy_ports`",
)
def _scene(stage: Stage) -> None:
    programs = {str(port): port for port in range(18080, reserved_ports.LAST + 1)}
    stage.patch.setattr(sockets, "tcp_listeners", lambda: programs)
    stage.fails(lambda: reserve(stage, "shop"))
    assert stage.passes(lambda: reserve(stage, "shop", 19500, 19501)) == (19500, 19501)
