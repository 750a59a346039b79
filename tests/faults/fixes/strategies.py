"""Scenes of releases behind HAProxy, by a handover, and back to another strategy, on the simulated host."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.abilities import Abilities
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import sockets
from ansible_collections.slipway.go.plugins.module_utils._release import pause, preflight
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import parse_proxy
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import base
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.haproxy import (
    Haproxy,
    Worker,
    parse_servers,
)
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import resume
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import CORRECTED, SEE, bare, host_of
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    Behaviour,
    Faults,
    Host,
    Killed,
)

SCENES = Scenes()
TO_PROXY = "the service is taken up by the role `proxy`"


def counted(host: Host, failures: int) -> None:
    """From now on, every look at HAProxy finds 100 more requests of users at each server that is ready; those at the
    second one fail so often."""
    asked = host.haproxy.servers

    def servers(worker: Worker, backend: str) -> Any:
        for slot, now in host.haproxy.servers_now.items():
            if now.state == "ready":
                more = failures if slot == "b" else 0
                host.haproxy.servers_now[slot] = now._replace(requests=now.requests + 100, failures=now.failures + more)
        return asked(worker, backend)

    host.haproxy.servers = servers


CANARY = literal("see what the release logged, or correct the limit")


@SCENES.row("canary_failed", "requests of users fail at the new release", CANARY, CORRECTED)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.proxy = {"weights": [5], "step_time": 1}
    counted(host, 30)
    stage.fails(lambda: host.release("v2"))
    del host.haproxy.servers
    counted(host, 0)
    stage.passes(lambda: host.release("v3"))


@SCENES.row(
    "canary_failed", "some requests may fail, and the limit allows fewer", CANARY, "another `release_max_errors`"
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.proxy = {"weights": [5], "step_time": 1, "max_errors": 1.0}
    counted(host, 10)
    stage.fails(lambda: host.release("v2"))
    host.proxy = {**host.proxy, "max_errors": 20.0}
    stage.passes(lambda: host.release("v2"))


INCONCLUSIVE = literal(
    "give the steps more time (release_step_time, release_soak_time) or set release_inconclusive: accept"
)


@SCENES.row(
    "nobody_chosen",
    "release_weights begins with 0, and HAProxy knows no chosen users",
    literal("set proxy_canary_for and apply the role slipway.go.proxy, or leave 0 out of release_weights"),
    "`proxy_canary_for`, and the role `slipway.go.proxy`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.proxy = {"weights": [0, 100], "step_time": 1}
    stage.fails(lambda: host.release("v2"))
    host.have_chosen()
    stage.passes(lambda: host.release("v2"))


@SCENES.row("inconclusive", "nobody asks during the canary", INCONCLUSIVE, "another `release_inconclusive`")
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.proxy = {"weights": [5], "step_time": 1, "inconclusive": "refuse"}
    stage.fails(lambda: host.release("v2"))
    host.proxy = {**host.proxy, "inconclusive": "accept"}
    stage.passes(lambda: host.release("v2"))


@SCENES.row("inconclusive", "the canary is too short for the traffic", INCONCLUSIVE, "another `release_soak_time`")
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.proxy = {"inconclusive": "refuse"}
    stage.fails(lambda: host.release("v2"))
    counted(host, 0)
    host.soak_time = 60
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "front_failed",
    "HAProxy ends during a swap",
    literal("see journalctl -u haproxy, then release again"),
    "HAProxy stays up, and the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.behaviours["v2"] = Behaviour(loses="during")
    start = host.systemd.start

    def bounced(unit: str) -> None:
        start(unit)
        host.haproxy.restart()

    host.systemd.start = bounced
    stage.fails(lambda: host.release("v2"))
    del host.systemd.start
    host.behave("v2").loses = ""
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "not_proxied",
    "HAProxy has no backend of the service",
    literal("apply the role slipway.go.proxy to this host"),
    TO_PROXY,
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "proxy")
    host.haproxy.servers = lambda _worker, _backend: {}
    stage.fails(lambda: host.release("v1"))
    del host.haproxy.servers
    stage.passes(lambda: host.release("v1"))


@SCENES.row(
    "not_proxied",
    "HAProxy does not listen on the service's port",
    literal("apply the role slipway.go.proxy to this host, then systemctl status haproxy"),
    TO_PROXY,
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "proxy")
    listeners: dict[int, set[str]] = {8080: set()}
    stage.patch.setattr(sockets, "programs", lambda listen: listeners if listen else {})
    stage.fails(lambda: host.release("v1", listen=["8080"]))
    listeners[8080] = {"haproxy"}
    stage.passes(lambda: host.release("v1", listen=["8080"]))


@SCENES.row(
    "other_front",
    "a rollback would lead users past HAProxy",
    r"set service_swap back to (?P<strategy>\w+), apply the roles service and proxy, and release that version",
    "another `service_swap`, the roles, and that version",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    host.switch("proxy")
    host.release("v2")
    found = stage.fails(host.rollback)
    host.switch(found["strategy"])
    host.haproxy.servers = lambda _worker, _backend: {}
    stage.passes(lambda: host.release("v1"))
    assert host.systemd.running() == [host.id_of("v1")]


@SCENES.row(
    "other_front",
    "HAProxy has the port of the socket that a rollback would open",
    literal(
        "take the service out of the proxy (proxy_state: absent), set service_swap back to socket, apply the role"
        " service, and release that version"
    ),
    "`proxy_state: absent`, another `service_swap`, the role `service`, and that version",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    found = host.systemd.instance(host.id_of("v1"))
    found.state, found.pid, found.inode = "inactive", 0, None
    host.systemd.umbrella, host.systemd.socket, host.systemd.enabled = False, None, set()
    host.switch("proxy")
    programs = {8080: {"haproxy"}}
    stage.patch.setattr(sockets, "programs", lambda listen: programs if list(listen) == ["8080"] else {})
    host.behaviours["v2"] = Behaviour(healthy=False)
    with pytest.raises(SlipwayError, match="was rolled back"):
        host.release("v2", listen=["8080"])
    stage.fails(host.rollback)
    programs.clear()
    host.switch("socket")
    stage.passes(lambda: host.release("v1"))
    assert host.settled() == host.id_of("v1")


@SCENES.row(
    "no_slot",
    "somebody has removed the local ports of the releases",
    literal("release another version, which gets a local port of its own"),
    "another version",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    for name in os.listdir(host.layout.slots):
        os.unlink(os.path.join(host.layout.slots, name))
    stage.fails(lambda: status(host))
    host.release("v2")
    stage.passes(lambda: status(host))
    host.settled()


def status(host: Host) -> Any:
    return Operator(host.settings(), host.layout, host.systemd).status()


SEE_HAPROXY = literal("see journalctl -u haproxy")


@SCENES.row(
    "proxy_unreachable",
    "HAProxy does not do what it is told",
    SEE_HAPROXY,
    "HAProxy, which hung by its log, is restarted",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.haproxy.set_address = lambda *_what: None
    host.proxy = {"ports": [19080, 19081]}
    stage.fails(lambda: host.release("v2"))
    del host.haproxy.set_address
    host.haproxy.restart()
    stage.passes(lambda: host.release("v2"))
    host.settled()


@SCENES.row(
    "proxy_unreachable",
    "HAProxy is not there",
    literal("see systemctl status haproxy, or set it up with the role slipway.go.proxy"),
    TO_PROXY,
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.haproxy.workers = Haproxy(str(stage.folder / "none.sock")).workers
    stage.fails(lambda: host.release("v2"))
    del host.haproxy.workers
    stage.passes(lambda: host.release("v2"))
    host.settled()


@SCENES.row(
    "proxy_unexpected",
    "HAProxy is not one that the role has set up",
    literal("use HAProxy 2.4 or newer in master-worker mode, as the role slipway.go.proxy sets it up"),
    TO_PROXY,
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    host.haproxy.servers = lambda _worker, _backend: parse_servers("Unknown command\n")
    stage.fails(lambda: host.release("v2"))
    del host.haproxy.servers
    stage.passes(lambda: host.release("v2"))
    host.settled()


@SCENES.row(
    "units_missing",
    "a release without units of its own is of the strategy socket, whose units are gone",
    literal("set service_swap back to socket and release that version"),
    "another `service_swap`, the role `service`, and that version",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    first = host.id_of("v1")
    shutil.rmtree(os.path.join(host.layout.release(first), "units"))
    without = {key: value for key, value in host.layout.manifest(first).items() if key != "units"}
    with open(os.path.join(host.layout.release(first), "release.json"), "w", encoding="utf-8") as stream:
        json.dump(without, stream)
    host.forget(first)
    host.switch("restart")
    host.release("v2")
    stage.fails(host.rollback)
    host.switch("socket")
    stage.passes(lambda: host.release("v1"))
    assert host.settled() == host.id_of("v1")


@SCENES.row(
    "units_not_restored",
    "the units of the release before cannot be written",
    literal("remove that cause, then release a version, which brings units of its own"),
    "the folder can be written again, and the next version",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.write_unit("second")
    host.behaviours["v2"] = Behaviour(healthy=False)
    install, installed = base.install_units, []

    def once(*arguments: Any) -> None:
        installed.append(arguments)
        if len(installed) > 1:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        install(*arguments)

    stage.patch.setattr(base, "install_units", once)
    stage.fails(lambda: host.release("v2"))
    assert "Read-only file system" in stage.message
    stage.patch.setattr(base, "install_units", install)
    stage.passes(lambda: host.release("v3"))
    host.settled()


@SCENES.row("not_handed_over", "the next process ends at once", SEE, CORRECTED)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "reload")
    host.behaviours["v2"] = Behaviour(ends_in_handover=True)
    assert stage.fails(lambda: host.release("v2"))["unit"] == "shop@current.service"
    stage.passes(lambda: host.release("v3"))
    host.settled()


@SCENES.row(
    "not_handed_over",
    "the service executes a copy of its file",
    literal("let the service start the next process by the path in argv[0], see docs/guide/your-service.md"),
    "the next version executes its own file",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "reload")
    host.own = ""
    host.behaviours["v2"] = Behaviour(runs_a_copy=True)
    stage.fails(lambda: host.release("v2"))
    stage.passes(lambda: host.release("v3"))
    host.settled()


@SCENES.row(
    "restart_ahead",
    "the environment of a service that hands over changes",
    literal("choose the moment of the downtime, or set service_rehearsal where the service can be rehearsed"),
    "the release in a moment of little traffic",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "reload")

    def notices(version: str) -> Any:
        return preflight.notices(host.spec(version), host.layout, host.settings(), None)

    host.own = "changed"
    stage.fails(lambda: notices("v2"))
    assert host.release("v2").restarted_because
    stage.passes(lambda: notices("v3"))
    assert host.release("v3").restarted_because is None


BLIND = Abilities(False, False, False)
OTHER_SWAP = literal("use service_swap: proxy for a server that listens on PORT, or restart, which has a downtime")


def noticed(host: Host, kind: str) -> Any:
    """What is said before a release whose program has nothing of what some strategies and types need."""
    unit = os.path.join(host.layout.units, "shop@.service")
    with open(unit, "w", encoding="utf-8") as stream:
        stream.write(f"[Service]\nType={kind}\nExecStart=/bin/true\n")
    return preflight.notices(host.spec("v2"), host.layout, host.settings(), BLIND)


@SCENES.row("no_listen_fds", "the program opens its port itself", OTHER_SWAP, "another `service_swap`")
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    stage.fails(lambda: noticed(host, "exec"))
    host.switch("proxy")
    stage.passes(lambda: noticed(host, "exec"))


@SCENES.row("no_handover", "the program does not hand over", OTHER_SWAP, "another `service_swap`")
def _scene(stage: Stage) -> None:
    host = host_of(stage, "reload")
    stage.fails(lambda: noticed(host, "exec"))
    host.switch("restart")
    stage.passes(lambda: noticed(host, "exec"))


@SCENES.row(
    "no_notify_socket",
    "the program does not say that it is ready",
    literal("set service_type: exec, and give release_health a check that says when it is ready"),
    "another `service_type`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    stage.fails(lambda: noticed(host, "notify"))
    stage.passes(lambda: noticed(host, "exec"))


# --- a release that waits for a person

ASKED = {"weights": [50], "step_time": 10, "slow": "pause", "pause_time": 20}
RESUMED = "`slipway resume shop` in time"


def slow(stage: Stage) -> Host:
    """v1 serves, v2 is slow, and a person is asked about such a release."""
    host = host_of(stage, "proxy")
    host.users, host.proxy = 100.0, dict(ASKED)
    host.behaviours["v2"] = Behaviour(slow=True)
    stage.patch.setattr(resume, "WITHIN", 0.0)
    return host


def once_paused(stage: Stage, host: Host, act: Callable[[], object]) -> None:
    """What a person does, at the next look of the engine that waits."""
    asked: list[bool] = []

    def answer() -> None:
        waiting = host.store.load()
        if waiting is not None and waiting.paused and not asked:
            asked.append(True)
            act()

    stage.patch.setattr(host, "act_as_person", answer)


@SCENES.row("invalid_slow", "release_slow is another word", literal("use rollback or pause"), "another `release_slow`")
def _scene(stage: Stage) -> None:
    stage.fails(lambda: parse_proxy({"slow": "ask"}))
    stage.passes(lambda: parse_proxy({"slow": "pause"}))


@SCENES.row(
    "never_paused",
    "release_slow is pause, and service_swap is socket",
    literal("use service_swap: proxy with release_weights such as [5, 25, 100], or leave release_slow out"),
    "another `service_swap`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.proxy = dict(ASKED)
    stage.fails(lambda: noticed(host, "exec"))
    host.switch("proxy")
    stage.passes(lambda: noticed(host, "exec"))


@SCENES.row(
    "not_resumed",
    "a release is slow, and nobody is there",
    literal("see what the release logged, or release it again with release_force: true and resume it in time"),
    f"`release_force: true`, and {RESUMED}",
)
def _scene(stage: Stage) -> None:
    host = slow(stage)
    stage.fails(lambda: host.release("v2"))
    host.answers = "resumed"
    stage.passes(lambda: host.release("v2", force=True))


@SCENES.row(
    "sent_back",
    "a release is slow, and a person sends it back",
    literal("see what the release logged, then release a version that is faster"),
    "a version that is faster",
)
def _scene(stage: Stage) -> None:
    host = slow(stage)
    host.answers = "sent_back"
    stage.fails(lambda: host.release("v2"))
    stage.passes(lambda: host.release("v3"))


@SCENES.row("not_paused", "nothing was paused", literal("see sudo slipway history shop"), "a release that is paused")
def _scene(stage: Stage) -> None:
    host = slow(stage)
    stage.fails(lambda: host.engine().resume())
    once_paused(stage, host, lambda: stage.passes(lambda: host.engine().resume()))
    host.release("v2")


@SCENES.row(
    "not_paused",
    "the release waits to be confirmed instead",
    literal("run sudo slipway confirm shop to keep it, or sudo slipway rollback shop"),
    "`slipway confirm shop`",
)
def _scene(stage: Stage) -> None:
    host = slow(stage)
    host.swap("v3")
    stage.fails(lambda: host.engine().resume())
    stage.passes(lambda: host.engine().confirm())


@SCENES.row(
    "not_paused", "the swap goes on by itself", literal("see sudo slipway status shop"), "nothing: the status says so"
)
def _scene(stage: Stage) -> None:
    host = slow(stage)
    asked: list[bool] = []

    def answer() -> None:
        waiting = host.store.load()
        if waiting is not None and waiting.phase == "CANARY" and not asked:
            asked.append(True)
            stage.fails(lambda: host.engine().resume())

    stage.patch.setattr(host, "act_as_person", answer)
    host.release("v3")
    stage.passes(lambda: Operator(host.settings(), host.layout, host.systemd).status(0))


@SCENES.row(
    "interrupted",
    "the run that paused a release was killed",
    literal("run sudo slipway recover shop on the host, then release again"),
    "`slipway recover shop`, and the release again",
)
def _scene(stage: Stage) -> None:
    host = slow(stage)

    def kill() -> None:
        host.faults.dead = True
        raise Killed

    once_paused(stage, host, kill)
    with pytest.raises(Killed):
        host.release("v2")
    host.faults = Faults()
    stage.fails(lambda: host.engine().resume())
    host.engine().recover()
    host.behave("v2").slow = False
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "too_late",
    "a person resumes a release that is going back",
    literal("see what the release logged, then release it again with release_force: true"),
    f"`release_force: true`, and {RESUMED}",
)
def _scene(stage: Stage) -> None:
    host = slow(stage)
    stage.patch.setattr(resume, "WITHIN", 1.0)
    stage.patch.setattr(pause, "say", lambda *_said: None)

    def late() -> None:
        waiting = host.store.load()
        assert waiting is not None
        stage.patch.setattr(resume.pause, "say", lambda *_said: host.store.save(replace(waiting, paused={})))
        stage.fails(lambda: host.engine().resume())

    once_paused(stage, host, late)
    with pytest.raises(SlipwayError):
        host.release("v2")
    stage.patch.setattr(host, "act_as_person", lambda: None)
    host.behave("v2").slow = False
    stage.passes(lambda: host.release("v2", force=True))


@SCENES.row(
    "locked",
    "another release waits for a person",
    literal("run sudo slipway resume shop on the host to have it go on, or sudo slipway resume shop --back"),
    "`slipway resume shop --back`",
)
def _scene(stage: Stage) -> None:
    host = slow(stage)

    def meet() -> None:
        stage.fails(host.rollback)
        host.engine().resume(back=True)

    once_paused(stage, host, meet)
    with pytest.raises(SlipwayError):
        host.release("v2")
    stage.passes(lambda: host.release("v3"))
