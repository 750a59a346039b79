from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman.change import Place, Plan


class Commands:
    """Stands in for systemd: remembers what was asked, knows the timers that are set, and fails on request."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failing: tuple[str, ...] = ()
        self.timers: set[str] = set()
        self.slow = 0.0

    def __call__(self, argv):
        self.asked.append(list(argv))
        if argv[0] in self.failing:
            return 1, "refused"
        if argv[0] == "systemd-run":
            timer = argv[3].partition("=")[2] + ".timer"
            if timer in self.timers:
                return 1, f"Failed to start transient timer unit: Unit {timer} was already loaded"
            self.timers.add(timer)
        elif argv[:2] == ["systemctl", "stop"]:
            time.sleep(self.slow)
            self.timers.difference_update(argv[2:])
        elif argv[:2] == ["systemctl", "is-active"]:
            return 3, "\n".join("active" if unit in self.timers else "inactive" for unit in argv[2:])
        return 0, ""


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def place(tmp_path: Path, commands: Commands) -> Place:
    for name in ("units", "run"):
        (tmp_path / name).mkdir()
    return Place(str(tmp_path / "deadman"), str(tmp_path / "units"), str(tmp_path / "run"), commands)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


def left_behind(place: Place) -> list[str]:
    """But for locks, which a reboot removes, and for what was taken back last, which nothing is armed by."""
    names = []
    for root in (place.root, place.units, place.runtime):
        for folder, _folders, files in os.walk(root):
            names += [os.path.join(folder, file) for file in files if not file.endswith(".lock")]
    return [name for name in names if not os.path.dirname(name).endswith(".kept")]


def plan(*paths: Path, **more) -> Plan:
    return Plan([str(path) for path in paths], **more)


def test_revert_restores_content_mode_and_absence(place, etc):
    config = etc / "sshd_config"
    config.write_bytes(b"old\xff")
    config.chmod(0o640)
    new = etc / "new"
    token = deadman.arm("ssh", 30, plan(config, new), place)
    config.write_text("broken")
    config.chmod(0o600)
    new.write_text("x")
    line = deadman.revert("ssh", token, "deadline", place)
    assert config.read_bytes() == b"old\xff"
    assert config.stat().st_mode & 0o777 == 0o640
    assert not new.exists()
    assert line["restored"] == [str(config), str(new)]
    assert line["problems"] == []
    assert deadman.armed("ssh", place) is None


def test_revert_restores_trees_and_links(place, etc):
    tree = etc / "ufw"
    (tree / "sub").mkdir(parents=True)
    (tree / "user.rules").write_text("a")
    (tree / "link").symlink_to("user.rules")
    deadman.arm("firewall", 30, plan(tree), place)
    (tree / "user.rules").unlink()
    (tree / "user.rules").mkdir()
    (tree / "link").unlink()
    (tree / "extra").mkdir()
    (tree / "extra" / "file").write_text("x")
    (tree / "sub").rmdir()
    deadman.revert("firewall", place=place)
    assert sorted(p.name for p in tree.iterdir()) == ["link", "sub", "user.rules"]
    assert (tree / "user.rules").read_text() == "a"
    assert os.readlink(tree / "link") == "user.rules"


def test_untouched_files_are_not_written_again(place, etc):
    config = etc / "c"
    config.write_text("same")
    deadman.arm("x", 30, plan(config), place)
    inode = config.stat().st_ino
    assert deadman.revert("x", place=place)["restored"] == []
    assert config.stat().st_ino == inode


def test_confirm_leaves_nothing_behind(place, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), place)
    assert left_behind(place)
    deadman.confirm("ssh", token, place)
    assert left_behind(place) == []
    stopped = [argv[2:] for argv in place.run.asked if argv[:2] == ["systemctl", "stop"]]
    assert any("slipway-deadman-ssh.timer" in units for units in stopped)


def test_a_late_confirmation_says_that_it_was_reverted(place, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), place)
    deadman.revert("ssh", token, "deadline", place)
    with pytest.raises(SlipwayError) as raised:
        deadman.confirm("ssh", token, place)
    assert raised.value.code == "reverted"


def test_a_foreign_token_neither_confirms_nor_reverts(place, etc):
    deadman.arm("ssh", 30, plan(etc / "c"), place)
    with pytest.raises(SlipwayError) as raised:
        deadman.confirm("ssh", "0" * 32, place)
    assert raised.value.code == "not_armed"
    assert deadman.revert("ssh", "0" * 32, "deadline", place) is None
    assert deadman.armed("ssh", place)


def test_arming_twice_is_refused_and_changes_nothing(place, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), place)
    with pytest.raises(SlipwayError) as raised:
        deadman.arm("ssh", 30, plan(etc / "d"), place)
    assert raised.value.code == "already_armed"
    assert deadman.armed("ssh", place)["token"] == token


def test_without_a_timer_nothing_is_armed(place, etc, commands):
    commands.failing = ("systemd-run",)
    with pytest.raises(SlipwayError) as raised:
        deadman.arm("ssh", 30, plan(etc / "c"), place)
    assert raised.value.code == "no_timer"
    assert left_behind(place) == []


@pytest.mark.parametrize("known", [True, False])
def test_the_timer_survives_the_isolation_of_a_target_where_systemd_can_say_so(place, etc, commands, known):
    def run(argv):
        if argv[0] == "systemd-run" and "IgnoreOnIsolate" in str(argv) and not known:
            commands.asked.append(list(argv))
            return 1, "Unknown assignment: IgnoreOnIsolate=yes"
        return commands(argv)

    deadman.arm("ssh", 30, plan(etc / "c"), Place(place.root, place.units, place.runtime, run))
    assert commands.timers == {"slipway-deadman-ssh.timer"}
    asked = [argv for argv in commands.asked if argv[0] == "systemd-run"]
    assert ["--timer-property=IgnoreOnIsolate=yes" in argv for argv in asked] == ([True] if known else [True, False])
    assert asked[-1][-5:] == [
        os.path.join(place.folder("ssh"), deadman.RUNNER),
        "revert",
        "ssh",
        "--token",
        asked[-1][-1],
    ]


def test_commands_run_after_the_files_are_back(place, etc, commands):
    config = etc / "c"
    config.write_text("old")
    seen = []
    place = Place(
        place.root, place.units, place.runtime, lambda argv: (seen.append((argv[0], config.read_text())), (0, ""))[1]
    )
    deadman.arm("ssh", 30, plan(config, run=[["reload"]], run_at_boot=[["boot"]]), place)
    config.write_text("new")
    seen.clear()
    deadman.revert("ssh", place=place)
    assert seen[0] == ("reload", "old")
    assert "boot" not in [word for word, _content in seen]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(deadman, "PAUSE", 0.01)


def test_a_command_that_fails_for_a_moment_is_repeated(place, etc, impatient):
    """A lock of the firewall that somebody else holds must not leave in force what cuts the operator off."""
    answers = [(4, "could not lock xtables"), (0, "")]
    busy = Place(place.root, place.units, place.runtime, lambda argv: answers.pop(0) if argv[0] == "ufw" else (0, ""))
    deadman.arm("firewall", 30, plan(run=[["ufw", "reload"]]), busy)
    line = deadman.revert("firewall", place=busy)
    assert (line["ran"][0]["code"], line["problems"], answers) == (0, [], [])


def test_a_failing_command_is_journaled_and_the_revert_counts(place, etc, commands, impatient):
    deadman.arm("ssh", 30, plan(etc / "c", run=[["reload"]]), place)
    commands.failing = ("reload",)
    deadman.revert("ssh", place=place)
    line = json.loads(Path(place.journal()).read_text())
    assert line["ran"] == [{"argv": ["reload"], "code": 1, "said": "refused"}]
    assert line["problems"] == ["reload failed (1): refused"]
    assert commands.asked.count(["reload"]) == 3
    assert line["reason"] == "asked"
    assert deadman.armed("ssh", place) is None


def test_a_path_that_cannot_be_restored_keeps_it_armed_for_the_next_boot(place, etc, monkeypatch):
    config = etc / "c"
    config.write_text("old")
    deadman.arm("ssh", 30, plan(config), place)
    config.write_text("new")

    def no_space(entry, there):
        raise OSError(28, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(deadman, "_restore_file", no_space)
        assert deadman.revert("ssh", place=place)["problems"] == [f"{config}: No space left"]
    assert deadman.armed("ssh", place)
    assert os.path.exists(place.boot_unit("ssh"))
    assert deadman.revert("ssh", place=place)["problems"] == []
    assert config.read_text() == "old"


@pytest.mark.parametrize("rebooted", [True, False], ids=["reboot", "soft reboot or isolate"])
def test_the_boot_unit_acts_unless_the_timer_is_in_charge(place, etc, commands, rebooted):
    config = etc / "c"
    config.write_text("old")
    token = deadman.arm("ssh", 30, plan(config, run=[["reload", "a b"]], run_at_boot=[["boot"]]), place)
    config.write_text("new")
    boot = ["revert", "ssh", "--token", token, "--boot"]
    assert deadman.main(boot, place) == 0
    commands.timers = {"slipway-deadman-ssh.service"}
    assert deadman.main(boot, place) == 0
    assert config.read_text() == "new"
    commands.timers.clear()
    if rebooted:
        os.unlink(place.marker("ssh"))
    assert deadman.main(boot, place) == 0
    assert config.read_text() == "old"
    later = [argv[-1] for argv in commands.asked if "slipway-deadman-ssh-after" in str(argv)]
    assert ["boot"] in commands.asked
    assert later == ([] if rebooted else ["reload 'a b'"]), "services that still run were not told"
    assert left_behind(place) == [place.journal()]


def test_the_boot_unit_of_an_interrupted_confirmation_does_not_start(place, etc):
    deadman.arm("ssh", 30, plan(etc / "c"), place)
    unit = deadman.boot_unit(place, "ssh", Plan(), "t").splitlines()
    needed = next(line.partition("=")[2] for line in unit if line.startswith("ConditionPathExists="))
    assert os.path.isfile(needed)
    os.rename(place.folder("ssh"), os.path.join(place.root, ".gone"))
    assert not os.path.exists(needed)


def test_the_boot_unit_is_before_the_network_unless_late(place):
    early = deadman.boot_unit(place, "ssh", Plan(), "t")
    late = deadman.boot_unit(place, "shop", Plan(stage="late"), "t")
    assert "Before=network-pre.target" in early
    assert "systemd-sysctl.service" in next(line for line in early.splitlines() if line.startswith("After="))
    assert "DefaultDependencies=no" in early
    assert "After=network.target" in late
    assert "Before=" not in late


def test_exactly_one_of_confirm_and_revert_wins(place, etc):
    config = etc / "c"
    for _round in range(40):
        config.write_text("old")
        token = deadman.arm("race", 30, plan(config), place)
        config.write_text("new")
        outcome = {}

        def confirm(token, outcome):
            try:
                deadman.confirm("race", token, place)
                outcome["confirmed"] = True
            except SlipwayError as error:
                outcome["confirmed"] = False
                outcome["code"] = error.code

        def revert(token, outcome):
            outcome["reverted"] = deadman.revert("race", token, "deadline", place) is not None

        threads = [threading.Thread(target=work, args=(token, outcome)) for work in (confirm, revert)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcome["confirmed"] != outcome["reverted"], outcome
        assert config.read_text() == ("new" if outcome["confirmed"] else "old")


def test_the_runner_works_without_ansible(place, etc, tmp_path):
    archive = tmp_path / "revert.pyz"
    archive.write_bytes(deadman.runner_archive())
    done = subprocess.run(
        [sys.executable, "-I", str(archive), "confirm", "nothing-armed-here", "--token", "x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["code"] == "not_armed"
    assert done.returncode == 1
    assert subprocess.run([sys.executable, "-I", str(archive)], capture_output=True, check=False).returncode == 2


def test_wait_until_free_ends_with_the_other_change(place, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), place)
    timer = threading.Timer(0.3, lambda: deadman.revert("ssh", token, "deadline", place))
    timer.start()
    begun = time.monotonic()
    deadman.wait_until_free("ssh", place)
    assert time.monotonic() - begun < 5
    assert deadman.armed("ssh", place) is None


def test_a_change_that_cannot_be_taken_back_is_not_waited_for(place, etc, commands, monkeypatch):
    """Else each later run would hang, and not say why."""
    deadman.arm("ssh", 1, plan(etc / "c"), place)
    failed = deadman.Restored([], [f"{etc}/c: Read-only file system"], [])
    with monkeypatch.context() as patch:
        patch.setattr(deadman, "restore", lambda _entries: failed)
        deadman.revert("ssh", reason="deadline", place=place)
        commands.timers.clear()
        for act in (False, True):
            with pytest.raises(SlipwayError, match=r"could not be taken back: .*/c: Read-only file system") as caught:
                deadman.wait_until_free("ssh", place, act)
            assert caught.value.code == "not_reverted"
    deadman.wait_until_free("ssh", place)
    assert deadman.armed("ssh", place) is None, "the next run did not take it back, though it could have"


@pytest.mark.parametrize("last", ["rename", "systemd-run"])
def test_a_change_that_was_killed_before_its_timer_is_disarmed_by_the_next_run(place, etc, commands, last):
    """Nothing had been changed yet, and nobody else would ever end it; what others have made since is theirs."""
    (etc / "c").write_text("old")

    def die(argv):
        if last == "rename" or argv[0] == last:
            os._exit(9)
        return 0, ""

    child = os.fork()
    if not child:
        deadman.arm("ssh", 1, plan(etc / "c"), Place(place.root, place.units, place.runtime, die))
    os.waitpid(child, 0)
    assert deadman.armed("ssh", place)
    with pytest.raises(SlipwayError, match="nothing is going to take it back") as caught:
        deadman.wait_until_free("ssh", place, act=False)
    assert "without check mode" in caught.value.fix
    (etc / "c").write_text("by hand, weeks later")
    deadman.wait_until_free("ssh", place)
    assert deadman.last_revert("ssh", place) is None
    assert (etc / "c").read_text() == "by hand, weeks later"
    assert left_behind(place) == []


def test_what_lost_its_timer_is_taken_back_by_the_next_run(place, etc, commands):
    (etc / "c").write_text("old")
    deadman.arm("ssh", 30, plan(etc / "c"), place)
    (etc / "c").write_text("new")
    commands.timers.clear()
    deadman.wait_until_free("ssh", place)
    assert (etc / "c").read_text() == "old"
    assert deadman.last_revert("ssh", place)["reason"] == "abandoned"


def test_what_an_earlier_version_has_armed_is_taken_back(place, etc, commands):
    """It wrote no mark that its timer ticks, and did not say who is held."""
    (etc / "c").write_text("old")
    token = deadman.arm("ssh", 30, plan(etc / "c"), place)
    os.unlink(os.path.join(place.folder("ssh"), deadman.TICKING))
    armed = Path(place.folder("ssh"), deadman.PLAN)
    saved = json.loads(armed.read_text())
    armed.write_text(json.dumps({k: v for k, v in saved.items() if k not in ("held", "marks_ticking")}))
    (etc / "c").write_text("new")
    commands.timers.clear()
    deadman.wait_until_free("ssh", place)
    assert (etc / "c").read_text() == "old"
    (etc / "c").write_text("late")
    with pytest.raises(SlipwayError, match="put back, too"):
        deadman.confirm("ssh", token, place)
    assert (etc / "c").read_text() == "old"


def test_a_clock_that_jumps_does_not_end_the_time_to_confirm(place, etc, commands, monkeypatch):
    token = deadman.arm("ssh", 30, plan(etc / "c"), place)
    now = time.time
    monkeypatch.setattr(deadman.time, "time", lambda: now() + 3600)
    timer = threading.Timer(0.5, deadman.confirm, ["ssh", token, place])
    timer.start()
    deadman.wait_until_free("ssh", place)
    timer.join()
    assert deadman.last_revert("ssh", place) is None


@pytest.mark.parametrize("ends", ["confirm", "revert"])
def test_whoever_waits_for_a_name_gets_all_of_it(place, etc, commands, ends):
    """The one before has cleared up when the next one is armed; else it takes away what the next one needs."""
    commands.slow = 0.02
    for _round in range(20):
        token = deadman.arm("ssh", 30, plan(etc / "c"), place)
        end = {"confirm": [token, place], "revert": [token, "asked", place]}[ends]
        other = threading.Thread(target=getattr(deadman, ends), args=["ssh", *end])
        other.start()
        deadman.wait_until_free("ssh", place)
        second = deadman.arm("ssh", 30, plan(etc / "c"), place)
        other.join()
        assert os.path.exists(place.boot_link("ssh"))
        assert os.path.exists(place.boot_unit("ssh"))
        assert os.path.exists(place.marker("ssh"))
        assert commands.timers == {"slipway-deadman-ssh.timer"}
        deadman.confirm("ssh", second, place)


def test_a_timer_that_a_crash_has_left_does_not_keep_the_name(place, etc, commands):
    commands.timers.add("slipway-deadman-ssh.timer")
    deadman.arm("ssh", 30, plan(etc / "c"), place)
    assert commands.asked[-1][0] == "systemd-run"
    assert commands.timers == {"slipway-deadman-ssh.timer"}


def test_what_a_crash_has_left_is_swept(place, etc):
    for left in (".ssh.gone", ".ssh.0123", ".ssh-two.gone"):
        (Path(place.root) / left / "x").mkdir(parents=True)
    deadman.confirm("ssh", deadman.arm("ssh", 30, plan(etc / "c"), place), place)
    assert os.listdir(place.root) == [".ssh-two.gone"]


def test_a_change_whose_revert_has_begun_cannot_be_confirmed(place, etc, monkeypatch):
    """Half of it is taken back, and the rest stays armed for the next boot."""
    first, second = etc / "a", etc / "b"
    for path in (first, second):
        path.write_text("old")
    token = deadman.arm("ssh", 30, plan(first, second), place)
    for path in (first, second):
        path.write_text("new")
    real = deadman._restore_file

    def broken(entry, there):
        if entry["path"] == str(second):
            raise OSError(30, "Read-only file system")
        real(entry, there)

    monkeypatch.setattr(deadman, "_restore_file", broken)
    deadman.revert("ssh", token, "deadline", place)
    assert (first.read_text(), second.read_text()) == ("old", "new")
    with pytest.raises(SlipwayError) as caught:
        deadman.confirm("ssh", token, place)
    assert caught.value.code == "reverted"
    assert not deadman.disarm("ssh", token, place)
    assert deadman.armed("ssh", place)
    assert deadman.pending("ssh", token, place) is None


def test_a_full_disk_does_not_keep_armed_what_was_taken_back(place, etc, monkeypatch):
    config = etc / "c"
    config.write_text("old")
    token = deadman.arm("ssh", 30, plan(config), place)
    config.write_text("new")

    def full(path, line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deadman, "_append", full)
    deadman.revert("ssh", token, "deadline", place)
    assert config.read_text() == "old"
    assert deadman.armed("ssh", place) is None
    with pytest.raises(SlipwayError) as raised:
        deadman.confirm("ssh", token, place)
    assert raised.value.code == "reverted", "not_armed would pass as confirmed by an attempt whose answer was lost"
    with pytest.raises(SlipwayError) as raised, deadman.hold("ssh", token, place):
        pytest.fail("it was held")
    assert raised.value.code == "reverted"
    assert deadman.taken_back("ssh", token, place)["restored"] == []


def test_a_torn_line_of_the_journal_is_skipped(place, etc):
    tokens = []
    for _round in range(2):
        tokens.append(deadman.arm("ssh", 30, plan(etc / "c"), place))
        deadman.revert("ssh", tokens[-1], "deadline", place)
        with open(place.journal(), "a") as journal:
            journal.write('{"time": 1, "na')
    assert deadman.last_revert("ssh", place)["token"] == tokens[-1]
    with pytest.raises(SlipwayError, match=r"taken back \(deadline\)"):
        deadman.confirm("ssh", tokens[-1], place)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a user: its .ssh is below a directory that is not root's alone."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    folder.chmod(0o777)
    return folder


@pytest.mark.parametrize("before", ["old", None])
def test_a_link_that_a_user_puts_in_the_way_is_not_followed(place, home, etc, before):
    """The revert runs as root: it must not write or remove root's keys because a user's directory became a link."""
    keys, roots = home / ".ssh" / "authorized_keys", etc / "authorized_keys"
    roots.write_text("root's")
    if before:
        keys.write_text(before)
    deadman.arm("access", 30, plan(keys), place)
    (home / ".ssh").rename(home / "away")
    (home / ".ssh").symlink_to(etc)
    line = deadman.revert("access", place=place)
    assert roots.read_text() == "root's"
    assert line["restored"] == []
    assert line["problems"] == [f"{keys}: .ssh is a link in a directory that is not root's alone"]
    assert deadman.armed("access", place) is None, "a user could keep every later change from being made"


def test_a_file_that_a_user_puts_in_the_way_of_a_folder_keeps_nothing_armed(place, home):
    keys = home / ".ssh" / "authorized_keys"
    keys.write_text("old")
    deadman.arm("access", 30, plan(keys), place)
    keys.unlink()
    (home / ".ssh").rmdir()
    (home / ".ssh").write_text("")
    line = deadman.revert("access", place=place)
    assert line["problems"] == [f"{keys}: .ssh is no directory in a directory that is not root's alone"]
    assert deadman.armed("access", place) is None


def test_the_other_paths_are_restored_where_one_is_bent(place, home, etc):
    config = etc / "sudoers"
    config.write_text("old")
    deadman.arm("access", 30, plan(home / ".ssh" / "authorized_keys", config), place)
    config.write_text("new")
    (home / ".ssh").rmdir()
    (home / ".ssh").symlink_to(etc)
    assert deadman.revert("access", place=place)["restored"] == [str(config)]
    assert config.read_text() == "old"


def test_what_leads_through_a_user_s_link_is_not_armed(place, home, etc):
    (home / "link").symlink_to(etc)
    with pytest.raises(SlipwayError) as raised:
        deadman.arm("access", 30, plan(home / "link" / "shadow"), place)
    assert raised.value.code == "bent_path"
    assert left_behind(place) == []


def test_a_directory_that_became_a_link_is_replaced_and_what_it_leads_to_is_left(place, home, etc):
    (etc / "kept").write_text("x")
    deadman.arm("access", 30, plan(home / ".ssh"), place)
    (home / ".ssh").rmdir()
    (home / ".ssh").symlink_to(etc)
    deadman.revert("access", place=place)
    assert (etc / "kept").read_text() == "x"
    assert not (home / ".ssh").is_symlink()
    assert (home / ".ssh").is_dir()


def test_links_of_the_system_are_followed(place, etc, tmp_path):
    (tmp_path / "to").symlink_to("etc/../etc")
    (tmp_path / "from").symlink_to(tmp_path / "to")
    deadman.arm("x", 30, plan(tmp_path / "from" / "c"), place)
    (etc / "c").write_text("new")
    assert deadman.revert("x", place=place)["restored"] == [str(tmp_path / "from" / "c")]
    assert not (etc / "c").exists()


def test_links_in_a_circle_are_refused(place, tmp_path):
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(SlipwayError):
        deadman.arm("x", 30, plan(tmp_path / "a" / "c"), place)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_user_s_file_is_restored_as_the_user_s(place, tmp_path):
    folder = tmp_path / ".ssh"
    keys = folder / "authorized_keys"
    folder.mkdir()
    keys.write_text("old")
    for path in (folder, keys):
        os.chown(path, 65534, 65534)
    keys.chmod(0o600)
    deadman.arm("access", 30, plan(keys), place)
    keys.write_text("new")
    os.chown(keys, 0, 0)
    keys.chmod(0o644)
    assert deadman.revert("access", place=place)["problems"] == []
    status = keys.stat()
    assert (keys.read_text(), status.st_uid, status.st_gid, status.st_mode & 0o777) == ("old", 65534, 65534, 0o600)


@pytest.mark.parametrize("name", ["", "SSH", "a/b", "..", "1a", "a" * 49])
def test_names_that_are_paths_are_refused(place, name):
    with pytest.raises(SlipwayError):
        deadman.arm(name, 30, Plan(), place)


@pytest.mark.parametrize(
    "bad", [Plan(["relative"]), Plan(["/etc/../x"]), Plan(["/"]), Plan(run=[[]]), Plan(run=[[1]]), Plan(stage="soon")]
)
def test_bad_plans_are_refused(place, bad):
    with pytest.raises(SlipwayError):
        deadman.arm("x", 30, bad, place)
    assert left_behind(place) == []


def test_what_is_held_is_not_taken_back_meanwhile(place, etc):
    (etc / "file").write_text("before")
    token = deadman.arm("demo", 60, plan(etc / "file"), place)
    ended = []
    with deadman.hold("demo", token, place):
        due = threading.Thread(target=lambda: ended.append(deadman.revert("demo", token, "deadline", place)))
        due.start()
        (etc / "file").write_text("after")
        time.sleep(0.3)
        assert ended == []
        assert (etc / "file").read_text() == "after"
    due.join(5)
    assert (etc / "file").read_text() == "before"


@pytest.mark.parametrize("why", ["taken back", "fired", "no timer", "confirmed", "another"])
def test_a_change_that_is_not_armed_is_not_made(place, etc, commands, why):
    (etc / "file").write_text("before")
    token = deadman.arm("demo", 60, plan(etc / "file"), place)
    if why == "taken back":
        deadman.revert("demo", token, "deadline", place)
    elif why == "fired":
        commands.timers.add("slipway-deadman-demo.service")
    elif why == "no timer":
        commands.timers.clear()
    elif why == "confirmed":
        deadman.confirm("demo", token, place)
    else:
        token = "0" * 32
    with pytest.raises(SlipwayError) as raised, deadman.hold("demo", token, place):
        pytest.fail("it was held")
    assert raised.value.code == ("not_armed" if why in ("confirmed", "another") else "reverted")


@pytest.mark.parametrize("how", ["confirm", "revert"])
def test_what_was_changed_after_the_revert_is_taken_back_too(place, etc, commands, how):
    """A controller that was paused goes on, with tasks that do not ask whether their change is armed."""
    (etc / "file").write_text("before")
    token = deadman.arm("demo", 60, plan(etc / "file", etc / "new", run=[["reload"]]), place)
    (etc / "file").write_text("during")
    deadman.revert("demo", token, "deadline", place)
    (etc / "file").write_text("late")
    (etc / "new").write_text("late")
    commands.asked.clear()
    if how == "confirm":
        with pytest.raises(SlipwayError, match=r"was taken back .deadline. .* was put back, too") as raised:
            deadman.confirm("demo", token, place)
        assert raised.value.code == "reverted"
        line = raised.value.details["reverted"]
    else:
        line = deadman.revert("demo", token, place=place)
    assert line["reason"] == "again"
    assert line["restored"] == [str(etc / "file"), str(etc / "new")]
    assert (etc / "file").read_text() == "before"
    assert not (etc / "new").exists()
    assert ["reload"] in commands.asked


def test_a_late_run_does_not_undo_the_change_of_the_next(place, etc):
    (etc / "file").write_text("before")
    late = deadman.arm("demo", 60, plan(etc / "file"), place)
    deadman.revert("demo", late, "deadline", place)
    token = deadman.arm("demo", 60, plan(etc / "file"), place)
    (etc / "file").write_text("after")
    assert deadman.revert("demo", late, place=place) is None
    deadman.confirm("demo", token, place)
    with pytest.raises(SlipwayError):
        deadman.confirm("demo", late, place)
    assert (etc / "file").read_text() == "after"
    assert not os.path.exists(place.kept("demo"))


def test_what_was_changed_inside_hold_alone_is_not_taken_back_again(place, etc, commands):
    """Nothing of it can have come after the revert: whatever differs now is somebody else's."""
    (etc / "file").write_text("before")
    with deadman.transaction("demo", 60, plan(etc / "file", run=[["reload"]]), place) as token:
        (etc / "file").write_text("during")
    deadman.revert("demo", token, "deadline", place)
    (etc / "file").write_text("a colleague's")
    commands.asked.clear()
    with pytest.raises(SlipwayError, match=r"was taken back .deadline. before it was confirmed\.") as raised:
        deadman.confirm("demo", token, place)
    assert raised.value.details["reverted"] is None
    assert deadman.revert("demo", token, place=place) is None
    assert (etc / "file").read_text() == "a colleague's"
    assert ["reload"] not in commands.asked


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [("ufw", "ufw/user.rules", False), ("ufw/user.rules", "ufw", False), ("ufw", "ufwx", True)],
)
@pytest.mark.parametrize("armed_before", [True, False])
def test_a_late_run_does_not_undo_a_change_of_the_same_paths_under_another_name(
    place, etc, commands, first, second, again, armed_before
):
    (etc / "ufw").mkdir()
    rules = etc / "ufw" / "user.rules"
    rules.write_text("22\n")
    late = deadman.arm("mine", 60, plan(etc / first), place)
    token = deadman.arm("ssh", 60, plan(etc / second), place) if armed_before else ""
    rules.write_text("22 443\n")
    deadman.revert("mine", late, "deadline", place)
    token = token or deadman.arm("ssh", 60, plan(etc / second), place)
    rules.write_text("22 2222\n")
    deadman.confirm("ssh", token, place)
    with pytest.raises(SlipwayError, match="put back, too" if again else r"before it was confirmed\.") as raised:
        deadman.confirm("mine", late, place)
    assert raised.value.code == "reverted"
    assert rules.read_text() == ("22\n" if again else "22 2222\n")


def test_of_two_that_wait_for_a_change_one_comes_after_the_other(place, etc):
    first = deadman.arm("ssh", 60, plan(etc / "c"), place)
    done, failed = [], []

    def wait():
        try:
            with deadman.transaction("ssh", 60, plan(etc / "c"), place) as token:
                pass
            time.sleep(0.3)
            deadman.confirm("ssh", token, place)
            done.append(token)
        except SlipwayError as error:
            failed.append(error)

    waiting = [threading.Thread(target=wait) for _each in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    deadman.confirm("ssh", first, place)
    for thread in waiting:
        thread.join(20)
    assert (len(done), failed) == (3, [])


def test_what_was_taken_back_is_for_root_alone(place, etc):
    (etc / "file").write_text("secret")
    token = deadman.arm("demo", 60, plan(etc / "file"), place)
    deadman.revert("demo", token, "deadline", place)
    assert os.stat(place.kept("demo")).st_mode & 0o077 == 0
    modes = [os.stat(os.path.join(place.kept("demo"), name)).st_mode for name in os.listdir(place.kept("demo"))]
    assert [mode & 0o077 for mode in modes] == [0, 0]


def test_renewing_starts_the_clock_anew(place, etc, commands, monkeypatch):
    token = deadman.arm("demo", 30, plan(etc / "a"), place)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 20)
    with deadman.hold("demo", token, place):
        deadman.renew("demo", token, place)
    assert ["systemctl", "restart", "slipway-deadman-demo.timer"] in commands.asked
    assert deadman.pending("demo", token, place) == pytest.approx(now + 50, abs=5)
    (etc / "a").write_text("new")
    deadman.revert("demo", token, place=place)
    assert not (etc / "a").exists()


@pytest.mark.parametrize(("seconds", "short"), [(12, True), (30, False), (90, False)])
def test_a_change_is_shortened_by_a_second_timer_beside_the_first(place, etc, commands, seconds, short):
    token = deadman.arm("demo", 30, plan(etc / "a"), place)
    with deadman.hold("demo", token, place):
        deadman.shorten("demo", token, seconds, place)
    first, second = "slipway-deadman-demo.timer", "slipway-deadman-demo-short.timer"
    assert commands.timers == ({first, second} if short else {first})
    assert deadman.pending("demo", token, place) == pytest.approx(time.time() + min(seconds, 30), abs=5)
    deadman.confirm("demo", token, place)
    assert commands.timers == set()


def test_what_has_fired_meanwhile_cannot_be_renewed(place, etc, commands):
    token = deadman.arm("demo", 30, plan(etc / "a"), place)
    with deadman.hold("demo", token, place):
        commands.timers.clear()
        with pytest.raises(SlipwayError, match="demo"):
            deadman.renew("demo", token, place)


def test_what_a_change_has_begun_ends_with_its_process(tmp_path):
    """A command that goes on after its module was killed could come after the revert."""
    told = tmp_path / "pid"
    code = (
        "from ansible_collections.slipway.go.plugins.module_utils._deadman import change\n"
        f"change.run(['/bin/sh', '-c', 'echo $$ >{told}.new; mv {told}.new {told}; exec sleep 60'])"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as module:
        until(told.exists)
        module.kill()
    pid = told.read_text().strip()
    until(lambda: not os.path.exists(f"/proc/{pid}") or "(sleep) Z" in Path(f"/proc/{pid}/stat").read_text())


def until(true) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
