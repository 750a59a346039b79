from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import account_entries, archive, ending
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, RevertPlan, System

BEFORE = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nbob:x:1001:1001:Bob:/srv/bob:/bin/sh\nann:x:1002:1002::/ann:/bin/sh\n",
    "shadow": "root:*:1:0:99999:7:::\nbob:$6$hash:1:0:99999:7::30000:\nann:*:1:0:99999:7:::\n",
    "group": "root:x:0:\nadm:x:4:ann,bob\nbob:x:1001:\nstaff:x:50:\n",
    "gshadow": "root:*::\nadm:*:ann:ann,bob\nbob:!::\nstaff:*::\n",
    "subuid": "bob:100000:65536\nann:165536:65536\n",
    "subgid": "bob:100000:65536\n",
}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name, content in BEFORE.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "shadow").chmod(0o640)
    return tmp_path


def now(etc: Path) -> dict[str, str]:
    return {name: (etc / name).read_text() for name in BEFORE}


def edit(etc: Path, name: str, before: str, after: str) -> None:
    text = (etc / name).read_text()
    assert before in text
    (etc / name).write_text(text.replace(before, after))


def test_what_was_changed_of_the_account_is_put_back_and_no_other_line(etc: Path) -> None:
    saved = account_entries.save("bob", str(etc))
    edit(etc, "passwd", "/srv/bob:/bin/sh", "/home/bob:/usr/bin/zsh")
    edit(etc, "shadow", "$6$hash:1", "!:0")
    edit(etc, "group", "adm:x:4:ann,bob\nbob:x:1001:\nstaff:x:50:\n", "adm:x:4:ann\nbob:x:1001:eve\nstaff:x:50:bob\n")
    edit(etc, "gshadow", "adm:*:ann:ann,bob", "adm:*:ann:ann")
    edit(
        etc,
        "passwd",
        "ann:x:1002:1002::/ann:/bin/sh\n",
        "ann:x:1002:1002::/ann:/bin/bash\neve:x:9:9::/:/bin/sh\n",
    )
    changed = account_entries.put_back(saved, str(etc))
    assert sorted(map(os.path.basename, changed)) == ["group", "gshadow", "passwd", "shadow"]
    assert now(etc) == {
        **BEFORE,
        "passwd": BEFORE["passwd"].replace("ann:/bin/sh\n", "ann:/bin/bash\neve:x:9:9::/:/bin/sh\n"),
        "group": BEFORE["group"].replace("bob:x:1001:", "bob:x:1001:eve"),
    }
    assert (etc / "shadow").stat().st_mode & 0o777 == 0o640
    assert account_entries.put_back(saved, str(etc)) == []


@pytest.mark.parametrize("name", ["bob", "eve"])
def test_an_account_that_came_goes_and_one_that_went_comes_back(etc: Path, name: str) -> None:
    saved = account_entries.save(name, str(etc))
    for file in BEFORE:
        lines = [line for line in (etc / file).read_text().splitlines() if not line.startswith("bob:")]
        lines = [line.replace(",bob", ",eve") for line in lines]
        lines += ["eve:x:1003:"] if file == "group" else [f"eve:{file}"]
        (etc / file).write_text("".join(f"{line}\n" for line in lines))
    account_entries.put_back(saved, str(etc))
    after = now(etc)
    assert all(("bob:" in text) == (name == "bob") for text in after.values())
    assert all(("eve:" in text) == (name == "bob") for text in after.values())
    assert ("adm:x:4:ann,eve,bob" in after["group"]) == (name == "bob")
    assert ("adm:x:4:ann\n" in after["group"]) == (name == "eve")


def test_a_host_without_shadowed_groups(etc: Path) -> None:
    (etc / "gshadow").unlink()
    (etc / "subgid").unlink()
    saved = account_entries.save("bob", str(etc))
    edit(etc, "passwd", "/bin/sh", "/bin/zsh")
    account_entries.put_back(saved, str(etc))
    assert (etc / "passwd").read_text().count("bob:x:1001:1001:Bob:/srv/bob:/bin/sh") == 1
    assert not (etc / "gshadow").exists()


def test_a_lock_that_is_held_on_is_a_problem_of_the_revert(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays armed then, and the next boot or run tries again."""
    for name in ("units", "run"):
        (tmp_path / name).mkdir()
    system = System(
        str(tmp_path / "deadman"), str(tmp_path / "units"), str(tmp_path / "run"), lambda argv: (0, ""), str(etc)
    )
    token = deadman.arm("access", 30, RevertPlan(account="bob"), system)
    edit(etc, "passwd", "/srv/bob:/bin/sh", "/srv/bob:/bin/zsh")
    monkeypatch.setattr(account_entries, "_PATIENCE", 0.2)
    pid = os.fork()
    if pid == 0:
        with account_entries._locked(str(etc)):
            os.kill(os.getpid(), 19)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    try:
        line = ending.revert("access", token, Reason.DEADLINE, system)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert line is not None
    assert "the account bob" in line["problems"][0]
    assert deadman.armed("access", system)
    line = ending.revert("access", token, Reason.DEADLINE, system)
    assert line is not None
    assert line["restored"] == [str(etc / "passwd")]
    assert now(etc) == BEFORE
    assert deadman.armed("access", system) is None


def test_the_revert_knows_accounts_without_ansible(etc: Path) -> None:
    assert b"account_entries.py" in archive.runner_archive()


def test_a_name_that_is_none_is_not_armed(etc: Path, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError):
        RevertPlan(account="bob:x").validate()
