# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user and the group of a service go with its data, where they were made for it and nobody else needs them."""

from __future__ import annotations

import grp
import pwd

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal import account
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Parts, Wish


class Accounts:
    """The host's users and groups, and the commands that were run."""

    def __init__(self, monkeypatch):
        self.users, self.groups, self.ran = {}, {}, []
        monkeypatch.setattr(pwd, "getpwnam", lambda name: self.users[name])
        monkeypatch.setattr(pwd, "getpwall", lambda: list(self.users.values()))
        monkeypatch.setattr(grp, "getgrnam", lambda name: self.groups[name])
        monkeypatch.setattr(grp, "getgrgid", lambda gid: next(g for g in self.groups.values() if g.gr_gid == gid))
        monkeypatch.setattr(account.command, "run", self.run)

    def add(self, name, number=999, home="/nonexistent", shell="/usr/sbin/nologin", gid=None, members=()):
        gid = number if gid is None else gid
        self.users[name] = pwd.struct_passwd((name, "x", number, gid, "", home, shell))
        if gid == number:
            self.groups[name] = grp.struct_group((name, "x", number, list(members)))

    def run(self, argv, _seconds):
        self.ran.append(" ".join(argv))
        known = self.users if argv[0] == "userdel" else self.groups
        known.pop(argv[1])
        return self

    def require_success(self):
        return self


@pytest.fixture
def accounts(monkeypatch):
    found = Accounts(monkeypatch)
    found.add("shop")
    return found


def parts(host, user="shop", group="shop", data=True):
    return Parts(host.layout("shop"), Wish(user, group, metrics.path, data=data), str(host.top))


def test_both_go_once(host, accounts):
    assert account.doomed(parts(host)) == ["user shop", "group shop"]
    account.remove(parts(host))
    assert accounts.ran == ["userdel shop", "groupdel shop"]
    assert account.doomed(parts(host)) == []


def test_both_stay_with_the_data(host, accounts):
    assert account.doomed(parts(host, data=False)) == []


def test_a_group_that_an_interrupted_run_has_left_goes(host, accounts):
    del accounts.users["shop"]
    assert account.doomed(parts(host)) == ["group shop"]


@pytest.mark.parametrize(
    "other",
    [
        {"home": "/home/shop"},
        {"shell": "/bin/bash"},
    ],
)
def test_an_account_that_the_role_has_not_made_stays(host, accounts, other):
    accounts.add("shop", **other)
    assert account.doomed(parts(host)) == []


def test_an_account_that_another_service_runs_as_stays(host, accounts):
    host.write("etc/systemd/system/billing.service", "[Service]\nUser=shop\nGroup=shop\n")
    assert account.doomed(parts(host)) == []


def test_a_group_with_others_in_it_stays(host, accounts):
    accounts.add("shop", members=["www-data"])
    assert account.doomed(parts(host)) == ["user shop"]
    accounts.add("shop")
    accounts.add("extra", number=1001, gid=999)
    assert account.doomed(parts(host)) == ["user shop"]


def test_a_group_of_another_name_stays(host, accounts):
    accounts.add("www-data", number=33)
    assert account.doomed(parts(host, group="www-data")) == ["user shop"]
    assert account.doomed(parts(host, user="nobody-there", group="www-data")) == []


def test_a_host_that_has_never_had_the_service(host, accounts):
    assert (
        account.doomed(Parts(host.layout("kiosk"), Wish("shop", "shop", metrics.path, data=True), str(host.top))) == []
    )
