# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several services of one host: which ones a run is about, and what each variable is for each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.utils import vars as ansible_vars
from ansible.vars.hostvars import HostVars as AnsiblesHostVars
from ansible.vars.manager import VariableManager
from ansible_collections.slipway.go.plugins.filter.of_host import of_host
from ansible_collections.slipway.go.plugins.filter.port_rules import port_rules
from ansible_collections.slipway.go.plugins.lookup import services, variable
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services, known_variables

LOOKUPS = {"services": services.LookupModule, "variable": variable.LookupModule}
TWO = {"shop": {"service_listen": ["8080"]}, "mailer": None}


class HostVars(dict[str, Any]):
    def raw_get(self, host: str) -> Any:
        return self[host]


def same(value: Any, _variables: Mapping[str, Any]) -> Any:
    return value


def look(lookup: str, *terms: str, extra: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """What a lookup of the collection says; options that are no option of it are the host's variables."""
    kwargs = {name: options.pop(name) for name in ("which", "among", "every_service", "read") if name in options}
    variables = {name: template(value) for name, value in options.items()}
    loader = DataLoader()
    templar = Templar(loader=loader, variables=variables)
    plugin = LOOKUPS[lookup](loader=loader, templar=templar)
    before = getattr(ansible_vars.load_extra_vars, "extra_vars", None)
    ansible_vars.load_extra_vars.extra_vars = dict(extra or {"nothing": "else"})  # as it keeps the command line's
    try:
        return plugin.run(list(terms), variables={**variables, **(extra or {})}, **kwargs)
    finally:
        ansible_vars.load_extra_vars.extra_vars = before


def template(value: Any) -> Any:
    """As an inventory gives it: every text may be a template."""
    if isinstance(value, dict):
        return {name: template(one) for name, one in value.items()}
    if isinstance(value, list):
        return [template(one) for one in value]
    return trust_as_template(value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (None, ["shop", "mailer"]),
        ("", ["shop", "mailer"]),
        ("all", ["shop", "mailer"]),
        ("mailer", ["mailer"]),
        ("mailer, shop", ["shop", "mailer"]),
        (["mailer"], ["mailer"]),
        ("[mailer, shop]", ["shop", "mailer"]),
        ("books", []),
    ],
)
def test_service_name_chooses_in_the_declared_order(name: Any, wanted: list[str]) -> None:
    assert declared_services.chosen({"slipway_services": TWO, "service_name": name}, same) == wanted


@pytest.mark.parametrize("declared", [None, "", {}])
def test_a_host_that_declares_none_has_service_name(declared: Any) -> None:
    assert declared_services.chosen({"slipway_services": declared, "service_name": "shop"}, same) == ["shop"]
    with pytest.raises(SlipwayError, match="service_name is not set"):
        declared_services.chosen({"slipway_services": declared}, same)
    assert declared_services.all_names({"slipway_services": declared}, same) == []
    assert declared_services.chosen_if_any({"slipway_services": declared, "service_name": ""}, same) == []
    assert declared_services.chosen_if_any({"slipway_services": declared, "service_name": "shop"}, same) == ["shop"]
    with pytest.raises(SlipwayError, match="declares none"):
        declared_services.chosen({"service_name": ["shop", "mailer"]}, same)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ([{"service_name": "shop"}], "slipway_services is list"),
        ({"Shop": {}}, "'Shop' is not a usable service name"),
        ({"shop-watch": {}}, "belongs to the system or to slipway"),
        ({"all": {}}, "which service_name takes for every service"),
        ({"shop": ["8080"]}, "shop in slipway_services is list"),
        ({"shop": {"service_name": "store"}}, "has service_name"),
        ({"shop": {"ssh_ports": [22]}}, "ssh_ports, which is about the whole host or run"),
        ({"shop": {"release_serial": 1}}, "release_serial, which is about the whole host or run"),
        ({"shop": {"release_rollback_to": "1"}}, "release_rollback_to, which is about the whole host or run"),
        ({"shop": {"slipway_hosts": "web"}}, "slipway_hosts, which is about the whole host or run"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused_by_name(declared: Any, message: str) -> None:
    with pytest.raises(SlipwayError, match=message) as refused:
        declared_services.declared({"slipway_services": declared}, same)
    assert refused.value.fix


def test_each_service_has_its_own_variables_over_the_hosts() -> None:
    host: dict[str, Any] = {
        "slipway_services": {
            "shop": {"service_user": "store", "own": "{{ service_user }}!", "service_environment": {"A": "{{ own }}"}},
            "mailer": {},
        },
        "service_user": "{{ service_name }}-user",
        "service_drain_timeout": "7",
    }
    for name, user in (("shop", "store"), ("mailer", "mailer-user")):
        about = {**host, "slipway_service": name}
        assert look("variable", "service_user", **about) == [user]
        assert look("variable", "service_root", **about) == [f"/opt/{name}"]
        assert look("variable", "service_drain_timeout", **about) == [7]
        assert look("variable", "service_drain_timeout", read=False, **about) == ["7"]
    assert look("variable", "service_environment", slipway_service="shop", **host) == [{"A": "store!"}]
    assert look("variable", "service_user", every_service=True, **host) == ["store", "mailer-user"]


def test_service_name_alone_says_which_one_a_task_is_about() -> None:
    """As in a play of a user's own."""
    assert look(
        "variable", "service_root", slipway_services={"shop": {"service_root": "/srv/x"}}, service_name="shop"
    ) == ["/srv/x"]


def test_the_command_line_counts_most() -> None:
    host = {"slipway_services": {"shop": {"release_version": "1.0"}}, "slipway_service": "shop"}
    assert look("variable", "release_version", **host) == ["1.0"]
    assert look("variable", "release_version", extra={"release_version": "2.0"}, **host) == ["2.0"]
    chosen = {"service_name": "shop,mailer"}
    assert look("variable", "service_name", extra=chosen, **host) == ["shop"]


def test_an_empty_answer_for_a_service_is_the_roles_default() -> None:
    host = {"slipway_services": {"shop": {"release_keep": ""}}, "slipway_service": "shop", "release_keep": 9}
    assert look("variable", "release_keep", **host) == [5]


def test_a_declaration_may_be_a_template() -> None:
    host = {
        "slipway_services": "{{ of_web | combine(of_all) }}",
        "of_web": {"shop": {"service_user": "{{ service_name }}1"}},
        "of_all": {"mailer": {}},
    }
    assert look("services", **host) == ["shop", "mailer"]
    assert look("services", which="declared", **host) == ["shop", "mailer"]
    assert look("variable", "service_user", slipway_service="shop", **host) == ["shop1"]


def test_the_hosts_of_a_service_are_those_that_the_run_is_about_it_on() -> None:
    hosts = HostVars(
        web1={"slipway_services": TWO},
        web2={"slipway_services": {"mailer": {}}},
        old={"service_name": "shop"},
        other={"service_name": "mailer"},
        named={},
        db={"slipway_services": TWO, "service_name": "mailer"},
    )
    variables = {"hostvars": hosts, "slipway_service": "shop"}
    plugin = services.LookupModule(loader=DataLoader(), templar=Templar(DataLoader()))
    by_play = {**variables, "service_name": "shop"}
    assert plugin.run([], variables=by_play, among=list(hosts)) == ["web1", "old", "named"]
    assert plugin.run([], variables=variables, among=list(hosts)) == ["web1", "old"]
    by_inventory = {**by_play, "inventory_hostname": "old"}
    assert plugin.run([], variables=by_inventory, among=list(hosts)) == ["web1", "old"]
    assert plugin.run([], variables=variables, among=["old", "named"]) == ["old"]
    assert plugin.run([], variables=variables, among=["named"]) == ["named"]
    assert plugin.run([], variables={"hostvars": hosts}, among=list(hosts)) == list(hosts)
    each = plugin.run([], variables={"hostvars": hosts, "service_name": "shop"}, each=list(hosts))
    assert each == [["shop", "mailer"], ["mailer"], ["shop"], ["mailer"], ["shop"], ["mailer"]]
    assert plugin.run([], variables={"hostvars": hosts}, each=["named"]) == [[]]


def asked(
    host: str, hosts: Mapping[str, Any], more: Mapping[str, Any], plugin: Any = services.LookupModule, **options: Any
) -> Any:
    """What a lookup says on a host of a play of all of these; more: what the play says."""
    magic = {"inventory_hostname": host, "hostvars": hosts, "ansible_play_hosts_all": list(hosts)}
    lookup = plugin(loader=DataLoader(), templar=Templar(DataLoader()))
    return lookup.run(options.pop("terms", []), variables={**hosts[host], **magic, **more}, **options)


ONE = {"service_name": "shop"}
PLAIN = {"lb1": {}, "web1": {"slipway_services": TWO}, "lb2": {}}
OF_GROUP = {"lb1": {}, "web1": {"service_name": "{{ of_web }}", "of_web": "shop"}, "lb2": {"service_name": ""}}
EVERYWHERE = ["all", "", "shop,mailer", ["shop", "mailer"]]


def with_extra(hosts: Mapping[str, Any], *extra: Any) -> HostVars:
    """The command line counts most, on every host."""
    more = {"service_name": template(extra[0])} if extra else {}
    return HostVars({host: {**template(theirs), **more} for host, theirs in hosts.items()})


@pytest.mark.parametrize(
    ("hosts", "extra", "names"),
    [
        (PLAIN, [], ["shop", "mailer"]),
        (OF_GROUP, [], ["shop"]),
        *((PLAIN, [given], ["shop", "mailer"]) for given in EVERYWHERE),
    ],
)
def test_a_host_without_a_service_has_none_beside_hosts_that_have_theirs(
    hosts: Mapping[str, Any], extra: list[Any], names: list[str]
) -> None:
    of_hosts = with_extra(hosts, *extra)
    for which in ("chosen", "every", "declared"):
        assert asked("lb1", of_hosts, {}, which=which) == []
    for host in hosts:
        assert asked(host, of_hosts, {}, each=list(hosts)) == [[], names, []]
        about = {"slipway_service": "shop"}
        assert asked(host, of_hosts, about, among=list(hosts)) == ["web1"]
        assert asked(host, of_hosts, about, among=["lb1"]) == []
    assert asked("web1", of_hosts, {}) == names


@pytest.mark.parametrize(("extra", "why"), [([], "is not set"), *(([one], "") for one in EVERYWHERE)])
def test_a_play_in_which_no_host_has_a_service_is_refused(extra: list[Any], why: str) -> None:
    of_hosts = with_extra({"lb1": {}, "lb2": {"slipway_services": {}}}, *extra)
    for host in of_hosts:
        with pytest.raises(AnsibleLookupError, match=why or "service_name (is not set|has 2 services)"):
            asked(host, of_hosts, {})


@pytest.mark.parametrize("hosts", [PLAIN, OF_GROUP, {"lb1": {}, "lb2": {}}])
def test_what_a_play_or_the_command_line_names_is_the_service_of_every_host(hosts: Mapping[str, Any]) -> None:
    for of_hosts, more in ((with_extra(hosts), {"service_name": "shop"}), (with_extra(hosts, "shop"), {})):
        for host in hosts:
            assert asked(host, of_hosts, more) == ["shop"]
            about = {**more, "slipway_service": "shop"}
            assert asked(host, of_hosts, about, among=list(hosts)) == list(hosts)
        assert asked("lb1", of_hosts, more, which="every") == ["shop"]
        assert asked("lb1", of_hosts, more, each=["lb1"]) == [["shop"]]


def test_what_a_play_names_holds_where_it_is_a_template_of_the_play() -> None:
    more = {"service_name": trust_as_template("{{ ours }}"), "ours": "shop"}
    assert asked("web1", with_extra(PLAIN), more, each=["lb1"]) == [["shop"]]


def test_services_that_a_play_declares_are_those_of_every_host() -> None:
    of_hosts = with_extra({"lb1": {}, "lb2": {}})
    more = {"slipway_services": TWO}
    assert asked("lb1", of_hosts, more, each=list(of_hosts)) == [["shop", "mailer"]] * 2
    assert asked("lb1", of_hosts, {**more, "slipway_service": "shop"}, among=list(of_hosts)) == list(of_hosts)


def test_a_service_name_of_a_play_that_is_none_passes_no_host_over_that_has_one() -> None:
    with pytest.raises(AnsibleLookupError, match="service_name is not set"):
        asked("web1", with_extra({"web1": ONE, "web2": ONE}), {"service_name": "all"})


def test_few_hosts_are_read_to_find_one_that_has_services() -> None:
    read: list[str] = []

    class Counted(HostVars):
        def raw_get(self, host: str) -> Any:
            read.append(host)
            return super().raw_get(host)

    hosts = Counted({"lb1": {}, **{f"web{number}": {"slipway_services": TWO} for number in range(9)}})
    assert asked("lb1", hosts, {}) == []
    assert set(read) == {"lb1", "web0"}
    read.clear()
    assert asked("web0", hosts, {}) == ["shop", "mailer"]
    assert read == []


NAMED = {"service_name": "{{ its }}", "its": "shop"}


@pytest.mark.parametrize(
    ("web1", "lb1", "extra", "passed_over"),
    [
        ({"slipway_services": TWO}, {}, {}, True),
        ({"slipway_services": TWO}, {"service_name": "", "slipway_services": {}}, {}, True),
        ({"slipway_services": TWO}, {"release_until": "canary", "harden_ssh": True, "proxy_names": ["x"]}, {}, True),
        ({"slipway_services": TWO}, {}, {"release_version": "2.0.0", "release_src": "x"}, True),
        (NAMED, {}, {}, True),
        ({"slipway_services": TWO}, NAMED, {}, False),
        ({"slipway_services": TWO}, {"service_name": "mailer"}, {}, False),
        ({"slipway_services": TWO}, {"release_src": "build/shop"}, {}, False),
        ({"slipway_services": TWO}, {"release_version": "1.0.0"}, {"release_version": "2.0.0"}, False),
        ({"slipway_services": TWO}, {"service_listen": ["8080"]}, {}, False),
        ({"slipway_services": {"mailer": {}}}, {}, {}, False),
        ({"service_name": "mailer"}, {}, {}, False),
        ({}, {}, {}, False),
        ({"release_src": "build/shop"}, {}, {}, False),
    ],
)
def test_a_service_of_the_command_line_is_no_service_of_a_host_that_the_inventory_does_not_give_it_to(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    web1: Mapping[str, Any],
    lb1: Mapping[str, Any],
    extra: Mapping[str, Any],
    passed_over: bool,
) -> None:
    """Extra variables hide what the inventory says: service_name is shop on every host."""
    (tmp_path / "inventory.yml").write_text(json.dumps({"all": {"hosts": {"lb1": lb1, "web1": web1}}}))
    given = {**ONE, **extra}
    monkeypatch.setattr(ansible_vars.load_extra_vars, "extra_vars", given, raising=False)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "inventory.yml")])
    hosts = AnsiblesHostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)
    magic = {"hostvars": hosts, "ansible_play_hosts_all": ["lb1", "web1"]}
    lookup = services.LookupModule(loader=loader, templar=Templar(loader))
    of_lb1 = [] if passed_over else ["shop"]
    own = {"lb1": of_lb1, "web1": [] if web1 == {"slipway_services": {"mailer": {}}} else ["shop"]}
    for host in own:
        about = {**hosts.raw_get(host), **magic, "inventory_hostname": host}
        assert lookup.run([], variables=about) == own[host]
        assert lookup.run([], variables=about, each=list(own)) == list(own.values())
        about["slipway_service"] = "shop"
        assert lookup.run([], variables=about, among=list(own)) == [one for one, its in own.items() if its]
    about = {**hosts.raw_get("lb1"), **magic, "inventory_hostname": "lb1"}
    of_each = variable.LookupModule(loader=loader, templar=Templar(loader, variables=about))
    assert of_each.run(["service_user"], variables=about, every_service=True) == of_lb1


@pytest.mark.parametrize(
    ("play", "passed_over"),
    [
        ({}, True),
        (dict(known_variables.defaults("release")), True),
        ({"release_src": "build/shop"}, False),
        ({"service_listen": ["8080"]}, False),
        ({"release_src": ""}, True),
    ],
)
def test_what_a_play_says_of_the_service_is_said_of_each_of_its_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, play: Mapping[str, Any], passed_over: bool
) -> None:
    """The variables of a play are those of no host, and the defaults of a role are nobody's word."""
    (tmp_path / "inventory.yml").write_text(json.dumps({"all": {"hosts": {"web1": {}, "web9": ONE}}}))
    monkeypatch.setattr(ansible_vars.load_extra_vars, "extra_vars", {**ONE, "release_version": "2.0.0"}, raising=False)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "inventory.yml")])
    hosts = AnsiblesHostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)
    magic = {"hostvars": hosts, "ansible_play_hosts_all": ["web1", "web9"]}
    lookup = services.LookupModule(loader=loader, templar=Templar(loader))
    for host in ("web1", "web9"):
        about = {**play, **hosts.raw_get(host), **magic, "inventory_hostname": host}
        assert lookup.run([], variables=about, each=["web1", "web9"]) == [[] if passed_over else ["shop"], ["shop"]]
        assert lookup.run([], variables=about) == ([] if passed_over and host == "web1" else ["shop"])


def test_hosts_that_are_passed_over_are_told_with_their_names() -> None:
    assert declared_services.passed_over_hosts([], "shop") == ""
    told = declared_services.passed_over_hosts(["lb1", "lb2"], "shop")
    assert told.startswith("lb1, lb2 are passed over: service_name is shop on the command line")
    assert "Fix: set service_name to shop in the inventory" in told


def test_variables_of_every_service_are_none_where_a_host_is_passed_over() -> None:
    hosts = with_extra(PLAIN, "shop,mailer")
    options = {"terms": ["service_root"], "every_service": True}
    assert asked("lb1", hosts, {}, plugin=variable.LookupModule, **options) == []
    assert asked("web1", hosts, {}, plugin=variable.LookupModule, **options) == ["/opt/shop", "/opt/mailer"]


def test_a_service_that_no_host_declares_is_refused_unless_one_host_declares_none() -> None:
    hosts = {"web1": (["shop"], "books"), "web2": (["mailer"], "books")}
    with pytest.raises(SlipwayError, match="service_name is books, and slipway_services declares mailer, shop"):
        declared_services.check_choice(hosts)
    declared_services.check_choice({**hosts, "old": ([], "books")})
    declared_services.check_choice({"web1": (["shop"], "mailer"), "web2": (["mailer"], "mailer")})


def test_a_service_name_of_the_inventory_that_leaves_services_out_is_told() -> None:
    told = declared_services.left_out({"web1": (["shop", "books"], "shop"), "web2": (["shop"], "shop")})
    assert told.startswith("service_name is shop in the inventory, and chooses among the services")
    assert "the run leaves out books. Fix: take service_name out of the inventory" in told


@pytest.mark.parametrize(
    "hosts",
    [
        {"web1": (["shop", "books"], None), "web2": ([], "shop")},
        {"web1": (["shop", "books"], "all")},
        {"web1": (["shop", "books"], "books,shop")},
        {"web1": (["shop"], "shop")},
    ],
)
def test_a_service_name_that_leaves_nothing_out_is_not_told(hosts: Mapping[str, Any]) -> None:
    assert declared_services.left_out(hosts) == ""


@pytest.mark.parametrize(
    ("own", "other", "clash"),
    [
        (["8080"], ["8080"], True),
        (["8080"], ["127.0.0.1:8080"], True),
        (["[::1]:8080"], ["127.0.0.1:8080"], False),
        (["127.0.0.1:8080"], ["127.0.0.1:8080"], True),
        (["8080"], ["8081"], False),
        (["/run/a.sock"], ["/run/a.sock"], True),
        (["/run/a.sock"], ["/run/b.sock"], False),
    ],
)
def test_two_services_cannot_listen_at_one_place(own: list[str], other: list[str], clash: bool) -> None:
    of_each = {"shop": {"service_listen": own}, "mailer": {"service_listen": other, "service_root": ["/opt/mailer"]}}
    if not clash:
        declared_services.check_together("shop", of_each)
        return
    with pytest.raises(SlipwayError, match=r"service_listen has .* for shop, and mailer has it, too"):
        declared_services.check_together("shop", of_each)


def test_the_firewall_lets_in_what_others_can_reach() -> None:
    allow = [{"port": 8080, "source": "10.0.0.0/8"}, {"port": "22"}]
    listen = ["8080", "0.0.0.0:9090", "127.0.0.1:7070", "/run/x.sock", "9090"]
    assert port_rules(listen, allow) == [allow[0], {"port": "9090"}]
    assert port_rules([]) == []


def test_what_is_wrong_with_a_host_is_said_of_each_service() -> None:
    assert of_host([{"web1": "a"}, {"web2": "b"}, {"web1": "c"}], "web1") == ["a", "c"]


def test_what_nobody_has_set_is_the_roles_default_be_it_empty() -> None:
    assert look("variable", "proxy_tls_certificate", service_name="shop") == [""]
    assert look("variable", "proxy_tls_listen", service_name="shop") == [[]]
