# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the evidence says of each control. Pure. PRIVATE to the collection."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from . import audit
from .controls import BY_NAME
from .evidence import Evidence, Mode, Wanted


class Verdict(enum.Enum):
    """OFF: it is not wanted, and a reason is given. UNKNOWN: it could not be read, which counts as a deviation."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    OFF = "off"
    NOT_APPLICABLE = "not applicable"
    UNKNOWN = "unknown"


DEVIATIONS = (Verdict.FAIL, Verdict.UNKNOWN)


@dataclass(frozen=True)
class Answer:
    verdict: Verdict
    expected: str
    found: str
    reason: str = ""


Check = Callable[[Evidence, Wanted], Answer]

KERNEL_OF_ANOTHER = "the kernel belongs to the host of this container"
TIMEOUT = 900
INACTIVE_DAYS = 45
REMEMBERED = 24
_WEAK_CIPHERS = re.compile(r"3des|arcfour|blowfish|cast128|rijndael|-cbc")
_WEAK_MACS = re.compile(r"md5|sha1|umac-64|-96")
_WEAK_KEX = re.compile(r"sha1")
SSHD_IS: Mapping[str, str] = {
    "permitemptypasswords": "no",
    "hostbasedauthentication": "no",
    "ignorerhosts": "yes",
    "permituserenvironment": "no",
    "usepam": "yes",
    "x11forwarding": "no",
    "allowtcpforwarding": "no",
}
SSHD_WITHIN: Mapping[str, tuple[int, int]] = {
    "maxauthtries": (1, 4),
    "logingracetime": (1, 60),
    "maxsessions": (1, 10),
    "clientaliveinterval": (1, 900),
    "clientalivecountmax": (1, 3),
}


def answer(name: str, evidence: Evidence, wanted: Wanted) -> Answer:
    """What a control is to be held for: a reason given by somebody comes before what is found."""
    choice = wanted.choices[name]
    found = CHECKS[name](evidence, wanted)
    if choice.on or found.verdict not in DEVIATIONS:
        return found
    if choice.reason:
        return Answer(Verdict.OFF, found.expected, found.found, choice.reason)
    return found


def fix(name: str, on: bool) -> str:
    """What to do about a deviation."""
    return BY_NAME[name].fix if on else f"give the reason in base_controls instead of false, or set {name} to true"


def _passes(right: bool, expected: str, found: str) -> Answer:
    return Answer(Verdict.PASS if right else Verdict.FAIL, expected, found or "nothing")


def _unknown(expected: str, what: str) -> Answer:
    return Answer(Verdict.UNKNOWN, expected, f"{what} could not be read")


def _inapplicable(why: str) -> Answer:
    return Answer(Verdict.NOT_APPLICABLE, "nothing", why, why)


def _all(wrong: Sequence[str], expected: str, right: str) -> Answer:
    return _passes(not wrong, expected, "; ".join(wrong) or right)


def _number(text: Any) -> Optional[int]:
    return int(text) if re.fullmatch(r"[+-]?\d+", str(text).strip()) else None


# --- the host


def security_updates(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.family == "redhat":
        state = evidence.unit_files.get("dnf-automatic.timer", "missing")
        return _passes(state == "enabled", "dnf-automatic.timer enabled", f"dnf-automatic.timer {state}")
    expected = 'APT::Periodic::Unattended-Upgrade "1" and the program'
    if evidence.apt is None:
        return _unknown(expected, "apt-config dump")
    match = re.search(r'^APT::Periodic::Unattended-Upgrade "(.*)";$', evidence.apt, re.MULTILINE)
    value = match.group(1) if match else "nothing"
    there = "unattended-upgrade" in evidence.has
    return _passes(value not in ("0", "nothing") and there, expected, f'"{value}", the program {_is(there)}')


def _is(there: bool) -> str:
    return "is installed" if there else "is not installed"


def services_off(evidence: Evidence, wanted: Wanted) -> Answer:
    on = [f"{name} {evidence.unit_files[name]}" for name in wanted.services_off if _may_start(evidence, name)]
    return _all(on, "none of base_services_off can start", "none")


def _may_start(evidence: Evidence, name: str) -> bool:
    return name in evidence.unit_files and not evidence.unit_files[name].startswith("masked")


def kernel_modules(evidence: Evidence, wanted: Wanted) -> Answer:
    expected = "none of base_blocked_modules can load"
    if evidence.modprobe is None:
        return _inapplicable("there is no modprobe") if evidence.container else _unknown(expected, "modprobe")
    blocked = re.findall(r"^install (\S+) \S*/(?:true|false)$", evidence.modprobe, re.MULTILINE)
    names = [
        name for name in wanted.modules if name.replace("-", "_") not in [one.replace("-", "_") for one in blocked]
    ]
    return _all(names, expected, "none")


def kernel_settings(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    wrong = [f"{key} {value}" for key, value in sorted(evidence.sysctl.items()) if key not in ADVERTISED]
    return _all(wrong, "the values of base_sysctl", "these values")


ADVERTISED: Mapping[str, int] = {
    f"net.ipv6.conf.{where}.{name}": value
    for where in ("all", "default")
    for name, value in (
        ("accept_ra", 0),
        ("accept_ra_defrtr", 0),
        ("accept_ra_pinfo", 0),
        ("accept_ra_rtr_pref", 0),
        ("autoconf", 0),
        ("max_addresses", 1),
        ("router_solicitations", 0),
    )
}


def router_advertisements(evidence: Evidence, wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    wrong = [f"{key} {value}" for key, value in sorted(evidence.sysctl.items()) if key in ADVERTISED]
    found = _all(wrong, "accept_ra 0, and what depends on it", "accept_ra 0")
    if wrong and evidence.advertised and not wanted.choices["router_advertisements"].given:
        reason = f"{', '.join(evidence.advertised)} has its IPv6 routes by them, and would lose them"
        return Answer(Verdict.OFF, found.expected, found.found, reason)
    return found


def core_dumps(evidence: Evidence, _wanted: Wanted) -> Answer:
    limits = "\n".join([evidence.text("/etc/security/limits.conf"), *evidence.below("/etc/security/limits.d")])
    limited = re.search(r"^\*\s+(?:hard|-)\s+core\s+0\s*$", limits, re.MULTILINE) is not None
    dumpable = evidence.text("/proc/sys/fs/suid_dumpable").strip() or "?"
    right = limited and (dumpable == "0" or evidence.container)
    told = "hard core 0" if limited else "no hard limit of core dumps"
    return _passes(right, "hard core 0, fs.suid_dumpable 0", f"{told}, fs.suid_dumpable {dumpable}")


def mounts(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    wrong = []
    for path in ("/tmp", "/dev/shm"):  # noqa: S108
        options = evidence.mounts[path]["options"] if path in evidence.mounts else None
        lacking = [one for one in ("nosuid", "nodev", "noexec") if one not in (options or ())]
        if options is None:
            wrong.append(f"{path} is no mount")
        elif lacking:
            wrong.append(f"{path} without {', '.join(lacking)}")
    return _all(wrong, "nosuid, nodev, noexec", "nosuid, nodev, noexec")


def partitions(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    if not evidence.partitions:
        return _inapplicable("fstab mounts none of them from a disk")
    wrong = [f"{path} without {', '.join(options)}" for path, options in evidence.partitions_lack.items()]
    right = f"{', '.join(evidence.partitions)} have them"
    return _all(wrong, "nodev, nosuid where no service runs, noexec where nothing does", right)


def confinement(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    apparmor = evidence.apparmor
    complaining = [*apparmor.get("files", []), *apparmor.get("logins", [])]
    right = evidence.selinux == "enforcing" or (bool(apparmor.get("enabled")) and not complaining)
    on = "enabled" if apparmor.get("enabled") else "disabled"
    told = f"SELinux {evidence.selinux}, AppArmor {on}" + "".join(f", {path} only complains" for path in complaining)
    return _passes(right, "SELinux enforcing, or AppArmor enabled and no profile that only complains", told)


def banner(evidence: Evidence, _wanted: Wanted) -> Answer:
    wrong = []
    for path in ("/etc/issue", "/etc/issue.net"):
        text = evidence.text(path)
        if not text.strip():
            wrong.append(f"{path} is empty")
        elif re.search(r"\\[mrsv]|debian|ubuntu|red hat|centos|rocky|alma", text, re.IGNORECASE):
            wrong.append(f"{path} tells the operating system")
    return _all(wrong, "a notice that does not tell the operating system", "a notice")


def journal(evidence: Evidence, _wanted: Wanted) -> Answer:
    return _passes(evidence.journal_on_disk, "on disk", "on disk" if evidence.journal_on_disk else "in memory only")


def firewall(evidence: Evidence, _wanted: Wanted) -> Answer:
    expected = "ufw or firewalld in force, refusing by default"
    if evidence.firewall is None:
        return _unknown(expected, "the firewall")
    lines = evidence.firewall
    ufw = "ufw Status: active" in lines and any(
        re.match(r"ufw Default: (deny|reject) \(incoming\)", one) for one in lines
    )
    zones = [line for line in lines if re.match(r"firewalld \S+ \((?:default, )?active\)$", line)]
    opened = [line for line in lines if re.match(r"firewalld \S+ target: ACCEPT$", line)]
    active = {line.split()[1] for line in zones}
    wide = sorted(active & {line.split()[1] for line in opened} - {"trusted", "docker"})
    told = "ufw" if ufw else f"firewalld, zones {', '.join(sorted(active))}" if active else "none in force"
    told += "".join(f"; zone {name} accepts everything" for name in wide)
    return _passes(ufw or (bool(active) and not wide), expected, told)


def published_ports(evidence: Evidence, _wanted: Wanted) -> Answer:
    unread = [f"a rule of the chain {chain}" for chain in evidence.unread_chains]
    if unread and not evidence.published:
        return _unknown("none", ", ".join(unread))
    return _all([*map(str, evidence.published), *(f"{rule} could not be read" for rule in unread)], "none", "none")


# --- logins


def _sshd(wrong: Callable[[Mapping[str, str]], Sequence[str]], expected: str, right: str) -> Check:
    def check(evidence: Evidence, _wanted: Wanted) -> Answer:
        if evidence.sshd is None:
            return _unknown(expected, "sshd -T")
        return _all(wrong(evidence.sshd), expected, right)

    return check


def _differs(name: str, *allowed: str) -> Callable[[Mapping[str, str]], Sequence[str]]:
    def wrong(told: Mapping[str, str]) -> Sequence[str]:
        value = told.get(name, "nothing")
        return [] if value in allowed else [f"{name} {value}"]

    return wrong


def _open_to_all(told: Mapping[str, str]) -> Sequence[str]:
    named = [name for name in ("allowusers", "allowgroups") if told.get(name)]
    return [] if named else ["neither AllowUsers nor AllowGroups"]


def _wide(told: Mapping[str, str]) -> Sequence[str]:
    wrong = [f"{name} {told.get(name)}" for name, value in SSHD_IS.items() if told.get(name) != value]
    for name, (least, most) in SSHD_WITHIN.items():
        number = _number(told.get(name))
        if number is None or not least <= number <= most:
            wrong.append(f"{name} {told.get(name)}")
    if told.get("banner", "none") == "none":
        wrong.append("banner none")
    if told.get("loglevel", "").upper() not in ("INFO", "VERBOSE"):
        wrong.append(f"loglevel {told.get('loglevel')}")
    return wrong


def _weak(told: Mapping[str, str]) -> Sequence[str]:
    lists = (("ciphers", _WEAK_CIPHERS), ("macs", _WEAK_MACS), ("kexalgorithms", _WEAK_KEX))
    return [one for name, weak in lists for one in told.get(name, "").split(",") if weak.search(one)]


def umask(evidence: Evidence, wanted: Wanted) -> Answer:
    expected = f"UMASK {wanted.umask or '027'} or stricter"
    value = _login_defs(evidence, "UMASK")
    right = value is not None and re.fullmatch(r"[0-7]{3,4}", value) is not None
    strict = right and int(value or "0", 8) & 0o027 == 0o027
    return _passes(strict, expected, f"UMASK {value}")


def _login_defs(evidence: Evidence, name: str) -> Optional[str]:
    values = re.findall(rf"^\s*{name}\s+(\S+)", evidence.text("/etc/login.defs"), re.MULTILINE)
    return values[-1] if values else None


def shell_timeout(evidence: Evidence, _wanted: Wanted) -> Answer:
    texts = [evidence.text("/etc/profile"), evidence.text("/etc/bash.bashrc"), *evidence.below("/etc/profile.d")]
    values = [int(one) for text in texts for one in re.findall(r"^[^#\n]*\bTMOUT=(\d+)", text, re.MULTILINE)]
    found = f"TMOUT {', '.join(map(str, values))}" if values else "no TMOUT"
    return _passes(bool(values) and all(0 < one <= TIMEOUT for one in values), f"TMOUT {TIMEOUT} or less", found)


def su_wheel(evidence: Evidence, wanted: Wanted) -> Answer:
    expected = "pam_wheel.so in PAM's stack for su"
    if not evidence.text("/etc/pam.d/su"):
        return _inapplicable("there is no /etc/pam.d/su")
    arguments = evidence.pam_module("su", "auth", "pam_wheel.so")
    right = arguments is not None and "deny" not in arguments and "trust" not in arguments
    found = f"pam_wheel.so {' '.join(arguments or [])}".rstrip() if right else "anybody may use su"
    if not right and evidence.root_has_password and not wanted.choices["su_wheel"].given:
        return Answer(
            Verdict.OFF,
            expected,
            found,
            "root has a password, and an account that becomes root by su alone would lose it; set su_wheel to true",
        )
    return _passes(right, expected, found)


def _sudo(option: str, expected: str) -> Check:
    def check(evidence: Evidence, _wanted: Wanted) -> Answer:
        if evidence.sudo_rs:
            return _inapplicable(
                f"sudo-rs has no {option} that could be set" if option == "logfile" else "sudo-rs does so"
            )
        if "sudo" not in evidence.has:
            return _inapplicable("there is no sudo")
        if evidence.sudo is None:
            return _unknown(expected, "cvtsudoers")
        value = evidence.sudo.get(option)
        return _passes(bool(value), expected, f"{option} {value}" if value else f"no {option}")

    return check


def _mode(found: Optional[Mode]) -> str:
    return "missing" if found is None else f"{found.permissions:04o}, user {found.uid}"


def _is_within(found: Mode, most: int) -> bool:
    return found.uid == 0 and not found.permissions & ~most


def sudoers_permissions(evidence: Evidence, _wanted: Wanted) -> Answer:
    mode = evidence.modes.get("/etc/sudoers.d")
    if mode is None:
        return _inapplicable("there is no /etc/sudoers.d")
    return _passes(_is_within(mode, 0o750), "0750 or stricter, user 0", _mode(mode))


# --- passwords

_QUALITY = "/etc/security/pwquality.conf"
_MORE: Mapping[str, Callable[[int], bool]] = {
    "difok": lambda value: value >= 2,
    "maxsequence": lambda value: 0 < value <= 3,
    **dict.fromkeys(("dcredit", "ucredit", "lcredit", "ocredit"), lambda value: value < 0),
}


def _stack(evidence: Evidence) -> str:
    return "common-password" if evidence.family == "debian" else "system-auth"


def _quality(evidence: Evidence) -> tuple[dict[str, str], bool]:
    """The settings, and whether PAM asks the module that reads them. Its arguments come before the files."""
    arguments = evidence.pam_module(_stack(evidence), "password", "pam_pwquality.so")
    own = dict(one.partition("=")[::2] for one in arguments or [])
    return {**evidence.settings(_QUALITY), **own}, arguments is not None


def password_quality(evidence: Evidence, wanted: Wanted) -> Answer:
    found, used = _quality(evidence)
    expected = f"minlen {wanted.password_length}, minclass 3, maxrepeat 1 to 3, dictcheck, by pam_pwquality"
    length, classes, repeat = (_number(found.get(name, "0")) or 0 for name in ("minlen", "minclass", "maxrepeat"))
    right = length >= wanted.password_length and classes >= 3 and 0 < repeat <= 3 and found.get("dictcheck", "1") != "0"
    told = f"minlen {length}, minclass {classes}, maxrepeat {repeat}" + ("" if used else ", and PAM does not ask it")
    return _passes(right and used, expected, told)


def password_quality_more(evidence: Evidence, _wanted: Wanted) -> Answer:
    found, used = _quality(evidence)
    wrong = [f"{name} {found.get(name, 0)}" for name, ok in _MORE.items() if not ok(_number(found.get(name, 0)) or 0)]
    wrong += ["enforcing 0"] if found.get("enforcing") == "0" else []
    wrong += [] if used else ["PAM does not ask pam_pwquality"]
    return _all(wrong, "difok 2 or more, maxsequence 1 to 3, each of d, u, l and ocredit below 0", "these values")


def _history(evidence: Evidence) -> Optional[list[str]]:
    return evidence.pam_module(_stack(evidence), "password", "pam_pwhistory.so")


def password_history(evidence: Evidence, _wanted: Wanted) -> Answer:
    expected = f"pam_pwhistory.so remember={REMEMBERED} or more"
    arguments = _history(evidence)
    if arguments is None:
        return _passes(False, expected, "PAM does not ask pam_pwhistory")
    own = dict(one.partition("=")[::2] for one in arguments)
    remembered = _number({**evidence.settings("/etc/security/pwhistory.conf"), **own}.get("remember", "10")) or 0
    return _passes(remembered >= REMEMBERED, expected, f"remember {remembered}")


def passwords_of_root(evidence: Evidence, _wanted: Wanted) -> Answer:
    good = "enforce_for_root" in _quality(evidence)[0]
    new = "enforce_for_root" in {
        **evidence.settings("/etc/security/pwhistory.conf"),
        **dict.fromkeys(_history(evidence) or []),
    }
    told = f"pam_pwquality {'with' if good else 'without'}, pam_pwhistory {'with' if new else 'without'} it"
    return _passes(good and new, "enforce_for_root for both modules", told)


def password_hash(evidence: Evidence, _wanted: Wanted) -> Answer:
    method = _login_defs(evidence, "ENCRYPT_METHOD") or "nothing"
    return _passes(method.upper() in ("YESCRYPT", "SHA512"), "YESCRYPT or SHA512", method)


def inactive_accounts(evidence: Evidence, _wanted: Wanted) -> Answer:
    values = re.findall(r"^\s*INACTIVE=(\S+)", evidence.text("/etc/default/useradd"), re.MULTILINE)
    days = _number(values[-1]) if values else None
    right = days is not None and 0 <= days <= INACTIVE_DAYS
    return _passes(right, f"INACTIVE {INACTIVE_DAYS} or less", f"INACTIVE {'not set' if days is None else days}")


def _faillock(evidence: Evidence) -> tuple[dict[str, str], list[str]]:
    stacks = ("common-auth", "common-account") if evidence.family == "debian" else ("system-auth", "password-auth")
    return evidence.settings("/etc/security/faillock.conf"), [one for one in stacks if one not in evidence.faillock]


def faillock(evidence: Evidence, _wanted: Wanted) -> Answer:
    found, unused = _faillock(evidence)
    deny, unlock = _number(found.get("deny", "3")) or 0, _number(found.get("unlock_time", "600"))
    right = 0 < deny <= 5 and unlock is not None and (unlock == 0 or unlock >= 900) and not unused
    told = f"deny {deny}, unlock_time {unlock}" + "".join(f", not in {name}" for name in unused)
    return _passes(right, "deny 1 to 5, unlock_time 900 or more, in PAM's stacks", told)


def faillock_root(evidence: Evidence, _wanted: Wanted) -> Answer:
    found, unused = _faillock(evidence)
    deny, unlock = "even_deny_root" in found, _number(found.get("root_unlock_time", found.get("unlock_time", "600")))
    right = (
        (deny or "root_unlock_time" in found) and unlock is not None and (unlock == 0 or unlock >= 60) and not unused
    )
    told = f"even_deny_root, root_unlock_time {unlock}" if deny else "root is never locked"
    return _passes(
        right, "even_deny_root, root_unlock_time 60 or more", told + "".join(f", not in {one}" for one in unused)
    )


# --- jobs

CRON_MODES: Mapping[str, int] = {
    "/etc/crontab": 0o600,
    **{f"/etc/cron.{name}": 0o700 for name in ("d", "hourly", "daily", "weekly", "monthly")},
}


def cron_permissions(evidence: Evidence, _wanted: Wanted) -> Answer:
    there = {path: evidence.modes[path] for path in CRON_MODES if path in evidence.modes}
    wrong = [f"{path} {_mode(mode)}" for path, mode in there.items() if not _is_within(mode, CRON_MODES[path])]
    return _all(wrong, "0600 for files, 0700 for folders, user 0", "these permissions")


def _allow(path: str, program: str) -> Check:
    def check(evidence: Evidence, _wanted: Wanted) -> Answer:
        if program not in evidence.has:
            return _inapplicable(f"there is no {program}")
        mode = evidence.modes.get(path)
        expected = f"{path}, 0640 or stricter, user 0"
        return _passes(mode is not None and _is_within(mode, 0o640), expected, _mode(mode))

    return check


# --- records


def auditd(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    runs = "auditd.service" in evidence.active
    return _passes(runs, "active", "active" if runs else "does not run")


def _audit(name: str) -> Check:
    def check(evidence: Evidence, _wanted: Wanted) -> Answer:
        expected = "each of them recorded"
        if evidence.container:
            return _inapplicable(KERNEL_OF_ANOTHER)
        if name == "audit_b32" and evidence.machine != audit.BOTH:
            return _inapplicable(f"{evidence.machine} runs no 32-bit programs of another table of calls")
        if evidence.audit is None:
            return _unknown(expected, "auditctl -l")
        missing = audit.missing(name, audit.parse(evidence.audit), evidence.machine)
        return _all([f"not recorded: {', '.join(missing)}"] if missing else [], expected, "all recorded")

    return check


def audit_immutable(evidence: Evidence, _wanted: Wanted) -> Answer:
    if evidence.container:
        return _inapplicable(KERNEL_OF_ANOTHER)
    if evidence.audit_enabled is None:
        return _unknown("enabled 2", "auditctl -s")
    return _passes(evidence.audit_enabled == 2, "enabled 2", f"enabled {evidence.audit_enabled}")


CHECKS: Mapping[str, Check] = {
    "security_updates": security_updates,
    "services_off": services_off,
    "kernel_modules": kernel_modules,
    "kernel_settings": kernel_settings,
    "router_advertisements": router_advertisements,
    "core_dumps": core_dumps,
    "mounts": mounts,
    "partitions": partitions,
    "confinement": confinement,
    "banner": banner,
    "journal": journal,
    "firewall": firewall,
    "published_ports": published_ports,
    "ssh_root": _sshd(_differs("permitrootlogin", "no"), "permitrootlogin no", "no"),
    "ssh_passwords": _sshd(_differs("passwordauthentication", "no"), "passwordauthentication no", "no"),
    "ssh_users": _sshd(_open_to_all, "AllowUsers or AllowGroups", "named ones"),
    "ssh_settings": _sshd(_wide, "what the role ssh sets", "these values"),
    "ssh_algorithms": _sshd(_weak, "no weak one", "no weak one"),
    "umask": umask,
    "shell_timeout": shell_timeout,
    "su_wheel": su_wheel,
    "sudo_pty": _sudo("use_pty", "use_pty"),
    "sudo_log": _sudo("logfile", "a logfile"),
    "sudoers_permissions": sudoers_permissions,
    "password_quality": password_quality,
    "password_quality_more": password_quality_more,
    "password_history": password_history,
    "passwords_of_root": passwords_of_root,
    "password_hash": password_hash,
    "inactive_accounts": inactive_accounts,
    "faillock": faillock,
    "faillock_root": faillock_root,
    "cron_permissions": cron_permissions,
    "cron_allow": _allow("/etc/cron.allow", "crontab"),
    "at_allow": _allow("/etc/at.allow", "at"),
    "auditd": auditd,
    **{name: _audit(name) for name in ("audit_base", "audit_b32", *audit.CALLS)},
    **{name: _audit(name) for name in audit.WATCHES if name.startswith("audit_")},
    **{name: _audit(name) for name in audit.PROGRAMS},
    "audit_immutable": audit_immutable,
}
