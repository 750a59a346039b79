# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the look at a host makes of its files and accounts, and of what the programs on it say."""

from __future__ import annotations

import hashlib
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._drift import survey, written
from ansible_collections.slipway.go.plugins.module_utils._drift.item import Unreadable, compare


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "FILES", (f"{tmp_path}/*.conf", f"{tmp_path}/*.d/*"))
    monkeypatch.setattr(survey, "DPKG_STATUS", str(tmp_path / "status"))
    monkeypatch.setattr(survey, "_authorized_keys", list)
    return tmp_path


def packaged(path, text):
    digest = hashlib.md5(text.encode()).hexdigest()
    with open(survey.DPKG_STATUS, "a", encoding="utf-8") as stream:
        stream.write(f"Package: x\nConffiles:\n {path} {digest}\nDescription: x\n\n")


def test_files(folder):
    for name in ("a.conf", "b.conf", "x.d/c"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("plain")
        (folder / name).chmod(0o640)
    (folder / "l.conf").symlink_to("/nowhere")
    (folder / "dir.conf").mkdir()
    packaged(folder / "b.conf", "plain")
    packaged(folder / "gone.conf", "plain")
    packaged("/elsewhere/z", "plain")
    found = {os.path.relpath(path, folder): dict(item.aspects) for path, item in survey.files_().items()}
    owner = f"{os.getuid()}:{os.getgid()}"
    plain = {"content": hashlib.sha256(b"plain").hexdigest(), "mode": "0640", "owner": owner}
    assert found == {
        "a.conf": plain,
        "b.conf": {**plain, "content": "as its package has it"},
        "x.d/c": plain,
        "l.conf": {"is": "a link to /nowhere"},
        "gone.conf": {"is": "missing"},
    }


def test_what_services_bring_is_theirs(folder, monkeypatch):
    units = folder / "units.d"
    units.mkdir()
    for name in ("shop@.service", "shop.socket", "slipway-watch.service", "other.service", "haproxy.service"):
        (units / name).write_text("")
    (units / "haproxy.service.d").mkdir()
    (units / "haproxy.service.d" / "own.conf").write_text("")
    monkeypatch.setattr(survey, "FILES", (*survey.FILES, f"{units}/*.d/*.conf"))
    monkeypatch.setattr(survey, "UNIT_ROOT", str(units))
    monkeypatch.setattr(survey.services, "services", lambda: [survey.services.Service("shop")])
    assert {os.path.basename(path) for path in survey.files_()} == {"other.service", "own.conf", "haproxy.service"}


@pytest.fixture
def drop_in(folder, monkeypatch):
    """That by which HAProxy reads what the role proxy writes; as that role has it, but for what starts as root."""
    monkeypatch.setattr(survey, "FILES", (f"{folder}/*.d/*.conf",))
    monkeypatch.setattr(survey, "UNIT_ROOT", str(folder))
    monkeypatch.setattr(survey.services, "services", list)
    path = folder / "haproxy.service.d" / "slipway.conf"
    path.parent.mkdir()

    def write(text, mode=0o644):
        path.write_bytes(text.encode())
        path.chmod(mode)
        return [(one.expected, one.found) for one in compare({"files": {}}, {"files": survey.files_()})]

    return write


def test_the_drop_in_of_haproxy_comes_after_the_baseline(drop_in, folder):
    for managed in ("# Ansible managed\n", "# Verwaltet, nicht ändern\n", ""):
        assert drop_in(managed + written.HAPROXY_DROP_IN) == []
    expected = {"files": {str(folder / "haproxy.service.d/slipway.conf"): {"content": "0" * 64, "mode": "0600"}}}
    assert list(compare(expected, {"files": survey.files_()})) == []  # it was written down, and has been repaired
    recorded = {"files": {path: dict(item.aspects) for path, item in survey.files_().items()}}
    assert recorded["files"]
    assert list(compare(recorded, {"files": {}})) == []  # it goes with the last service


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Service]\nExecStart=/bin/sh\n",
        written.HAPROXY_DROP_IN + "ExecStartPost=/bin/sh\n",
        "# Ansible managed\rExecStart=/bin/sh\n" + written.HAPROXY_DROP_IN,
        "# Ansible managed\0ExecStart=/bin/sh\n" + written.HAPROXY_DROP_IN,
        written.HAPROXY_DROP_IN.replace("/usr/sbin", "/usr/local/sbin"),
        written.HAPROXY_DROP_IN.replace("ExecStart=\n", ""),
        "# Ansible managed\n ExecStart=/bin/sh\n" + written.HAPROXY_DROP_IN,
    ],
)
def test_another_drop_in_of_haproxy_is_a_difference(drop_in, text):
    ((expected, found),) = drop_in(text)
    assert expected == "none"
    assert found.startswith("mode 0644")


def test_a_drop_in_of_haproxy_that_others_may_change_is_a_difference(drop_in):
    assert [found.partition(",")[0] for _none, found in drop_in(written.HAPROXY_DROP_IN, 0o646)] == ["mode 0646"]


def test_what_is_told_of_a_drop_in_that_was_changed(drop_in, folder):
    drop_in(written.HAPROXY_DROP_IN)
    recorded = {"files": {path: dict(item.aspects) for path, item in survey.files_().items()}}
    (folder / "haproxy.service.d" / "slipway.conf").write_text("[Service]\nExecStart=/bin/sh\n")
    (told,) = compare(recorded, {"files": survey.files_()})
    assert (told.expected, told.found) == ("as the role proxy writes it", "another content")


@pytest.fixture
def says(monkeypatch):
    """Programs that are on the host, by their first arguments, with their exit code and output."""
    answers: dict[tuple[str, ...], tuple[int, str]] = {}

    def run(argv, seconds, **_more):
        for start, (code, text) in answers.items():
            if tuple(argv[: len(start)]) == start:
                return command.Finished(argv, code, text.encode())
        raise command.MissingProgram(argv[0])

    monkeypatch.setattr(survey.command, "run", run)
    return answers


def values(items):
    return {what: dict(item.aspects) for what, item in items.items()}


def test_sshd(says):
    says["sshd", "-T"] = 0, "port 22\nport 2222\nusepam yes\n"
    assert values(survey.sshd()) == {"port": {"is": "22; 2222"}, "usepam": {"is": "yes"}}
    says["sshd", "-T"] = 255, "bad directive"
    with pytest.raises(SlipwayError, match="bad directive"):
        survey.sshd()


def test_the_firewall(says):
    assert values(survey.firewall()) == {}
    says["ufw",] = (
        0,
        "Status: active\nDefault: deny\n\nTo      Action  From\n--      ------  ----\n22/tcp  ALLOW IN  Any\n",
    )
    assert list(survey.firewall()) == [
        "ufw Status: active",
        "ufw Default: deny",
        "ufw 22/tcp ALLOW IN Any",
    ]
    del says["ufw",]
    says["firewall-cmd", "--state"] = 0, "running"
    says["firewall-cmd", "--list-all-zones"] = 0, "public (active)\n  services: ssh\n  ports: \n\ndmz\n  services: \n"
    assert list(survey.firewall()) == ["firewalld public (active)", "firewalld public services: ssh", "firewalld dmz"]
    says["firewall-cmd", "--state"] = 252, "not running"
    assert list(survey.firewall()) == ["firewalld does not run"]


def test_units(says, monkeypatch):
    monkeypatch.setattr(survey.services, "services", lambda: [survey.services.Service("shop")])
    says["systemctl", "--no-pager", "list-unit-files"] = (
        0,
        "cron.service enabled enabled\nshop.service enabled\nhaproxy.service enabled\nx.service masked\n",
    )
    says["systemctl", "--no-pager", "--no-ask-password", "show"] = (
        0,
        "Id=ssh.service\nLoadState=loaded\nActiveState=active\n\nId=ufw.service\nLoadState=not-found\n",
    )
    assert values(survey.units()) == {
        "cron.service": {"at boot": "enabled"},
        "ssh.service": {"now": "active"},
        "x.service": {"at boot": "masked"},
    }


def test_held_packages(folder):
    (folder / "status").write_text(
        "Package: a\nStatus: hold ok installed\n\nPackage: b\nStatus: install ok\n\nStatus: hold ok\n"
    )
    assert values(survey.held_packages()) == {"a": {"is": "held"}}


@pytest.mark.parametrize(
    ("field", "told"),
    [("", "empty"), ("!", "locked"), ("*", "locked"), ("!$6$x", "locked"), ("$6$x", "set"), ("x", "set")],
)
def test_passwords(field, told):
    assert survey.hardening.password_state(field) == told


def test_accounts():
    found = values(survey.accounts())
    assert found["user root"]["uid"] == "0"
    assert set(found["user root"]) == {"uid", "gid", "home", "shell", "password", "expires"}
    assert "members" in found["group root"]


def test_an_area_that_cannot_be_read_says_why():
    def fails():
        raise PermissionError(13, "Permission denied", "/etc/shadow")

    def refuses():
        raise SlipwayError("x", "sshd -T failed.", "repair it")

    assert survey._area(fails) == Unreadable("Permission denied /etc/shadow")
    assert survey._area(refuses) == Unreadable("sshd -T failed.")


def test_the_time_zone(monkeypatch):
    monkeypatch.setattr(survey.hardening, "timezone", lambda: "")
    assert values(survey.clock()) == {"time zone": {"is": "UTC"}}


@pytest.mark.parametrize(
    ("options", "now", "settled"),
    [
        (None, "not mounted", False),
        (["rw", "nosuid", "nodev", "noexec", "size=5k"], "nodev,noexec,nosuid,rw", True),
        (["rw", "nosuid", "nodev"], "nodev,nosuid,rw", False),
    ],
)
def test_mounts(options, now, settled):
    item = survey._mount(options)
    assert (item.aspects, item.settled) == ({"now": now}, settled)
