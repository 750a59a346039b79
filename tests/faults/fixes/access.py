"""Rows of access: sshd, the firewall, accounts, and files that are written as one change. None of them arms a revert:
what would is asked in check mode, which refuses the same."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.model import Row, Task

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7Y8Xs0oQ0G0tB9a6Z5m2h6H0m1nqjHqz6kP3kYvZ3d fixes"
CHECK = {"check_mode": True}


def sshd(**options: Any) -> Task:
    return Task("sshd", options, CHECK)


def account(name: str, **options: Any) -> Task:
    return Task("account", {"name": name, "keys": [KEY], "confirm": False, "sudo": "none", **options})


def firewall(*rules: dict[str, Any], **options: Any) -> Task:
    return Task("firewall", {"backend": "ufw", "rules": list(rules), "ssh_ports": [22], **options}, CHECK)


def person(name: str, then: str, password: bool = True) -> str:
    """An account that is made anew, with a password."""
    secret = f"echo {name}:Fixes-2026-secret | chpasswd; " if password else ""
    return f"userdel -r {name} 2>/dev/null || true; useradd --create-home --shell /bin/bash {name}; {secret}{then}"


def fresh(user: str, sudo: str, **options: Any) -> Task:
    """A login over a connection of its own, as it confirms a change."""
    return Task("confirm_login", {"logins": [{"user": user, "sudo": sudo}], "connection_user": "never", **options})


AUTHORISED = (
    "install -d -m 0700 -o NAME ~NAME/.ssh; install -m 0600 -o NAME ~/.ssh/authorized_keys ~NAME/.ssh/authorized_keys"
)
WEB = {"port": "8080"}
CHOOSE = "choose another deploy_user_name"

ROWS = [
    # --- sshd
    Row(
        "invalid_directive",
        "the name of a setting has a space",
        sshd(settings={"Permit RootLogin": "no"}),
        literal("use the name of one in sshd_config(5)"),
        give={"settings": {"MaxAuthTries": 3}},
    ),
    Row(
        "invalid_directive",
        "a setting stands among the algorithms",
        sshd(algorithms={"MaxAuthTries": ["3"]}),
        literal("use settings for it"),
        give={"settings": {"MaxAuthTries": 3}, "algorithms": {}},
    ),
    Row(
        "invalid_value",
        "the value of a setting is empty",
        sshd(settings={"MaxAuthTries": ""}),
        "give MaxAuthTries one line of text",
        give={"settings": {"MaxAuthTries": 3}},
        alone=True,
    ),
    Row(
        "unsupported_algorithms",
        "OpenSSH knows none of the ciphers",
        sshd(algorithms={"Ciphers": ["of-tomorrow"]}),
        r"add one of those that `(?P<command>ssh -Q \w+)` lists on the host",
        fix="<command> | grep aes256-ctr",
        give={"algorithms": {"Ciphers": ["of-tomorrow", "aes256-ctr"]}},
    ),
    Row(
        "would_lock_out",
        "ssh_allow_users leaves out an account that has to get in",
        sshd(allow_users=["nobody"], must_allow=["root"]),
        r"add (?P<user>\w+) to ssh_allow_users, or to AllowUsers where ssh_settings has it",
        give={"allow_users": ["nobody", "root"]},
        alone=True,
    ),
    Row(
        "would_lock_out",
        "DenyUsers has an account that has to get in",
        sshd(settings={"DenyUsers": "root nobody"}, must_allow=["root"]),
        literal("take root out of DenyUsers"),
        give={"settings": {"DenyUsers": "nobody"}},
        alone=True,
    ),
    Row(
        "would_lock_out",
        "AllowGroups has no group of an account that has to get in",
        sshd(settings={"AllowGroups": "nogroup"}, must_allow=["root"]),
        literal("add a group of root to AllowGroups"),
        give={"settings": {"AllowGroups": "nogroup root"}},
        alone=True,
    ),
    Row(
        "would_shut_out",
        "an account logs in with a password, and passwords are to be refused",
        sshd(settings={"PasswordAuthentication": "no"}),
        literal(
            "list those who are to stay in ssh_keep_users (with a key), and those who are to go in ssh_shut_out_users"
        ),
        person("fixespassword", "true"),
        give={"shut_out": ["fixespassword"]},
        undo="userdel -r fixespassword",
        alone=True,
    ),
    Row(
        "broken_sshd_config",
        "somebody has edited the configuration",
        sshd(settings={"MaxAuthTries": 3}),
        literal("correct the line that sshd -t names on the host"),
        "echo Nonsense yes > /etc/ssh/sshd_config.d/fixes.conf",
        "rm /etc/ssh/sshd_config.d/fixes.conf",
        alone=True,
    ),
    # --- the firewall
    Row(
        "invalid_port",
        "a port is a word",
        firewall({"port": "http"}),
        r"use (?P<port>\d+) or \d+:\d+",
        give={"rules": [{"port": "<port>"}]},
    ),
    Row(
        "invalid_rule",
        "a rule has no port",
        firewall({"source": "192.0.2.0/24"}),
        literal("give it a port or a service, and not both"),
        give={"rules": [{**WEB, "source": "192.0.2.0/24"}]},
    ),
    Row(
        "invalid_source",
        "the source of a rule is a name",
        firewall({**WEB, "source": "example.com"}),
        r"use an address or a network such as (?P<source>[\d./]+)",
        give={"rules": [{**WEB, "source": "<source>"}]},
    ),
    Row(
        "invalid_service",
        "firewall_service has a space",
        firewall(WEB, service="My Shop"),
        r"set firewall_service to a name such as (?P<name>\w+), or to nothing",
        give={"service": "<name>"},
    ),
    Row(
        "no_program",
        "sudo is not installed, and the account is to use it",
        account("fixessudo", sudo="full"),
        r"install (?P<package>\w+)",
        "SUDO_FORCE_REMOVE=yes DEBIAN_FRONTEND=noninteractive apt-get -qq remove -y sudo >/dev/null 2>&1",
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y <package> >/dev/null",
        undo="userdel -rf fixessudo; rm -f /etc/sudoers.d/*fixessudo*",
        alone=True,
    ),
    Row(
        "wider_rule",
        "somebody has opened the port for everybody",
        firewall({**WEB, "source": "192.0.2.0/24"}),
        literal(
            "remove that rule, ask for it in these variables, or let all that nobody asked for be removed"
            " (firewall_remove_unmanaged: true)"
        ),
        "apt-get -qq install -y ufw >/dev/null 2>&1; ufw allow 22/tcp; ufw allow 8080/tcp; ufw --force enable",
        "ufw --force delete allow 8080/tcp",
        undo="ufw --force disable; ufw --force reset",
        alone=True,
    ),
    Row(
        "wider_rule",
        "somebody has opened the port for everybody, and nobody else's rules are to stay",
        firewall({**WEB, "source": "192.0.2.0/24"}),
        literal(
            "remove that rule, ask for it in these variables, or let all that nobody asked for be removed"
            " (firewall_remove_unmanaged: true)"
        ),
        "ufw allow 22/tcp; ufw allow 8080/tcp; ufw --force enable",
        give={"remove_unmanaged": True},
        undo="ufw --force disable; ufw --force reset",
        alone=True,
    ),
    # --- accounts
    Row(
        "not_root",
        "the account for deployment is root",
        account("root"),
        literal(CHOOSE),
        give={"name": "fixesdeploy"},
        undo="userdel -rf fixesdeploy || true",
    ),
    Row(
        "no_such_group",
        "a group of the account is not there",
        account("fixesgroups", groups=["fixesteam"]),
        literal("create the group first, or take it out of deploy_user_groups"),
        "groupdel fixesteam 2>/dev/null || true",
        "groupadd fixesteam",
        undo="userdel -rf fixesgroups || true",
    ),
    Row(
        "password_expired",
        "the password of the account has expired",
        account("fixesexpired"),
        r"change the password of (?P<name>\w+) on the host, or run `(?P<command>usermod --lock \w+)` there",
        person("fixesexpired", "chage -d 0 fixesexpired"),
        "<command>",
        undo="userdel -rf fixesexpired || true",
    ),
    Row(
        "password_expired",
        "the password of the account has expired, and gets changed",
        account("fixesexpiredtoo"),
        r"change the password of (?P<name>\w+) on the host, or run `(?P<command>usermod --lock \w+)` there",
        person("fixesexpiredtoo", "chage -d 0 fixesexpiredtoo"),
        "echo <name>:Fixes-2026-other | chpasswd",
        undo="userdel -rf fixesexpiredtoo || true",
    ),
    Row(
        "password_expires",
        "the password of the account will expire",
        account("fixesexpires"),
        r"run `(?P<command>chage -M \d+ \w+)` on the host, lock the password there with `usermod --lock \w+`, or .*",
        person("fixesexpires", "chage -M 30 fixesexpires"),
        "<command>",
        undo="userdel -rf fixesexpires || true",
    ),
    Row(
        "account_expires",
        "the account has an end",
        account("fixesends"),
        r"run `(?P<command>chage -E -1 \w+)` on the host, or choose another deploy_user_name",
        person("fixesends", "chage -E 2099-01-01 fixesends"),
        "<command>",
        undo="userdel -rf fixesends || true",
    ),
    Row(
        "unusable_shell",
        "the shell of the account is not installed",
        account("fixesshell", shell="/bin/zsh"),
        r"install it first, or set deploy_user_shell to a shell that is there, for example (?P<shell>\S+)",
        give={"shell": "<shell>"},
        undo="userdel -rf fixesshell || true",
    ),
    Row(
        "unusable_home",
        "the folder above the home is not there",
        account("fixeshome", home="/srv/people/fixeshome"),
        r"make that directory first",
        "rm -rf /srv/people",
        "mkdir /srv/people",
        undo="userdel -rf fixeshome || true",
    ),
    Row(
        "unusable_home",
        "the home of the account was removed",
        account("fixeshomeless"),
        r"make it, and give it to that account",
        person("fixeshomeless", "rm -r /home/fixeshomeless"),
        "mkdir /home/fixeshomeless; chown fixeshomeless: /home/fixeshomeless",
        undo="userdel -rf fixeshomeless || true",
    ),
    Row(
        "unusable_home",
        "the home of the account belongs to somebody else",
        account("fixesguest", home="/srv/somebodys"),
        r"give it to (?P<name>\w+), or leave deploy_user_home empty",
        person("fixesguest", "mkdir -p /srv/somebodys; chown nobody /srv/somebodys"),
        "chown <name> /srv/somebodys",
        undo="userdel -rf fixesguest || true",
    ),
    Row(
        "bent_path",
        "a link stands where the keys are to be written",
        account("fixeslink"),
        literal("replace it by a file"),
        person(
            "fixeslink",
            "mkdir /home/fixeslink/.ssh; ln -s /etc/passwd /home/fixeslink/.ssh/authorized_keys;"
            " chown -R fixeslink: /home/fixeslink/.ssh",
        ),
        "cd /home/fixeslink/.ssh; rm authorized_keys; touch authorized_keys",
        undo="userdel -rf fixeslink || true",
    ),
    Row(
        "bent_path",
        "a link stands where the folder of the keys is to be",
        account("fixesbent"),
        r"replace (?P<name>\S+) by a directory",
        person(
            "fixesbent",
            "mkdir /srv/keys; ln -s /srv/keys /home/fixesbent/.ssh; chown -h fixesbent: /home/fixesbent/.ssh",
        ),
        "cd /home/fixesbent; rm <name>; mkdir <name>",
        undo="rmdir /srv/keys; userdel -rf fixesbent || true",
    ),
    Row(
        "not_removable",
        "root is to be removed",
        Task("account", {"name": "fixestoor", "state": "absent"}),
        literal("remove it by hand"),
        "userdel -f fixestoor 2>/dev/null || true; useradd -o -u 0 fixestoor",
        "sed -i /^fixestoor:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow",
    ),
    Row(
        "group_in_use",
        "the group of the account that goes is somebody's primary one",
        Task("account", {"name": "fixesgoes", "state": "absent"}),
        literal("give them another primary group first"),
        person("fixesgoes", "useradd -g fixesgoes fixesstays 2>/dev/null || usermod -g fixesgoes fixesstays", False),
        "usermod -g nogroup fixesstays",
    ),
    # --- fresh logins; that nothing is armed here makes no difference to what is proven
    Row(
        "login_failed",
        "the host does not know the key of a user",
        fresh("fixesfresh", sudo="none"),
        r"check the key \(passwords are not used\), AllowUsers and the firewall for (?P<user>\w+)",
        person("fixesfresh", "true"),
        "install -d -m 0700 -o <user> ~<user>/.ssh; install -m 0600 -o <user> ~/.ssh/authorized_keys ~<user>/.ssh/",
    ),
    Row(
        "no_sudo",
        "a user needs a password for sudo",
        fresh("fixesasks", sudo="full"),
        r"give (?P<user>\w+) sudo without a password \(deploy_user_sudo, or a rule in /etc/sudoers\.d\), or correct"
        r" ansible_become_password where it is the user of the connection",
        person("fixesasks", f"{AUTHORISED}; rm -f /etc/sudoers.d/fixes".replace("NAME", "fixesasks")),
        "echo '<user> ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/fixes; chmod 0440 /etc/sudoers.d/fixes",
    ),
    Row(
        "no_administrator",
        "the only login that is asked for has no sudo",
        fresh("fixesplain", sudo="none", administrator=True),
        literal("give one login full sudo"),
        person("fixesplain", AUTHORISED.replace("NAME", "fixesplain")),
        "echo 'fixesplain ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/fixesplain",
        give={"logins": [{"user": "fixesplain", "sudo": "full"}]},
    ),
    Row(
        "invalid_argument",
        "the time for a fresh login has a unit",
        fresh("fixesinvalid", sudo="none", timeout="20s"),
        literal("see ansible-doc slipway.go.confirm_login"),
        person("fixesinvalid", AUTHORISED.replace("NAME", "fixesinvalid")),
        give={"timeout": 20},
    ),
]
