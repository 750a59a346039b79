# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No two services behind HAProxy have the same local port, be it free at the moment or not."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import reserved_ports
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.slots import LocalPorts, Record


def layout(folder: Path, name: str) -> Layout:
    places = {
        place: str(folder / place) for place in ("state_root", "config_root", "unit_root", "proxy_root", "ports_root")
    }
    return Layout(name, str(folder / name), **places)


def reserve(folder: Path, name: str, *wanted: int) -> tuple[int, ...]:
    ports, _new = reserved_ports.reserve(layout(folder, name), wanted, False)
    return ports.first


def reserve_more(folder: Path, name: str, *names: str) -> LocalPorts:
    ports, _new = reserved_ports.reserve(layout(folder, name), (), False, names)
    return ports


def test_each_service_has_two_of_its_own_and_keeps_them(tmp_path: Path) -> None:
    first = {name: reserve(tmp_path, name) for name in ("shop", "mailer", "books")}
    assert len({port for ports in first.values() for port in ports}) == 6
    assert {name: reserve(tmp_path, name) for name in reversed(first)} == first
    for name, ports in first.items():
        assert reserved_ports.of_service(layout(tmp_path, name)) == LocalPorts(ports)
        assert reserved_ports.reserve(layout(tmp_path, name), (), False) == (LocalPorts(ports), False)


def test_check_mode_reserves_nothing(tmp_path: Path) -> None:
    ports, new = reserved_ports.reserve(layout(tmp_path, "shop"), (), True)
    assert new
    assert not (tmp_path / "ports_root").exists()
    assert reserve(tmp_path, "shop") == ports.first


def test_each_public_port_has_two_local_ones_and_keeps_them(tmp_path: Path) -> None:
    alone = reserve(tmp_path, "shop")
    one = reserve_more(tmp_path, "shop", "grpc")
    mailer = reserve_more(tmp_path, "mailer", "admin", "grpc")
    assert one.first == alone, "the port that it had stays"
    assert len({*one.all, *mailer.all}) == 4 + 6
    assert reserve_more(tmp_path, "shop", "grpc", "admin").more["grpc"] == one.more["grpc"]
    kept = reserve_more(tmp_path, "shop")
    assert set(kept.more) == {"grpc", "admin"}, "a release of before may come back"
    assert reserved_ports.of_service(layout(tmp_path, "shop")) == kept
    with pytest.raises(SlipwayError, match="belongs to mailer"):
        reserve(tmp_path, "shop", *mailer.more["grpc"])


def test_ports_that_are_wanted_are_taken_from_those_that_the_host_has_chosen(tmp_path: Path) -> None:
    before = reserve_more(tmp_path, "shop", "grpc")
    wanted = before.more["grpc"]
    ports, new = reserved_ports.reserve(layout(tmp_path, "shop"), wanted, False, ["grpc"])
    assert new
    assert ports.first == wanted
    assert len(set(ports.all)) == 4


def test_ports_of_another_service_are_refused_though_nobody_listens(tmp_path: Path) -> None:
    taken = reserve(tmp_path, "mailer", 18500, 18501)
    with pytest.raises(SlipwayError, match="service_proxy_ports has 18501, which belongs to mailer") as refused:
        reserve(tmp_path, "shop", 18499, taken[1])
    assert refused.value.code == "port_reserved"
    with pytest.raises(SlipwayError, match="port 18500 of service_listen belongs to mailer"):
        reserved_ports.refuse_reserved(layout(tmp_path, "shop"), ["8080", "127.0.0.1:18500"])
    reserved_ports.refuse_reserved(layout(tmp_path, "mailer"), ["18500"])
    reserved_ports.refuse_reserved(layout(tmp_path, "shop"), ["8080", "/run/shop.sock"])


def test_a_service_from_before_keeps_the_ports_that_haproxy_knows(tmp_path: Path) -> None:
    (tmp_path / "proxy_root").mkdir()
    record = Record({"a": "127.0.0.1:18080", "b": "127.0.0.1:18081"}, "a")
    (tmp_path / "proxy_root" / "old.cfg").write_text(record.render("old"))
    (tmp_path / "proxy_root" / "00-slipway.cfg").write_text("global\n")
    assert set(reserve(tmp_path, "shop")).isdisjoint({18080, 18081})
    assert reserve(tmp_path, "old") == (18080, 18081)


def test_what_a_service_is_to_listen_on_is_no_local_port(tmp_path: Path) -> None:
    """Its own public port, and that of a service that is declared and not there yet."""
    public = ["18080", "127.0.0.1:18083", "/run/mailer.sock"]
    ports, _new = reserved_ports.reserve(layout(tmp_path, "shop"), (), False, ["grpc"], public)
    assert {18080, 18083}.isdisjoint(ports.all)
    assert reserved_ports.reserve(layout(tmp_path, "shop"), (), False, ["grpc"], public) == (ports, False)
    foreseen, _new = reserved_ports.reserve(layout(tmp_path, "mailer"), (), True, (), ["18086"])
    assert 18086 not in foreseen.all


@pytest.mark.parametrize("wanted", [(), (18080, 18081)], ids=["that it has", "that is wanted"])
def test_a_local_port_that_a_service_is_to_listen_on_is_refused(tmp_path: Path, wanted: tuple[int, ...]) -> None:
    if not wanted:
        assert reserve(tmp_path, "shop") == (18080, 18081)
    with pytest.raises(SlipwayError, match="to listen on port 18081, which is one of the local") as refused:
        reserved_ports.reserve(layout(tmp_path, "shop"), wanted, False, (), ["8080", "18081"])
    assert refused.value.code == "port_reserved"
    assert refused.value.fix == "choose another port to listen on, or set service_proxy_ports to two other ports"
    moved, _new = reserved_ports.reserve(layout(tmp_path, "shop"), (18500, 18501), False, (), ["8080", "18081"])
    assert moved.first == (18500, 18501)


def test_local_ports_of_a_public_port_of_before_give_way_to_what_a_service_listens_on(tmp_path: Path) -> None:
    before = reserve_more(tmp_path, "shop", "grpc")
    listen = [str(before.more["grpc"][0])]
    with pytest.raises(SlipwayError, match="local ports of shop") as refused:
        reserved_ports.reserve(layout(tmp_path, "shop"), (), False, ["grpc"], listen)
    assert refused.value.fix == "choose another port to listen on"
    ports, _new = reserved_ports.reserve(layout(tmp_path, "shop"), (), False, (), listen)
    assert ports == LocalPorts(before.first)


def test_a_port_that_a_program_has_is_not_chosen(tmp_path: Path) -> None:
    ports = reserve(tmp_path, "probe")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", ports[1]))
        listening.listen()
        assert set(reserve(tmp_path / "other", "shop")).isdisjoint(ports)


def test_two_that_choose_at_the_same_time_get_different_ports(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(12)]
    found: dict[str, tuple[int, ...]] = {}

    def run(name: str) -> None:
        found[name] = reserve(tmp_path, name)

    threads = [threading.Thread(target=run, args=[name]) for name in random.Random(7).sample(names, len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({port for ports in found.values() for port in ports}) == 24


def test_a_damaged_reservation_is_named(tmp_path: Path) -> None:
    reserve(tmp_path, "shop")
    path = tmp_path / "ports_root" / "shop.json"
    for text in (
        "{}",
        "[]",
        '{"ports": [1]}',
        '{"ports": [1, 2], "more": {"grpc": [3]}}',
        '{"ports": [1, 2], "more": []}',
    ):
        path.write_text(text)
        with pytest.raises(SlipwayError, match=r"shop\.json does not say which local ports"):
            reserve(tmp_path, "mailer")


def test_a_host_without_a_free_pair_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserved_ports, "LAST", 18081)
    reserve(tmp_path, "shop")
    with pytest.raises(SlipwayError, match="no two ports from 18080 to 18081 are free"):
        reserve(tmp_path, "mailer")
