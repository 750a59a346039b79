"""Rows of variables that cannot be meant, as the modules of a release and of a service refuse them."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.intake import HEALTH, PORT, SERVICE, literal, release
from ansible_collections.slipway.go.tests.faults.fixes.model import Row, Task

PROBE = f"http://127.0.0.1:{PORT}/"
PERCENTAGES = "give rising percentages from 0 to 100, for example [5, 25, 100]"
SECONDS = literal("give seconds, 0 or more")


def files(entry: dict[str, Any], **more: Any) -> Task:
    return Task("config_files", {"files": [{"path": "/etc/fixes.conf", "content": "x\n", **entry}], **more})


def one(**entry: Any) -> dict[str, Any]:
    return {"files": [{"path": "/etc/fixes.conf", "content": "x\n", **entry}]}


def units(name: str, content: str) -> Task:
    return Task("systemd_units", {"units": [{"name": name, "content": content}]})


def checked(name: str, **more: Any) -> Task:
    """What the role `service` asks before it writes anything."""
    return Task("service_files", {"name": name, "state": "checked", **more})


def proxy(**options: Any) -> Task:
    return release(proxy=options)


ROWS = [
    # --- releases
    Row(
        "invalid_name",
        "service_name has a space",
        release(name="Shop 1"),
        r"use lower-case letters, digits, '-' and '_', a letter first, at most (?P<most>\d+) characters",
        give={"name": SERVICE},
    ),
    Row(
        "invalid_version",
        "release_version has a slash",
        release(version="1/2"),
        r"use letters, digits and \. _ \+ ~ - \(no '/' and no spaces\), at most (?P<most>\d+) characters",
        give={"version": "2.0.0"},
    ),
    Row(
        "invalid_listen",
        "service_listen has a name",
        release(version="2.0.0-name", listen=["localhost"]),
        r"use for example 8080, (?P<example>[\d.:]+), .*",
        give={"listen": [f"127.0.0.1:{PORT}"]},
    ),
    Row(
        "invalid_keep",
        "release_keep is 1",
        release(keep=1),
        r"keep at least (?P<least>\d): the current and the last good",
        give={"keep": "<least>"},
    ),
    Row("invalid_duration", "release_soak_time is negative", release(soak_time=-1), SECONDS, give={"soak_time": 0}),
    Row(
        "invalid_root",
        "service_root is the root",
        release(root="/"),
        literal("use /opt/NAME"),
        give={"root": f"/opt/{SERVICE}"},
    ),
    Row(
        "invalid_weights",
        "release_weights fall",
        proxy(weights=[50, 10]),
        literal(PERCENTAGES),
        give={"proxy": {"weights": [5, 25, 100]}},
    ),
    Row(
        "invalid_ports",
        "service_proxy_ports are one port twice",
        proxy(ports=[18080, 18080]),
        r"give two different ports of this host that nobody else uses, for example .*",
        give={"proxy": {"ports": [18080, 18081]}},
    ),
    Row(
        "invalid_pause",
        "release_pause_time is 0",
        proxy(pause_time=0),
        r"give seconds, more than 0 and at most (?P<most>\d+)",
        give={"proxy": {"pause_time": 900}},
    ),
    Row(
        "invalid_ratio",
        "release_max_latency_ratio is a percentage",
        proxy(max_latency_ratio=0.5),
        literal("give 1 or more, or 0"),
        give={"proxy": {"max_latency_ratio": 2}},
    ),
    Row(
        "invalid_smoke",
        "a smoke command is one text",
        release(smoke=[["/bin/test", 1]], rehearsal="18071"),
        literal("put it in quotes"),
        give={"smoke": [["/bin/test", "1"]]},
    ),
    Row(
        "invalid_once",
        "what is run once has a prefix of systemd",
        release(once={"command": ["+/bin/sh"]}),
        literal("write a path in the release first, such as bin/shop, or a program of the host"),
        give={"once": {}},
    ),
    Row(
        "smoke_without_rehearsal",
        "smoke commands and no rehearsal",
        release(smoke=[["/bin/true"]]),
        literal("set service_rehearsal, or leave release_smoke empty"),
        give={"smoke": []},
    ),
    Row(
        "invalid_environment",
        "a name of the environment has a space",
        release(environment={"A B": "1"}),
        literal("use letters, digits and '_', not starting with a digit"),
        give={"environment": {}},
    ),
    Row(
        "invalid_environment",
        "a value of the environment has two lines",
        release(environment={"A": "1\n2"}),
        literal("put such a value into a configuration file (service_config_files)"),
        give={"environment": {}},
    ),
    Row(
        "invalid_probe",
        "release_probe has nothing to ask",
        release(probe={"rate": 5}, health={}),
        literal("give release_probe.url the address that users have, or leave release_probe empty"),
        give={"probe": {"rate": 5, "url": PROBE}},
    ),
    Row(
        "invalid_probe",
        "release_probe.rate is negative",
        release(probe={"rate": -1, "url": PROBE}),
        literal("give a number, 0 or more"),
        give={"probe": {"rate": 5, "url": PROBE}},
    ),
    Row(
        "invalid_health",
        "release_health.rise is 0",
        release(health={**HEALTH, "rise": 0}),
        literal("give a whole number, 1 or more"),
        give={"health": {**HEALTH, "rise": 1}},
    ),
    Row(
        "health_option",
        "the URL of release_health has no scheme",
        release(health={"url": f"127.0.0.1:{PORT}"}),
        r"write (?P<scheme>http://)HOST:PORT/PATH or https://…",
        give={"health": {"url": f"<scheme>127.0.0.1:{PORT}/readyz"}},
    ),
    Row(
        "health_option",
        "an option of release_health is misspelt",
        release(health={**HEALTH, "intervall": 1}),
        r"use interval, or remove it",
        give={"health": HEALTH},
    ),
    Row(
        "health_option",
        "a status of release_health is no number",
        release(health={**HEALTH, "status": "fine"}),
        r"write a status or a range such as (?P<range>[\d-]+)",
        give={"health": {**HEALTH, "status": "<range>"}},
    ),
    Row(
        "unsupported_option",
        "a task has an option that only the module may use",
        release(digest="0"),
        literal("remove it from the task"),
        give={"digest": None},
    ),
    Row(
        "unsupported_option",
        "a task asks for the report of check mode without check mode",
        release(report=True),
        r"(?P<remove>remove it), or set check_mode: true",
        give={"report": None},
    ),
    Row(
        "no_such_address",
        "service_listen has an address of another host",
        release(version="2.0.0-address", listen=[str(PORT), "192.0.2.9:7171"]),
        literal("give the host that address (see ip address), or correct service_listen"),
        "ip address del 192.0.2.9/32 dev lo 2>/dev/null || true",
        "ip address add 192.0.2.9/32 dev lo",
        undo="ip address del 192.0.2.9/32 dev lo",
    ),
    # --- rollbacks, purges and removals
    Row(
        "invalid_release",
        "a rollback names a version",
        Task("rollback", {"name": SERVICE, "release": "1/0"}),
        literal("use an id from slipway.go.release_info"),
        give={"release": "@current"},
    ),
    Row(
        "unknown_release",
        "a rollback names a release that is not there",
        Task("rollback", {"name": SERVICE, "release": "9.9.9-0123456789"}),
        r"choose one of: (?P<id>[^, ]+).*",
        give={"release": "@current"},
    ),
    Row(
        "unknown_service",
        "a rollback names a service that is not there",
        Task("rollback", {"name": "nothing"}),
        literal("choose a service that sudo slipway status lists"),
        give={"name": SERVICE, "release": "@current"},
    ),
    Row(
        "empty_of",
        "a survey leaves the version of a rollback empty",
        Task("rollback", {"name": SERVICE, "of": ""}),
        literal("give a version or an id, or leave release_rollback_of undefined"),
        give={"of": "9.9.9"},
    ),
    Row(
        "not_filled_in",
        "AWX has not filled in the version of a rollback",
        Task("rollback", {"name": SERVICE, "of": "{{ '{{' }} run }}"}),
        r"set it in the variables of the job template \(.*\), or give a version or an id",
        give={"of": "9.9.9"},
    ),
    Row(
        "name_not_confirmed",
        "remove_confirm is misspelt",
        Task("remove", {"name": "gone", "confirm": "gonne"}),
        r"set remove_confirm to (?P<name>\w+) if that service is to be removed",
        give={"confirm": "<name>"},
    ),
    # --- files that the modules write
    Row(
        "invalid_path",
        "a file has a relative path",
        files({"path": "fixes.conf"}),
        literal("name the file in full"),
        give=one(),
    ),
    Row(
        "invalid_mode",
        "YAML has read a mode as a number",
        files({"mode": "420x"}),
        r"give an octal number such as '(?P<mode>\d+)'",
        give=one(mode="<mode>"),
    ),
    Row(
        "no_content",
        "a file has no content",
        files({"content": None}),
        r"set content or secrets, or state to absent",
        give=one(),
    ),
    Row(
        "no_such_file",
        "a secret is of a file that is not listed",
        files({}, secrets={"/etc/other.conf": "x"}),
        literal("name the path in files, too"),
        give={"files": [{"path": "/etc/fixes.conf", "content": "x\n"}, {"path": "/etc/other.conf"}]},
    ),
    Row(
        "two_contents",
        "a file has a content and a secret",
        files({}, secrets={"/etc/fixes.conf": "x"}),
        literal("leave one of them out"),
        give={"secrets": {}},
    ),
    Row(
        "no_such_owner",
        "a file belongs to a user who is not there",
        files({"path": "/etc/fixes-owned.conf", "owner": "fixesowner"}),
        literal("create it first, or name another"),
        "userdel fixesowner 2>/dev/null || true",
        "useradd --system fixesowner",
    ),
    Row(
        "not_a_file",
        "a folder has the path of a file",
        files({"path": "/etc/fixes-folder"}),
        literal("move it away"),
        "mkdir -p /etc/fixes-folder",
        "mv /etc/fixes-folder /srv/fixes-folder",
        undo="rm -rf /srv/fixes-folder /etc/fixes-folder",
    ),
    Row(
        "invalid_file",
        "sudo refuses a line",
        files(
            {
                "path": "/etc/sudoers.d/fixes",
                "content": "nonsense\n",
                "mode": "0440",
                "validate": ["visudo", "-cf", "%s"],
            }
        ),
        r"correct the variable it comes from",
        give={
            "files": [
                {
                    "path": "/etc/sudoers.d/fixes",
                    "content": "# nothing\n",
                    "mode": "0440",
                    "validate": ["visudo", "-cf", "%s"],
                }
            ]
        },
        undo="rm -f /etc/sudoers.d/fixes",
    ),
    # --- units
    Row(
        "invalid_unit_name",
        "the name of a unit has no suffix",
        units("fixes", "[Service]\nExecStart=/bin/true\n"),
        r"use for example (?P<name>\S+) or \S+",
        give={"units": [{"name": "fixes.service", "content": "[Service]\nExecStart=/bin/true\n"}]},
        undo="rm -f /etc/systemd/system/fixes.service; systemctl daemon-reload",
    ),
    Row(
        "invalid_unit",
        "systemd refuses a directive of a unit",
        units("fixes-own.service", "[Service]\nExecStart=/bin/true\nProtectSystem=perhaps\n"),
        r"correct .*",
        give={
            "units": [{"name": "fixes-own.service", "content": "[Service]\nExecStart=/bin/true\nProtectSystem=full\n"}]
        },
        undo="rm -f /etc/systemd/system/fixes-own.service; systemctl daemon-reload",
    ),
    Row(
        "unit_taken",
        "the service has the name of one of the distribution",
        units("systemd-logind.service", "[Service]\nExecStart=/bin/true\n"),
        literal("choose another service_name"),
        give={"units": [{"name": "fixes-free.service", "content": "[Service]\nExecStart=/bin/true\n"}]},
        undo="rm -f /etc/systemd/system/fixes-free.service; systemctl daemon-reload",
    ),
    Row(
        "not_a_service_user",
        "service_user can log in",
        Task("system_user", {"name": "person", "group": "person"}),
        literal("choose a name of the service's own in service_user"),
        "useradd --create-home --shell /bin/bash person 2>/dev/null || true",
        give={"name": "fixesuser", "group": "fixesuser"},
        undo="userdel -r person; userdel fixesuser || true",
    ),
    # --- the configuration of a service
    Row(
        "foreign_unit",
        "a unit of the service's name is somebody else's",
        checked("kiosk"),
        r"look at it with slipway.go.adopt, then move it away and run systemctl daemon-reload,"
        r" or choose another service_name",
        "printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/kiosk.service; systemctl daemon-reload",
        "mv /etc/systemd/system/kiosk.service /srv/; systemctl daemon-reload",
    ),
    Row(
        "foreign_unit",
        "a service of that name runs, and is somebody else's",
        checked("booth"),
        r"look at it with slipway.go.adopt, then stop it with (?P<stop>systemctl disable --now \S+),"
        r" then move (it|them) away and run systemctl daemon-reload,"
        r" or choose another service_name",
        "printf '[Service]\\nExecStart=/bin/sleep 3600\\n[Install]\\nWantedBy=multi-user.target\\n'"
        " > /etc/systemd/system/booth.service; systemctl daemon-reload; systemctl enable --now booth.service",
        "<stop>; mv /etc/systemd/system/booth.service /srv/; systemctl daemon-reload",
    ),
    Row(
        "foreign_files",
        "configuration of the service's name is somebody else's",
        checked("stall"),
        literal("move it away, or choose another service_name"),
        "mkdir -p /etc/stall/config; echo mine > /etc/stall/config/own.yml",
        "mv /etc/stall/config/own.yml /srv/",
        undo="rm -rf /etc/stall",
    ),
    Row(
        "missing_template",
        "the template of a file is not there",
        checked("bazaar", config_files=[{"src": "@files/later.yml.j2"}]),
        literal("correct the path, or put the template there"),
        here="echo 'a: 1' > later.yml.j2",
    ),
    Row(
        "missing_template",
        "the template of a file is a folder",
        checked("bazaar", config_files=[{"src": "@files/tree"}]),
        literal("name a file in src"),
        give={"config_files": [{"src": "@files/text"}]},
    ),
    Row(
        "invalid_template",
        "a template uses what nobody has defined",
        checked("bazaar", config_files=[{"src": "@files/broken.yml.j2"}]),
        literal("correct the template, or define what it uses for every host"),
        here="echo 'a: 1' > broken.yml.j2",
    ),
    Row(
        "invalid_config_files",
        "the files of a service are one text",
        checked("bazaar", config_files="text"),
        literal("write it as a list of src"),
        give={"config_files": [{"src": "@files/text"}]},
    ),
    Row(
        "missing_src",
        "a file of a service has no template",
        checked("bazaar", config_files=[{"dest": "a.yml"}]),
        literal("name the template in src"),
        give={"config_files": [{"src": "@files/text", "dest": "a.yml"}]},
    ),
    Row(
        "two_contents",
        "two files of a service have one name",
        checked("bazaar", config_files=[{"src": "@files/text"}, {"src": "@files/SUMS", "dest": "text"}]),
        literal("give one of them another dest"),
        give={"config_files": [{"src": "@files/text"}, {"src": "@files/SUMS", "dest": "sums"}]},
    ),
    Row(
        "invalid_swap",
        "service_swap is misspelt",
        release(strategy="sockets"),
        r"set service_swap to one of (?P<one>\w+).*",
        give={"strategy": "socket"},
    ),
    Row(
        "other_group",
        "the group of the release is not that of the service's user",
        release(version="2.0.0-group", group="fixesshop"),
        literal("set service_user, or service_group, for this playbook as for site.yml, best in the inventory"),
        give={"group": SERVICE},
    ),
    Row(
        "undeclared_port",
        "release_health asks another port than the service's",
        release(version="2.0.0-port", listen=["7172"]),
        literal("correct the port, or add it to service_listen, unless the service opens a port of its own there"),
        give={"listen": [str(PORT)]},
        alone=True,
    ),
]
