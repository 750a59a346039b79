from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import server


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17", (9, 2)),
        ("OpenSSH_8.0p1, OpenSSL 1.1.1k  FIPS 25 Mar 2021", (8, 0)),
        ("unknown option -- V\nOpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1w\nusage: sshd", (8, 4)),
        ("OpenSSH_10.0p2 Debian-7", (10, 0)),
    ],
)
def test_versions(text, version):
    assert server.parse_version(text) == version


def test_another_ssh_server_is_an_error():
    with pytest.raises(SlipwayError):
        server.parse_version("Dropbear v2022.83")


def test_match_blocks_are_judged_from_where_the_connection_comes():
    here = Connection("10.0.0.7", "10.0.0.1", 22)
    assert server.login_from("deploy", here, 0) == "user=deploy,host=10.0.0.7,addr=10.0.0.7,laddr=10.0.0.1,lport=22"
    assert server.login_from("deploy", here, 2222).endswith("lport=2222")
    assert server.login_from("deploy", None, 0).startswith("user=deploy,host=localhost,addr=127.0.0.1,")


class Systemctl:
    """Says this of these units."""

    def __init__(self, **units):
        self.units = units

    def run(self, argv):
        assert list(argv[:2]) == ["systemctl", "show"]
        return 0, self.units.get(argv[-1].replace(".", "_"), "LoadState=not-found\nActiveState=inactive\n")


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"ssh_service": "Id=ssh.service\nLoadState=loaded\n"}, ("ssh.service", "", False)),
        (
            {
                "ssh_service": "Id=ssh.service\nLoadState=loaded\n",
                "sshd_service": "Id=ssh.service\nLoadState=loaded\n",
                "ssh_socket": "ActiveState=active\nAccept=no\n",
            },
            ("ssh.service", "ssh.socket", False),
        ),
        (
            {
                "sshd_service": "Id=sshd.service\nLoadState=loaded\n",
                "sshd_socket": "ActiveState=active\nAccept=yes\n",
            },
            ("sshd.service", "sshd.socket", True),
        ),
    ],
)
def test_which_unit_listens(units, expected):
    assert server._units(Systemctl(**units)) == expected


def test_a_host_without_sshd():
    with pytest.raises(SlipwayError, match=r"no ssh\.service"):
        server._units(Systemctl())


def test_the_ports_of_a_socket_unit():
    listens = "Listen=0.0.0.0:22 (Stream)\nListen=[::]:2222 (Stream)\nListen=/run/sshd.9 (Stream)\n"
    found = server.SshServer("/usr/sbin/sshd", (9, 2), "ssh.service", "ssh.socket", False, {}, "", {"port": ["22"]})
    assert server.listening_ports(found, Systemctl(ssh_socket=listens)) == [22, 2222]
