"""A host after releases by the restart strategy, with a log file and a configuration file (testinfra)."""

import json

PORT = 9090


def version(host):
    url = f"http://127.0.0.1:{PORT}/version"
    script = f"import urllib.request as u; print(u.urlopen('{url}', timeout=5).read().decode())"
    return json.loads(host.check_output("python3 -c %s", script))["version"]


def test_the_last_good_release_serves_again(host):
    assert version(host) == "2.0.0"
    assert host.file("/opt/worker/current").linked_to == host.file("/opt/worker/last-good").linked_to


def test_no_units_of_another_strategy(host):
    assert not host.file("/etc/systemd/system/worker.socket").exists
    assert host.service("worker").is_enabled


def test_configuration_belongs_to_the_release(host):
    file = host.file("/opt/worker/current/config/worker.conf")
    assert file.content_string == "colour = blue\n"
    assert (file.mode, file.user, file.group) == (0o640, "root", "worker")
    older = host.check_output("cat /opt/worker/releases/2.0.0-*/config/worker.conf").splitlines()
    assert sorted(older) == ["colour = blue", "colour = green"]


def test_the_log_file_is_written_and_rotated(host):
    log = host.file("/var/log/worker/worker.log")
    assert log.size > 0
    host.check_output("logrotate --force /etc/logrotate.d/worker")
    assert host.file("/var/log/worker/worker.log.1").size > 0
    assert version(host) == "2.0.0"


def test_only_root_decides_what_the_log_file_is(host):
    folder = host.file("/var/log/worker")
    assert (folder.mode, folder.user, folder.group) == (0o750, "root", "worker")
    assert host.file("/var/log/worker/own").user == "worker"


def test_every_directive_can_be_overridden(host):
    unit = host.file("/etc/systemd/system/worker@.service").content_string
    assert "ProtectHome" not in unit
    assert "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n" in unit
