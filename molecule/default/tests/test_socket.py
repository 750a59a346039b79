"""What a host looks like, and does, after a release by the socket strategy and a rollback (testinfra)."""

import json
import re

PORT = 8080


def instances(host):
    listed = host.check_output("systemctl list-units --plain --no-legend --state=active 'shop@*'")
    return [line.split()[0] for line in listed.splitlines()]


def version(host):
    url = f"http://127.0.0.1:{PORT}/version"
    script = f"import urllib.request as u; print(u.urlopen('{url}', timeout=5).read().decode())"
    return json.loads(host.check_output("python3 -c %s", script))["version"]


def test_the_user_cannot_log_in(host):
    user = host.user("shop")
    assert user.shell == "/usr/sbin/nologin"
    assert user.uid < 1000
    assert user.group == "shop"


def test_the_release_before_runs_alone(host):
    current = host.file("/opt/shop/current").linked_to
    assert re.fullmatch(r"/opt/shop/releases/1\.0\.0-[0-9a-f]{10}", current)
    assert host.file("/opt/shop/last-good").linked_to == current
    assert instances(host) == [f"shop@{current.rpartition('/')[2]}.service"]
    assert version(host) == "1.0.0"


def test_boot_brings_that_release_back(host):
    current = host.file("/opt/shop/current").linked_to.rpartition("/")[2]
    assert host.file("/var/lib/slipway/shop/boot.env").content_string == f"SLIPWAY_RELEASE={current}\n"
    assert host.service("shop").is_enabled
    assert host.service("shop.socket").is_enabled


def test_secrets_are_for_the_service_only(host):
    for path in ("/etc/shop/environment", "/opt/shop/current/environment"):
        file = host.file(path)
        assert (file.mode, file.user, file.group) == (0o640, "root", "shop")
    # Nobody can list them, and each is for its own group.
    assert host.file("/opt/shop/releases").mode == 0o711
    assert host.file(host.check_output("readlink -f /opt/shop/current")).mode == 0o750


def test_the_environment_arrives_as_written(host):
    pid = host.check_output("systemctl show --property=MainPID --value %s", instances(host)[0])
    environment = host.file(f"/proc/{pid}/environ").content.split(b"\0")
    assert b'GREETING=say "hi" for $5' in environment


def test_the_sandbox_is_tight(host):
    said = host.check_output("systemd-analyze security --no-pager %s", instances(host)[0])
    score = float(re.search(r"Overall exposure level for .*?: ([0-9.]+)", said).group(1))
    assert score <= 1.5


def test_history_tells_what_happened(host):
    lines = host.file("/var/lib/slipway/shop/journal.jsonl").content_string.splitlines()
    journal = [json.loads(line) for line in lines]
    ends = [e for e in journal if e["event"] in ("committed", "rolled_back", "refused")]
    assert [(e["event"], e["kind"], e["release"].partition("-")[0]) for e in ends] == [
        ("committed", "release", "1.0.0"),
        ("committed", "release", "2.0.0"),
        ("refused", "release", "3.0.0"),
        ("committed", "rollback", "1.0.0"),
    ]


def test_no_transaction_is_left(host):
    assert not host.file("/var/lib/slipway/shop/state.json").exists


def test_systemctl_typed_from_habit(host):
    before = host.check_output("systemctl show --property=MainPID --value %s", instances(host)[0])
    host.check_output("systemctl restart shop")
    assert host.check_output("systemctl show --property=MainPID --value %s", instances(host)[0]) != before
    assert version(host) == "1.0.0"
    host.check_output("systemctl stop shop")
    assert instances(host) == []
    assert not host.socket(f"tcp://{PORT}").is_listening
    host.check_output("systemctl start shop")
    assert version(host) == "1.0.0"


def test_a_killed_release_comes_back_by_itself(host):
    unit = instances(host)[0]
    host.check_output("systemctl kill --signal=KILL %s", unit)
    assert version(host) == "1.0.0"  # the socket holds the request until the release is back
    assert instances(host) == [unit]


def test_the_guard_starts_the_last_good_release(host):
    unit = instances(host)[0]
    host.check_output("systemctl stop %s", unit)
    assert version(host) == "1.0.0"
    assert instances(host) == [unit]
