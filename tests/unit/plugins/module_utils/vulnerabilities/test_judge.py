# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import date

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.functions import Functions
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.gate import Gate, pack, unpack
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.judge import Rules, judge, parse_ignored
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.osv import parse
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.policy import problems
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry

TODAY = date(2026, 11, 28)
STRIPPED = Functions(unknown="it is stripped")


def module(path, version, replace=None):
    return {"path": path, "version": version, "sum": "", "replace": replace}


def facts(*deps, version="go1.22.3", main=None, path="example.com/shop", **fields):
    go = {
        "version": version,
        "path": path,
        "main": main or module("example.com/shop", "v1.0.0"),
        "deps": list(deps) or [module("golang.org/x/sys", "v0.20.0")],
        "settings": {"GOOS": "linux", "GOARCH": "amd64"},
        "damaged": False,
        **fields,
    }
    return {"path": "/opt/shop", "goos": "linux", "goarch": "amd64", "go": go}


def linked(*names):
    return Functions("\0".join(["", "main.main", "runtime.main", *names, ""]).encode())


def index(*entries):
    modules = {}
    for one in entries:
        for affected in parse(one).affected:
            modules.setdefault(affected.module, []).append(affected)
    return modules


def found(told, functions, *entries, **rules):
    return judge(told, functions, index(*entries), Rules(TODAY, **rules))


def ids(judgement):
    return [one.id for one in judgement.findings]


def test_a_version_in_the_range_is_a_finding():
    (one,) = found(facts(), STRIPPED, entry(aliases=["CVE-2026-1"])).findings
    assert (one.module, one.version, one.fixed) == ("golang.org/x/sys", "v0.20.0", "0.21.0")
    assert (one.state, one.basis, one.not_narrowed) == ("open", "module", "the entry names no packages")
    assert ids(found(facts(module("golang.org/x/sys", "v0.21.0")), STRIPPED, entry())) == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("go1.22.3", ["GO-1"]), ("go1.22.3 X:boringcrypto", ["GO-1"]), ("go1.22.4", []), ("go1.21.10", []),
        ("go1.22rc1", ["GO-1"]), ("go1.22", ["GO-1"]), ("go1.22.0", ["GO-1"]),
    ],
)  # fmt: skip
def test_go_itself(version, expected):
    events = ({"introduced": "1.22.0-0"}, {"fixed": "1.22.4"})
    assert ids(found(facts(version=version), STRIPPED, entry("GO-1", "stdlib", *events))) == expected


def test_an_unreleased_go_may_be_any():
    judgement = found(facts(version="devel go1.28-abc"), STRIPPED, entry("GO-1", "stdlib"))
    assert [one.state for one in judgement.findings] == ["inconclusive"]


def test_what_go_builds_with_counts_when_asked_and_for_its_own_commands():
    tool = entry("GO-1", "toolchain", {"introduced": "0"}, {"fixed": "1.23.0"}, imports=[{"path": "cmd/go"}])
    assert ids(found(facts(), STRIPPED, tool)) == []
    (one,) = found(facts(), linked(), tool, toolchain=True).findings
    assert "commands that built" in one.not_narrowed
    assert ids(found(facts(path="cmd/go"), STRIPPED, tool)) == ["GO-1"]


def test_a_replacement_counts_and_what_it_replaces_does_not():
    fork = module("example.com/sys", "v0.9.0")
    told = facts(module("golang.org/x/sys", "v0.20.0", replace=fork))
    theirs, ours = entry(), entry("GO-2", "example.com/sys", {"introduced": "0"}, {"fixed": "1.0.0"})
    assert ids(found(told, STRIPPED, theirs, ours)) == ["GO-2"]
    newer = facts(module("golang.org/x/sys", "v0.20.0", replace=module("golang.org/x/sys", "v0.30.0")))
    assert ids(found(newer, STRIPPED, theirs)) == []


def test_a_replacement_is_imported_by_the_path_of_what_it_replaces():
    told = facts(module("golang.org/x/sys", "v0.20.0", replace=module("example.com/sys", "v0.9.0")))
    ours = entry("GO-2", "example.com/sys", imports=[{"path": "example.com/sys/unix", "symbols": ["F"]}])
    (one,) = found(told, linked("golang.org/x/sys/unix.F"), ours).findings
    assert one.symbols == ("example.com/sys/unix.F",)
    assert ids(found(told, linked("example.com/sys/unix.F"), ours)) == []


@pytest.mark.parametrize("where", ["../sys", "./sys", "/src/sys"])
def test_of_a_folder_of_the_builder_the_version_is_unknown(where):
    told = facts(module("golang.org/x/sys", "v0.30.0", replace=module(where, "(devel)")))
    judgement = found(told, STRIPPED, entry())
    assert [(one.state, one.version) for one in judgement.findings] == [("inconclusive", "")]
    assert judgement.is_refused(Rules(TODAY))
    assert not judgement.is_refused(Rules(TODAY, inconclusive="accept"))


def test_the_main_module_of_unknown_version_is_not_held_against_it_without_entries():
    assert ids(found(facts(main=module("example.com/shop", "(devel)")), STRIPPED, entry("GO-1", "x"))) == []


UNIX = [{"path": "golang.org/x/sys/unix", "symbols": ["Conn.Read", "Dial"]}]


@pytest.mark.parametrize(
    ("name", "symbols"),
    [
        ("golang.org/x/sys/unix.Dial", ["golang.org/x/sys/unix.Dial"]),
        ("golang.org/x/sys/unix.Dial.func1", ["golang.org/x/sys/unix.Dial"]),
        ("golang.org/x/sys/unix.Dial[...]", ["golang.org/x/sys/unix.Dial"]),
        ("golang.org/x/sys/unix.Dial[go.shape.struct { a/b.C }]", ["golang.org/x/sys/unix.Dial"]),
        ("golang.org/x/sys/unix.(*Conn).Read", ["golang.org/x/sys/unix.Conn.Read"]),
        ("golang.org/x/sys/unix.(*Conn[...]).Read-fm", ["golang.org/x/sys/unix.Conn.Read"]),
        ("golang.org/x/sys/unix.Conn.Read", ["golang.org/x/sys/unix.Conn.Read"]),
        ("golang.org/x/sys/unix.Dialer", None),
        ("golang.org/x/sys/unix.(*Conn).Reader", None),
        ("golang.org/x/sys/unix2.Dial", None),
        ("example.com/golang.org/x/sys/unix.Dial", None),
    ],
)
def test_only_what_is_linked_in_counts(name, symbols):
    judgement = found(facts(), linked(name), entry(imports=UNIX))
    if symbols is None:
        assert judgement.findings == ()
        assert judgement.not_linked == ("GO-2026-0001",)
    else:
        (one,) = judgement.findings
        assert (list(one.symbols), one.basis, one.not_narrowed) == (symbols, "symbols", "")


def test_without_symbols_in_the_entry_the_package_counts():
    whole = entry(imports=[{"path": "golang.org/x/sys/unix"}])
    (one,) = found(facts(), linked("golang.org/x/sys/unix.Any"), whole).findings
    assert (one.basis, one.packages, one.symbols) == ("packages", ("golang.org/x/sys/unix",), ())
    assert ids(found(facts(), linked(), whole)) == []


def test_the_main_package_is_linked_by_another_name():
    own = entry("GO-1", "example.com/shop", imports=[{"path": "example.com/shop", "symbols": ["serve"]}])
    events = ({"introduced": "0"}, {"fixed": "2.0.0"})
    own = {**own, "affected": [{**own["affected"][0], "ranges": [{"type": "SEMVER", "events": list(events)}]}]}
    assert ids(found(facts(), linked("main.serve"), own)) == ["GO-1"]
    assert ids(found(facts(), linked("main.other"), own)) == []


def test_a_dot_in_a_path_is_written_otherwise_by_the_linker():
    yaml = entry("GO-1", "gopkg.in/yaml.v3", imports=[{"path": "gopkg.in/yaml.v3", "symbols": ["Unmarshal"]}])
    told = facts(module("gopkg.in/yaml.v3", "v0.1.0"))
    assert ids(found(told, linked("gopkg.in/yaml%2ev3.Unmarshal"), yaml)) == ["GO-1"]


def test_a_stripped_program_is_judged_by_modules_and_says_so():
    (one,) = found(facts(), STRIPPED, entry(imports=UNIX)).findings
    assert (one.basis, one.not_narrowed, one.symbols) == ("module", "it is stripped", ())


def test_what_is_about_another_system_does_not_count():
    windows = entry(imports=[{"path": "golang.org/x/sys/windows", "goos": ["windows"]}])
    arm = entry("GO-2", imports=[{"path": "golang.org/x/sys/unix", "goarch": ["arm64", "amd64"]}])
    assert ids(found(facts(), STRIPPED, windows, arm)) == ["GO-2"]


def test_one_entry_with_two_ranges_for_a_module_is_found_once():
    twice = entry()
    twice["affected"] *= 2
    assert ids(found(facts(), STRIPPED, twice)) == ["GO-2026-0001"]


NO_MODULES = {"main": None, "deps": []}


def gopath(functions, *entries):
    told = facts()
    told["go"].update(NO_MODULES)
    return found(told, functions, *entries)


def test_a_program_without_a_list_of_modules_is_not_clean():
    judgement = gopath(STRIPPED, entry())
    assert judgement.findings == ()
    assert judgement.unjudged == ("it names no modules, and it is stripped",)
    assert judgement.is_refused(Rules(TODAY))


def test_without_a_list_of_modules_linked_packages_tell():
    there = gopath(linked("golang.org/x/sys/unix.Dial"), entry(imports=UNIX), entry("GO-2", "golang.org/x/net"))
    assert [(one.id, one.state) for one in there.findings] == [("GO-2026-0001", "inconclusive")]
    assert gopath(linked("golang.org/x/sys/unix.Other"), entry(imports=UNIX)).findings == ()


@pytest.mark.parametrize("go", [None, {}])
def test_without_build_info_nothing_is_known(go):
    judgement = found({**facts(), "go": go}, STRIPPED, entry())
    assert judgement.unjudged
    assert judgement.is_refused(Rules(TODAY))


def test_damaged_build_info_is_not_clean():
    assert found(facts(damaged=True), STRIPPED, entry("GO-1", "x")).unjudged == ("its Go build info is damaged",)


@pytest.mark.parametrize(
    ("said", "limit", "state"),
    [
        ("HIGH", "", "open"), ("HIGH", "high", "open"), ("MODERATE", "high", "minor"), ("CRITICAL", "high", "open"),
        ("", "critical", "open"), ("LOW", "low", "open"),
    ],
)  # fmt: skip
def test_the_limit_of_severity(said, limit, state):
    one = entry(database_specific={"severity": said})
    assert [f.state for f in found(facts(), STRIPPED, one, severity=limit).findings] == [state]


@pytest.mark.parametrize(
    ("published", "grace", "state"),
    [
        ("2026-11-28T01:00:00Z", 7, "recent"), ("2026-11-22T01:00:00Z", 7, "recent"),
        ("2026-11-21T01:00:00Z", 7, "open"), ("2026-11-28T01:00:00Z", 0, "open"), ("2027-01-01T01:00:00Z", 7, "open"),
        (None, 7, "open"), ("9999-99-99T00:00:00Z", 7, "open"),
    ],
)  # fmt: skip
def test_grace(published, grace, state):
    one = entry(published=published)
    assert [f.state for f in found(facts(), STRIPPED, one, grace=grace).findings] == [state]


def ignoring(until, name="CVE-2026-1"):
    return parse_ignored([{"id": name, "reason": "the port is closed", "until": until}])


@pytest.mark.parametrize(("until", "state"), [("2026-11-28", "ignored"), ("2026-11-27", "open")])
def test_an_ignored_one_counts_again_when_its_time_is_over(until, state):
    judgement = found(facts(), STRIPPED, entry(aliases=["CVE-2026-1"]), ignored=ignoring(until))
    (one,) = judgement.findings
    assert (one.state, one.reason, one.until) == (state, "the port is closed", until)
    assert judgement.is_refused(Rules(TODAY)) is (state == "open")
    assert judgement.unused == ()


def test_an_ignored_one_that_is_not_there_is_named():
    assert found(facts(), STRIPPED, entry(), ignored=ignoring("2027-01-01")).unused == ("CVE-2026-1",)


@pytest.mark.parametrize(
    "value",
    [
        "GO-1", ["GO-1"], [{"id": "GO-1"}], [{"id": "GO-1", "reason": "x"}], [{"id": "GO-1", "until": "2026-01-01"}],
        [{"id": "GO-1", "reason": " ", "until": "2026-01-01"}], [{"id": "GO-1", "reason": "x", "until": "soon"}],
        [{"id": "GO-1", "reason": "x", "until": "2026-02-30"}],
        [{"id": "GO-1", "reason": "x", "until": "2026-01-01", "untill": 1}],
    ],
)  # fmt: skip
def test_whoever_ignores_says_why_and_until_when(value):
    with pytest.raises(SlipwayError) as caught:
        parse_ignored(value)
    assert caught.value.code == "vulnerability_ignore_syntax"


def test_a_date_of_yaml_is_a_date():
    assert parse_ignored([{"id": "GO-1", "reason": "x", "until": date(2026, 1, 2)}])[0].until == date(2026, 1, 2)


def test_what_a_host_gets_judges_as_the_controller_does():
    entries = [
        entry("GO-1", imports=UNIX, aliases=["CVE-1"], database_specific={"severity": "HIGH"}),
        {**entry("GO-2"), "affected": [{"package": {"ecosystem": "Go", "name": "m"}, "versions": ["1.0.0"]}]},
    ]
    rules = Rules(TODAY, "high", 2.0, ignoring("2026-12-01"), "accept", True)
    gate = Gate(index(*entries), rules)
    assert unpack(pack(gate)) == gate
    assert pack(gate) == pack(unpack(pack(gate)))


def against(judgement, **rules):
    return [(one.code, one.message, one.fix) for one in problems("shop", judgement, Gate({}, Rules(TODAY, **rules)))]


def test_a_problem_names_what_is_known_and_what_to_do():
    one = entry(aliases=["CVE-2026-1"], database_specific={"severity": "HIGH"}, imports=UNIX)
    two = entry("GO-2", "golang.org/x/sys", {"introduced": "0"}, {"fixed": "0.22.0"})
    judgement = found(facts(), linked("golang.org/x/sys/unix.Dial"), one, two)
    assert against(judgement) == [
        (
            "policy_vulnerable",
            "shop: contains golang.org/x/sys v0.20.0 with GO-2026-0001 (CVE-2026-1, high, linked in: unix.Dial), "
            "GO-2 (by its version alone: the entry names no packages)",
            "run go get golang.org/x/sys@v0.22.0 or newer, then build",
        )
    ]


def test_a_problem_without_a_fixed_version_and_of_go_itself():
    forever = entry("GO-1", "stdlib", {"introduced": "0"})
    ((_code, _text, fix),) = against(found(facts(), STRIPPED, forever))
    assert fix == "add GO-1 to release_vulnerability_ignore with a reason, as no fixed version is known"
    fixed = entry("GO-1", "stdlib", {"introduced": "0"}, {"fixed": "1.22.9"})
    assert against(found(facts(), STRIPPED, fixed))[0][2] == "build with Go 1.22.9 or newer"


def test_many_of_one_module_are_one_problem():
    many = [entry(f"GO-2026-{number:04}") for number in range(1, 15)]
    ((_code, text, _fix),) = against(found(facts(), STRIPPED, *many))
    assert text.count("GO-2026-") == 10
    assert text.endswith("and 4 more")


def test_what_is_not_known_is_a_problem_unless_it_is_accepted():
    judgement = gopath(STRIPPED, entry())
    assert [code for code, _text, _fix in against(judgement)] == ["policy_vulnerability_unknown"]
    assert against(judgement, inconclusive="accept") == []
    local = found(facts(module("golang.org/x/sys", "v1", replace=module("../sys", ""))), STRIPPED, entry())
    assert [code for code, _text, _fix in against(local)] == ["policy_vulnerability_unknown"]
