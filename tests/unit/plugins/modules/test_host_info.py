from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.modules import host_info


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ('ID=debian\nVERSION_ID="12"\n', ("debian", "12")),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ("debian", "24.04")),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', ("redhat", "9.4")),
        ("ID=fedora\nVERSION_ID=42\n", ("redhat", "42")),
        ("ID=arch\n", ("arch", "")),
        ("", ("", "")),
    ],
)
def test_families(text, family):
    assert host_info.family(text) == family


def test_mounts():
    text = "tmpfs /tmp tmpfs rw,nosuid,nodev 0 0\nproc /proc proc rw 0 0\nshm /dev/shm tmpfs rw,noexec 0 0\n"
    assert host_info.mounts(text) == {"/tmp": ["rw", "nosuid", "nodev"], "/dev/shm": ["rw", "noexec"]}


def test_packages_that_are_there():
    class Place:
        @staticmethod
        def run(argv):
            return 1, "installed auditd\nconfig-files acct\ndpkg-query: no packages found matching x"

    assert host_info.missing([], Place()) == []
    if host_info.shutil.which("dpkg-query"):
        assert host_info.missing(["auditd", "acct", "x"], Place()) == ["acct", "x"]
