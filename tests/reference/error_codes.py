"""What every error code means, why it comes, and what to do. The page docs/reference/error-codes.md is made from this.

A code with OPTION in it stands for one code for each option.
"""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """meaning: what was measured, and against what. Each part is one or two sentences."""

    meaning: str
    cause: str
    fix: str


class Section(NamedTuple):
    title: str
    intro: str
    codes: dict[str, ErrorCode]


GENERAL = Section(
    "Any module and the tool",
    "These can come from every module, from the tool `slipway`, or from the controller.",
    {
        "changed_meanwhile": ErrorCode(
            "What the run had read of the host was different when it came to change it. Nothing was changed, or "
            "the change was reverted.",
            "Another run, a package or an administrator changed the same files or the same firewall in between.",
            "Run again when nobody else changes the host.",
        ),
        "command_failed": ErrorCode(
            "A program on the host ended with another status than 0. The message quotes the command, the status "
            "and what the program wrote.",
            "A variable has a value that the program refuses, or the program cannot work on this host.",
            "Correct what the program complains of, then run again.",
        ),
        "command_timeout": ErrorCode(
            "A program on the host did not end within its time limit and was killed.",
            "The program waits for a lock, a disk or a service that does not answer.",
            "Find out on the host why it hangs, then run again.",
        ),
        "defect": ErrorCode(
            "The collection met an error that it does not expect.",
            "The collection has a defect.",
            "Run again with `-vvv` and report the output.",
        ),
        "invalid_variable": ErrorCode(
            "A variable of a role is not what the role's specification says, or one that has to be set is not.",
            "It has another type or is none of the words that are allowed, or a survey hands over an empty text.",
            "Give the variable as the fix of the message says, or leave it out.",
        ),
        "no_answer": ErrorCode(
            "The host did not answer while it made a change of access, for twice the time to confirm and a "
            "little more.",
            "The network between controller and host is cut, or the host hangs. The host reverts the change by itself.",
            "Restore the connection to the host, then run again.",
        ),
        "no_program": ErrorCode(
            "A program that the task needs is not on the host. The message names it and, where that is known, "
            "its package.",
            "The image of the host is smaller than a usual server.",
            "Install the package that the message names.",
        ),
        "no_systemd": ErrorCode(
            "The host has no `systemctl`, `systemd-run` or another program of systemd.",
            "The host is a container or a distribution without systemd.",
            "Use a host that runs systemd.",
        ),
        "os_error": ErrorCode(
            "The operating system refused to read or write a file. The message has its reason and the path.",
            "A disk is full or read-only, a permission is missing, or a path is not what the task expects.",
            "Remove the cause that the message names, then run again.",
        ),
        "unknown_directive": ErrorCode(
            "A name in `service_sandbox`, `service_directives` or `service_limits` is no directive of systemd, and is "
            "like one. systemd would ignore it.",
            "The name is misspelt.",
            "Write the directive that the message names.",
        ),
        "invalid_services": ErrorCode(
            "`slipway_services` is not a dictionary of services with their variables.",
            "It is a list or a text, a service's name is not usable, or a service has a variable of the whole host.",
            "Correct what the message names.",
        ),
        "services_clash": ErrorCode(
            "Two services of `slipway_services` have the same directory, address or local port.",
            "A value was copied from one service to the other, or set for all of them.",
            "Give one of the two another value.",
        ),
        "invalid_notices": ErrorCode(
            "`slipway_notices` has an entry that could not be used, or a template that fails with a notice that may "
            "come. The message names the entry. Nothing was changed.",
            "An option is misspelt or missing, a template reads a field that there is not, or a program is not there.",
            "Correct what the message names.",
        ),
        "missing_name": ErrorCode(
            "A task has no service to be about.",
            "`service_name` is empty, or the task of a play of your own has no option `name`.",
            "Set `service_name`.",
        ),
        "undeclared_service": ErrorCode(
            "`service_name` names a service that `slipway_services` declares for no host of the run.",
            "The name is misspelt, or the service was taken out of the declaration.",
            "Correct the name, or declare the service.",
        ),
        "pattern_without_effect": ErrorCode(
            "`slipway_hosts` is in the inventory, where no playbook can see it.",
            "Ansible chooses the hosts of a play before it knows any host's variables.",
            "Give it as an extra variable.",
        ),
        "unknown_variables": ErrorCode(
            "A host has variables that begin like those of a role, and that no role reads. "
            "`slipway_unknown_variables: refuse` makes that a failure.",
            "A variable is misspelt, or belongs to something else.",
            "Correct the name, or add it to `slipway_other_variables`.",
        ),
        "unreachable": ErrorCode(
            "The connection to the host was lost during a release or a rollback.",
            "The host is down, or the network is. What the host had begun and nobody confirms, it reverts at its "
            "deadline.",
            "Wait until the host can be reached, then look at `sudo slipway status` on it.",
        ),
    },
)

ACCESS = Section(
    "Changes that are confirmed",
    "Roles `ssh`, `firewall` and `deploy_user` arm a revert before they change access, and confirm over a fresh login.",
    {
        "already_armed": ErrorCode(
            "A change of the same name waits to be confirmed, or is being reverted.",
            "Another run works on the host, or a run was cut short and its deadline has not passed.",
            "Wait until the other change is confirmed or reverted, then run again.",
        ),
        "bent_path": ErrorCode(
            "A path that root is about to write leads through a link that a user can have put there.",
            "A directory on the path belongs to a user, or a symbolic link stands where a directory or a file is "
            "expected.",
            "Replace the part of the path that the message names by a directory, or the link by a file.",
        ),
        "invalid_account": ErrorCode(
            "The account of an armed change is not one plain account name.",
            "A caller of the module passes several names or a name with other characters.",
            "Name one account.",
        ),
        "invalid_argument": ErrorCode(
            "An argument of `slipway.go.confirm_login` has the wrong type or name.",
            "A task of your own calls the action with other arguments than it documents.",
            "Read `ansible-doc slipway.go.confirm_login` and correct the task.",
        ),
        "invalid_argv": ErrorCode(
            "A command of an armed change is not a list of non-empty texts.",
            "A command was written as one text, as for a shell.",
            "Write the command as a list of its words.",
        ),
        "invalid_file": ErrorCode(
            "The program that reads a file refuses the new content in a trial. Nothing was changed.",
            "A variable puts a line into the file that `sshd`, `visudo` or another checker does not accept.",
            "Correct the variable that the message names, or that the quoted line comes from.",
        ),
        "invalid_mode": ErrorCode(
            "A file's mode is not an octal number of a text.",
            "YAML reads `0644` without quotes as another number.",
            "Write the mode in quotes, for example `'0644'`.",
        ),
        "invalid_path": ErrorCode(
            "A path is not absolute, or has `.`, `..` or double slashes in it.",
            "A relative path was given for a file on the host.",
            "Write the whole path, from `/`.",
        ),
        "invalid_seconds": ErrorCode(
            "The time to confirm is not between 1 second and the longest time that the message names.",
            "A `confirm_timeout` variable is 0, negative or far too long.",
            "Set the variable to seconds in the range of the message.",
        ),
        "invalid_stage": ErrorCode(
            "The stage at which an armed change is reverted after a boot is neither `early` nor `late`.",
            "A caller of the module passes another word.",
            "Use `early` or `late`.",
        ),
        "login_failed": ErrorCode(
            "A fresh login to the host over SSH did not work, so that the change is not confirmed and gets reverted.",
            "The key is not authorised, `AllowUsers` leaves the user out, or the firewall drops the connection. "
            "Passwords are not used.",
            "Correct the key, `AllowUsers` or the firewall for the user that the message names.",
        ),
        "no_administrator": ErrorCode(
            "None of the logins that were tried can run commands as root.",
            "No account of the host has full sudo, so nobody could confirm or correct a change.",
            "Give one login full sudo.",
        ),
        "no_content": ErrorCode(
            "A file of `slipway.go.config_files` has neither content nor `state: absent`.",
            "The entry lacks `content`, and `secrets` does not have it either.",
            "Set `content` or `secrets`, or `state` to `absent`.",
        ),
        "no_source": ErrorCode(
            "The source of a Python module of the collection cannot be read.",
            "The collection was installed as byte code only, so that the program for the host cannot be packed.",
            "Install the collection with its source files.",
        ),
        "no_such_file": ErrorCode(
            "`secrets` has a path that is not among `files`.",
            "The path was written differently in the two options.",
            "Name the path in `files`, too.",
        ),
        "no_such_owner": ErrorCode(
            "The user or the group that a file is to belong to is not on the host.",
            "The account is created by a later task, or its name is misspelt.",
            "Create the account first, or correct the owner.",
        ),
        "no_sudo": ErrorCode(
            "The user can log in, but a command with `sudo` failed over the fresh login.",
            "The user needs a password for `sudo` and is not that of the connection, or `ansible_become_password` is "
            "wrong.",
            "Give the user sudo without a password (`deploy_user_sudo`, or a rule in `/etc/sudoers.d`), or correct "
            "`ansible_become_password`.",
        ),
        "no_timer": ErrorCode(
            "`systemd-run` did not set the timer that reverts the change. Nothing was changed.",
            "Systemd refuses transient units, or is not running on the host.",
            "Repair systemd on the host, as its message says.",
        ),
        "not_a_file": ErrorCode(
            "Something other than a regular file stands where a file is to be written or saved.",
            "A directory, a socket or a device has that path.",
            "Move it away.",
        ),
        "not_armed": ErrorCode(
            "No change with this name and token waits to be confirmed.",
            "The change was confirmed or reverted before, or it was armed by another run.",
            "Run again.",
        ),
        "not_confirmed": ErrorCode(
            "The fresh login worked, but the command that confirms the change failed on the host.",
            "The command was cut off, or the host could not answer it.",
            "Run again.",
        ),
        "not_reverted": ErrorCode(
            "An earlier change was never confirmed, and the host did not revert all of it, or nothing is going to.",
            "A command of the revert failed, or the timer was removed.",
            "Repair what the message names, then run without check mode: the run reverts the earlier change first.",
        ),
        "not_ssh": ErrorCode(
            "The connection of the host is not SSH, and only over SSH can a fresh login be proven.",
            "`ansible_connection` is `local`, `docker` or another kind.",
            "Set `ansible_connection` to `ssh` for this host.",
        ),
        "reverted": ErrorCode(
            "The host reverted the change before it was confirmed.",
            "The fresh login failed or came after the deadline, or the run did not finish in time.",
            "Remove what kept the confirmation from coming, or raise the `confirm_timeout` of the role, then run "
            "again.",
        ),
        "two_contents": ErrorCode(
            "One file is given two contents.",
            "A path stands in `secrets` and has content of its own, or two entries of `service_config_files` "
            "have the same destination.",
            "Leave one of the two out, or give it another destination.",
        ),
        "unknown_host": ErrorCode(
            "`ssh` does not tell under which name it knows the key of this host.",
            "The SSH client of the controller is very old, or its configuration cannot be read.",
            "Run `ssh -G HOST` on the controller and correct what it reports.",
        ),
    },
)

SSHD = Section(
    "SSH and logins",
    "",
    {
        "broken_sshd_config": ErrorCode(
            "The host's `sshd` refuses its own configuration before anything is changed.",
            "Somebody edited a file of the configuration, and `sshd` was not restarted since.",
            "Correct the line that `sshd -t` names on the host.",
        ),
        "damaged_record": ErrorCode(
            "The record of what a service listens on, or of what its firewall lets in, cannot be read.",
            "Somebody edited the file below `/etc/slipway`, or a disk error damaged it.",
            "Remove the file that the message names, and run the role `service` or `firewall` for that service again.",
        ),
        "invalid_directive": ErrorCode(
            "A name is no directive of `sshd`, or is not one that lists algorithms.",
            "The name is misspelt, or is in the wrong option.",
            "Use a name of sshd_config(5), and `settings` for directives that list no algorithms.",
        ),
        "invalid_value": ErrorCode(
            "The value of a directive of `sshd` is empty or has a line break.",
            "A variable is empty or was written as a block of text.",
            "Give the directive one line of text.",
        ),
        "no_openssh": ErrorCode(
            "The SSH server of the host does not answer as OpenSSH does.",
            "The host runs Dropbear or another SSH server.",
            "Install OpenSSH, or leave `harden_ssh` out for this host.",
        ),
        "no_sshd": ErrorCode(
            "The host has no `sshd`, or no `ssh.service` and no `sshd.service`.",
            "OpenSSH's server is not installed, or was installed without its unit.",
            "Install the package `openssh-server`.",
        ),
        "overridden": ErrorCode(
            "After the change, `sshd -T` shows other values than those that were set. The change was reverted.",
            "Another file or a `Match` block of the configuration comes first and wins.",
            "Remove that setting from the other file.",
        ),
        "unsupported_algorithms": ErrorCode(
            "The host's OpenSSH knows none of the algorithms that a directive would allow, so that nobody could "
            "log in.",
            "The list is made for a newer or an older OpenSSH.",
            "Add an algorithm that `ssh -Q` lists on the host.",
        ),
        "would_lock_out": ErrorCode(
            "The connection in use could not be made again after the change. Nothing was changed.",
            "`ssh_allow_users` or a list of users or groups in `ssh_settings` leaves the user of this run out, or "
            "`firewall_ssh_sources` leaves out the address it comes from.",
            "Correct the list that the fix names, or add that address to `firewall_ssh_sources`.",
        ),
        "would_shut_out": ErrorCode(
            "Accounts that can log in now could not do so after the change. The message lists them. Nothing was "
            "changed.",
            "The hardened settings refuse their passwords, their keys or their names, and no variable says what "
            "is meant to happen.",
            "List those who stay in `ssh_keep_users` (with a key), and those who go in `ssh_shut_out_users`.",
        ),
    },
)

ACCOUNTS = Section(
    "Accounts",
    "Role `deploy_user` and the accounts of services. Nothing is changed when one of these is reported, but for "
    "`command_failed`.",
    {
        "account_expires": ErrorCode(
            "The account has a date on which it expires, and lets nobody in from then on.",
            "The account was made with `chage -E` or `useradd --expiredate`.",
            "Run `chage -E -1 NAME` on the host, or choose another `deploy_user_name`.",
        ),
        "group_in_use": ErrorCode(
            "The group that goes with the account is the primary group of other accounts.",
            "Somebody made other accounts with this group.",
            "Give these accounts another primary group first.",
        ),
        "no_such_group": ErrorCode(
            "`deploy_user_groups` names groups that the host does not have.",
            "The package that brings the group is not installed, or its name is misspelt.",
            "Create the group, or take it out of `deploy_user_groups`.",
        ),
        "not_a_service_user": ErrorCode(
            "`service_user` is root or an account that can log in.",
            "The name belongs to a person or to another service.",
            "Choose a name in `service_user` that belongs to the service alone.",
        ),
        "not_local": ErrorCode(
            "The account comes from a directory service, and its shell, home or group differs from what the "
            "variables ask for.",
            "LDAP, SSSD or another directory defines the account, so that the host cannot change it.",
            "Change the account in the directory, or choose another `deploy_user_name`.",
        ),
        "not_removable": ErrorCode(
            "The account to be removed has the user ID 0 or comes from a directory service.",
            "The name belongs to an account that the role must not remove.",
            "Remove the account by hand.",
        ),
        "not_root": ErrorCode(
            "The account for deployment has the user ID 0.",
            "`deploy_user_name` is root or an alias of root.",
            "Choose another `deploy_user_name`.",
        ),
        "password_expired": ErrorCode(
            "The account's password has expired, and PAM refuses the account's keys until it is changed.",
            "A policy of passwords is in force on the host.",
            "Change the password on the host, or lock it with `usermod --lock NAME`.",
        ),
        "password_expires": ErrorCode(
            "The account's password has a date on which it expires, and PAM refuses the account's keys from then on.",
            "A policy of passwords is in force on the host.",
            "Run `chage -M 99999 NAME` or `usermod --lock NAME` on the host, or choose another `deploy_user_name`.",
        ),
        "unusable_home": ErrorCode(
            "The directory cannot be the account's home. The message says why.",
            "The path is not absolute, belongs to another account, or is not there.",
            "Make or correct the directory as the fix says, or set `deploy_user_home` to another.",
        ),
        "unusable_shell": ErrorCode(
            "The account's shell does not run a command, or others than root could change it.",
            "The shell is not installed, is `nologin` or the like, or has wrong permissions.",
            "Install the shell, or set `deploy_user_shell` to one that is on the host, for example `/bin/bash`.",
        ),
    },
)

FIREWALL = Section(
    "Firewall",
    "",
    {
        "invalid_port": ErrorCode(
            "A port of a rule is neither a number from 1 to 65535 nor a range of such numbers.",
            "The port is misspelt, or is the name of a service.",
            "Write `8080` or `8000:8010`.",
        ),
        "invalid_proto": ErrorCode(
            "The protocol of a rule has no ports.",
            "Another protocol than tcp or udp was given.",
            "Use `tcp` or `udp`.",
        ),
        "invalid_rule": ErrorCode(
            "A rule has neither a port nor a service, or has both.",
            "An entry of `firewall_allow` is incomplete.",
            "Give the entry a `port` or a `service`.",
        ),
        "invalid_service": ErrorCode(
            "`firewall_service` is not the name of a service.",
            "It has capital letters, spaces or other characters that a service's name cannot have.",
            "Set `firewall_service` to a name such as `shop`, or leave it empty.",
        ),
        "invalid_source": ErrorCode(
            "A source of a rule is neither an IP address nor a network.",
            "A host name was given, or the bits behind the slash are wrong.",
            "Write an address or a network such as `192.0.2.0/24`.",
        ),
        "not_asked": ErrorCode(
            "`firewall-cmd` failed when it was asked for the rules in force.",
            "firewalld is stopped, or its configuration is damaged.",
            "Repair firewalld on the host (`systemctl status firewalld` says more).",
        ),
        "not_in_force": ErrorCode(
            "The firewall accepted every command, and still lacks rules that were asked for.",
            "Another program writes the rules of this firewall at the same time.",
            "Find and stop the other program, then run again.",
        ),
        "other_firewall": ErrorCode(
            "The host filters packets with its own rules of nftables or iptables, and neither ufw nor firewalld "
            "is in force.",
            "Rules were loaded by `nftables.service`, `netfilter-persistent` or the like. ufw and firewalld "
            "could remove them.",
            "Set `firewall_backend` to replace these rules, or `harden_firewall: false` to keep them.",
        ),
        "unknown_zone": ErrorCode(
            "A zone in `firewall_zone`, `firewall_zones` or `firewall_allow` is not one that firewalld has.",
            "The zone's name is misspelt, or is created elsewhere.",
            "Use zones that `firewall-cmd --get-zones` lists.",
        ),
        "wider_rule": ErrorCode(
            "A rule of the host's firewall lets in more on a port than the variables ask for, and would stay in force.",
            "Somebody added the rule by hand, or an earlier configuration did.",
            "Remove that rule, ask for it in the variables, or set `firewall_remove_unmanaged: true`.",
        ),
    },
)

PROGRAM = Section(
    "Programs",
    "Why a program will not start on a host. They come as `problems` of `slipway.go.linkage` and of a release, "
    "with the "
    "kernel's or the loader's own words. The [guide](../guide/will-it-run-there.md) shows each.",
    {
        "capabilities": ErrorCode(
            "The file carries capabilities that the unit's bounding set does not hold, so that the kernel "
            "refuses to run it.",
            "`setcap` was used on the file, and `CapabilityBoundingSet=` of the unit is narrower.",
            "Remove the capabilities with `setcap -r`, or widen `CapabilityBoundingSet=`.",
        ),
        "cpu_level": ErrorCode(
            "The program needs instructions that the host's processor lacks.",
            "It was built with a higher `GOAMD64`, `GOARM`, `GOARM64` or `GO386` than the processor has.",
            "Build it with a lower level, as the fix of the message says.",
        ),
        "empty": ErrorCode(
            "The file has no bytes.",
            "A build or an upload was cut short.",
            "Build or upload the file again.",
        ),
        "interpreter_invalid": ErrorCode(
            "The dynamic loader that the program names is on the host, but is not executable or is for another "
            "processor.",
            "The C library on the host is damaged or foreign.",
            "Install the C library for this processor again, or build with `CGO_ENABLED=0`.",
        ),
        "interpreter_missing": ErrorCode(
            "The dynamic loader that the program names does not exist on the host, or the unit's sandbox hides it.",
            "The program was linked against glibc and the host has musl, or the other way round.",
            "Build with `CGO_ENABLED=0`, or on the distribution that the host runs.",
        ),
        "kernel_too_old": ErrorCode(
            "The program's note or its version of Go asks for a newer kernel than the host runs.",
            "The host runs an old distribution.",
            "Upgrade the kernel, or build with an older Go.",
        ),
        "library_invalid": ErrorCode(
            "A library was found, and the loader refuses it.",
            "The library is damaged, is for another processor, or needs another kind of loader.",
            "Install the library's package again.",
        ),
        "library_missing": ErrorCode(
            "A library that the program needs, or that one of its libraries needs, is not found on the host.",
            "The library's package is not installed, or the search path of the unit does not lead to it.",
            "Install the package that the fix names, or build with `CGO_ENABLED=0`.",
        ),
        "library_unreadable": ErrorCode(
            "A library was found, and the user who starts the program may not read it.",
            "The permissions of the library or of a directory above it are too narrow.",
            "Let the service's user read the library.",
        ),
        "loader_unknown": ErrorCode(
            "The program's dynamic loader is neither glibc's nor musl's, so that nothing can be said of its libraries.",
            "The program was linked with another C library.",
            "Build with `CGO_ENABLED=0`.",
        ),
        "malformed": ErrorCode(
            "The headers of the file contradict each other; the kernel or the loader would refuse it.",
            "The file is damaged.",
            "Build or upload the file again.",
        ),
        "noexec_mount": ErrorCode(
            "The program, its loader or a library is on a file system that is mounted `noexec`.",
            "A hardened mount table covers the directory.",
            "Install it on another file system, or mount this one without `noexec`.",
        ),
        "not_a_program": ErrorCode(
            "The file is a shared library, an object file or a core dump.",
            "It was built with another `-buildmode`, or another file was named.",
            "Give the program itself, built with `-buildmode=exe` or `pie`.",
        ),
        "not_elf": ErrorCode(
            "The file does not begin as a Linux program does. The fix says what it seems to be.",
            "A script, an archive, or a program for Windows or macOS was named.",
            "Give a program that was built with `GOOS=linux`.",
        ),
        "not_executable": ErrorCode(
            "The user who starts the program may not execute it, or `release_src` is no executable at all.",
            "The mode of the file or of a directory above it is too narrow, or another kind of file was named.",
            "Set the mode to 0755, or build with `GOOS=linux` and `-buildmode=exe` or `pie`.",
        ),
        "not_found": ErrorCode(
            "There is no file with that path.",
            "The path is misspelt, or the file was not uploaded.",
            "Correct the path, or upload the file first.",
        ),
        "not_regular": ErrorCode(
            "The path leads to a directory, a fifo or a device.",
            "Another path than that of the program was named.",
            "Give the path of the program itself.",
        ),
        "packed": ErrorCode(
            "The program is packed by UPX, and what it needs cannot be read.",
            "The build runs `upx` over the program.",
            "Release the program without UPX, or unpack it with `upx -d`.",
        ),
        "page_size": ErrorCode(
            "The program's segments do not fit the page size of the host's kernel.",
            "The kernel uses larger pages than the program was linked for, for example 64 KiB instead of 4 KiB.",
            "Link with the page size that the fix names, for example `-Wl,-z,max-page-size=65536`.",
        ),
        "symbol_missing": ErrorCode(
            "None of the libraries found defines a symbol that the loader binds at the start.",
            "A library on the host is older or newer than the one that the program was linked against.",
            "Install the version of the library that has the symbol, or build on the host's distribution.",
        ),
        "too_large_table": ErrorCode(
            "A table in the file has more entries than the kernel or the loader accepts.",
            "The file is damaged.",
            "Build or upload the file again.",
        ),
        "truncated": ErrorCode(
            "The file ends before its segments or tables do.",
            "A build or an upload was cut short.",
            "Build or upload the file again.",
        ),
        "unit_architecture": ErrorCode(
            "The unit's `SystemCallArchitectures=` does not hold the architecture of the program.",
            "The program was built for another architecture than the host's own.",
            "Build for the host's architecture.",
        ),
        "unit_hidden": ErrorCode(
            "The sandbox of the unit hides the program.",
            "`ProtectHome=`, `PrivateTmp=`, `InaccessiblePaths=` or the like covers its path.",
            "Install the program elsewhere, for instance below `/opt`, or expose it with `BindReadOnlyPaths=`.",
        ),
        "unit_masked": ErrorCode(
            "The unit that was named is masked.",
            "Somebody ran `systemctl mask`, or a link to `/dev/null` stands in its place.",
            "Run `systemctl unmask UNIT`.",
        ),
        "unit_missing": ErrorCode(
            "A file, a directory, a user or a group that the unit names does not exist on the host.",
            "`WorkingDirectory=`, `EnvironmentFile=`, `User=` or `Group=` names what has not been created yet.",
            "Create it, or remove the setting from the unit.",
        ),
        "unit_noexec": ErrorCode(
            "`NoExecPaths=` of the unit covers the program.",
            "The unit's sandbox forbids to execute anything there.",
            "Add the program to `ExecPaths=`, or install it elsewhere.",
        ),
        "unit_not_found": ErrorCode(
            "The unit that was named is in none of systemd's directories.",
            "The unit is not installed yet, or its name is misspelt.",
            "Install the unit first, or correct its name.",
        ),
        "unit_forbidden": ErrorCode(
            "The user of the unit may not enter a directory that the unit names.",
            "The mode of that directory or of one above it is too narrow.",
            "Let the user enter the directory that the fix names.",
        ),
        "unit_memory": ErrorCode(
            "The unit's `MemoryDenyWriteExecute=` forbids what the program or a library does when it starts.",
            "A library relocates its code, asks for an executable stack, or has a segment that is writable and "
            "executable.",
            "Link the file that the fix names as it says, or remove `MemoryDenyWriteExecute=`.",
        ),
        "unit_root_image": ErrorCode(
            "The unit runs in an image (`RootImage=`), and the files in it cannot be looked into.",
            "The image is not unpacked.",
            "Unpack the image and name its directory with `RootDirectory=`.",
        ),
        "unit_unreadable": ErrorCode(
            "The unit's file is not a regular file, or cannot be read.",
            "Its permissions are too narrow, or a directory stands in its place.",
            "Let the user that Ansible becomes read it, or name a unit file.",
        ),
        "unreadable": ErrorCode(
            "The program's file cannot be read.",
            "The user that Ansible becomes has no permission on the file or on a directory above it.",
            "Let that user read the file.",
        ),
        "version_missing": ErrorCode(
            "The library found on the host does not provide a symbol version that the program asks for, such as "
            "`GLIBC_2.34`.",
            "The program was built on a newer distribution than the host runs.",
            "Build on the host's distribution or an older one, or with `CGO_ENABLED=0`.",
        ),
        "wrong_machine": ErrorCode(
            "The program was built for another family of processors, and the kernel has no emulator for it.",
            "`GOARCH` of the build is not that of the host.",
            "Build with the `GOARCH` that the fix names.",
        ),
        "wrong_os": ErrorCode(
            "The program was built for another operating system.",
            "`GOOS` of the build is not `linux`.",
            "Build with `GOOS=linux`.",
        ),
    },
)

POLICY = Section(
    "Policies on programs",
    "What `slipway.go.binary_info` and the policies of a release ask of a build.",
    {
        "denylist_syntax": ErrorCode(
            "A line of the list of denied modules has a constraint that cannot be read.",
            "The operator or the version behind the module's path is misspelt.",
            "Write `<v1.2.3`, `<=v1.2.3`, `>v1.2.3`, `>=v1.2.3` or `=v1.2.3`.",
        ),
        "policy_denied_module": ErrorCode(
            "The program contains a module in a version that the list of denied modules names.",
            "A dependency has not been upgraded.",
            "Upgrade the module to the version that the fix names, and build again.",
        ),
        "policy_go_version": ErrorCode(
            "The program was built with an older Go than `min_go_version`.",
            "The builder has an old toolchain.",
            "Build with that version of Go or a newer one.",
        ),
        "policy_main_module": ErrorCode(
            "The program's main module is another than `main_module`.",
            "The artefact of another service was named.",
            "Release the artefact of this service.",
        ),
        "policy_not_go": ErrorCode(
            "A policy asks for Go's build information, and the file has none.",
            "The program was not built by `go build`, or was packed or stripped of it.",
            "Build with `go build` and do not pack the program.",
        ),
        "policy_static": ErrorCode(
            "The program needs a dynamic loader, and the policy wants a static one; or a packed program hides "
            "what it needs.",
            "cgo is on, or the program is built as a position-independent executable.",
            "Build with `CGO_ENABLED=0`, without `-buildmode=pie` and without UPX.",
        ),
        "policy_syntax": ErrorCode(
            "`min_go_version` is no version of Go, or is older than any whose build information can be read.",
            "YAML reads `1.20` without quotes as `1.2`.",
            'Write the version in quotes, for example `"1.20"`.',
        ),
        "policy_vcs_modified": ErrorCode(
            "The program was built from a tree with uncommitted changes.",
            "Somebody built on a workstation, or the pipeline changes files before it builds.",
            "Commit or drop the changes, then build.",
        ),
        "policy_vcs_unknown": ErrorCode(
            "The program does not say from which revision it was built.",
            "It was built outside the repository or with `-buildvcs=false`.",
            "Build inside the repository with `-buildvcs=true`.",
        ),
    },
)

VULNERABILITIES = Section(
    "Vulnerabilities",
    "What `slipway.go.vulnerabilities` and `release_vulnerability_database` ask of a program and of the database.",
    {
        "policy_denied_licence": ErrorCode(
            "The SBOM says that a component has a licence that is denied.",
            "A dependency was added, or has changed its licence.",
            "Remove the component, or take a version with another licence.",
        ),
        "policy_vulnerability_unknown": ErrorCode(
            "It is not known whether the program has a vulnerability, and `release_vulnerability_inconclusive` is "
            "`refuse`.",
            "A module comes from a folder of the builder or has no version, or the program does not name its modules.",
            "Build inside a module with released versions, or set `release_vulnerability_inconclusive` to `accept`.",
        ),
        "policy_vulnerable": ErrorCode(
            "The program contains a module, or was built with a Go, that has a known vulnerability.",
            "A dependency or the toolchain has not been upgraded.",
            "Upgrade to the version that the fix names, or add the id to `release_vulnerability_ignore`.",
        ),
        "sbom_syntax": ErrorCode(
            "The file that `sbom` names is no CycloneDX document in JSON.",
            "It is in another format, such as SPDX or XML, or was cut.",
            "Give a CycloneDX document in JSON.",
        ),
        "vulnerability_database_broken": ErrorCode(
            "The vulnerability database has entries that cannot be judged. The message names the first of them.",
            "The copy was cut or damaged, or the folder holds other JSON files, too.",
            "Fetch the database again, and give the folder or zip with its entries alone.",
        ),
        "vulnerability_database_empty": ErrorCode(
            "The vulnerability database has no entry about Go, so that nothing could be found.",
            "The path is misspelt, the copy failed, or it is the database of another language.",
            "Give the path of the Go vulnerability database.",
        ),
        "vulnerability_database_format": ErrorCode(
            "The vulnerability database is neither a folder nor an intact zip.",
            "It is packed in another way, or the copy was cut.",
            "Give a folder or a zip.",
        ),
        "vulnerability_database_future": ErrorCode(
            "The latest change of the vulnerability database is in the future.",
            "The controller's clock is wrong, or the database is not a real one.",
            "Correct the clock, or take the database from a source that you trust.",
        ),
        "vulnerability_database_missing": ErrorCode(
            "The vulnerability database is not on the controller or cannot be read there.",
            "The path is misspelt, or the user of the controller may not read it.",
            "Correct the path.",
        ),
        "vulnerability_database_stale": ErrorCode(
            "The latest change of the vulnerability database is older than `release_vulnerability_max_age` allows.",
            "Nobody has fetched the database for a while.",
            "Fetch the database again.",
        ),
        "vulnerability_database_too_large": ErrorCode(
            "The vulnerability database has more files or more bytes than the reader allows.",
            "It is a database of all languages, or a zip that was made to fill the memory.",
            "Give the database of Go alone.",
        ),
        "vulnerability_database_undated": ErrorCode(
            "No entry of the vulnerability database says when it was changed, so its age cannot be compared with "
            "`release_vulnerability_max_age`.",
            "It is a copy of the repository golang/vulndb, whose entries get their times when they are published.",
            "Give `vulndb.zip` as Go publishes it, or set `release_vulnerability_max_age` to 0.",
        ),
        "vulnerability_ignore_syntax": ErrorCode(
            "An element of `release_vulnerability_ignore` lacks its id, reason or last day, or has another key.",
            "A key is misspelt, or the day is no date.",
            "Give each element `id`, `reason` and `until`, as `YYYY-MM-DD`.",
        ),
    },
)

INTAKE = Section(
    "Artefacts",
    "The file that a release brings, its checksums and its signatures.",
    {
        "ambiguous_checksum": ErrorCode(
            "The checksums file has more than one checksum for the artefact.",
            "Lines of several builds were put into one file.",
            "Leave one of these lines.",
        ),
        "archive_too_large": ErrorCode(
            "The archive has more files, more headers or more bytes than `release_max_size` and the limits of "
            "the reader allow.",
            "It holds something that does not belong into a release, or its headers are malformed.",
            "Take out what the release does not need, or raise `release_max_size` if it is right.",
        ),
        "artefact_too_large": ErrorCode(
            "The artefact has more bytes than `release_max_size` allows.",
            "The wrong file was named, or the limit is too low for this service.",
            "Correct the path or URL, or raise `release_max_size`.",
        ),
        "bad_signature": ErrorCode(
            "The signature does not belong to this content, or its trusted comment was changed.",
            "The artefact or the signature was changed after signing, or belongs to another version.",
            "Sign exactly what is released, or find out who changed it.",
        ),
        "damaged_archive": ErrorCode(
            "The archive cannot be read to its end: it is cut short, cannot be decompressed, or has malformed headers.",
            "The download or the build was cut short.",
            "Build or fetch the archive again, as `.tar`, `.tar.gz`, `.tar.xz` or `.tar.zst`.",
        ),
        "foreign_archive": ErrorCode(
            "The file is an archive of a kind that is not read, such as zip or bzip2, or zstd without the program.",
            "The pipeline packs releases differently, or the machine that reads the archive has no program `zstd`.",
            "Install `zstd` where it is read, or make a `.tar.gz`, `.tar.xz` or `.tar`.",
        ),
        "insecure_checksums": ErrorCode(
            "The checksums file is fetched without TLS and has no signature, so that it proves nothing.",
            "`release_checksum` is an `http` URL.",
            "Use its https URL, sign it (`release_signature_of: checksums`), or give the SHA-256 itself.",
        ),
        "insecure_redirect": ErrorCode(
            "A server redirects from https to a URL without TLS.",
            "A mirror or a proxy answers in place of the server.",
            "Use the https URL of the file itself.",
        ),
        "invalid_checksum": ErrorCode(
            "`release_checksum` is neither a SHA-256 or SHA-512 nor the place of a checksums file.",
            "The digest is too short, has other characters, or is of another algorithm.",
            "Write `sha256:` and 64 hexadecimal digits, `sha512:` and 128 of them, or the path or URL of a "
            "checksums file.",
        ),
        "invalid_checksums": ErrorCode(
            "A line of the checksums file is no checksum, or lacks the name of its file.",
            "The file holds something else, for instance an error page.",
            "Write the file with `sha256sum` or `sha512sum`.",
        ),
        "invalid_headers": ErrorCode(
            "A name in `release_fetch_headers` is no header that can be set, or its value is not one line of ASCII.",
            "The token was given alone, or was copied with a line break.",
            "Write `release_fetch_headers` as name: value pairs, such as `Authorization: Bearer TOKEN`.",
        ),
        "invalid_key": ErrorCode(
            "An entry of `release_minisign_keys` is no public key of minisign.",
            "The comment or the path of the key was given in place of the key.",
            "Give the line of `minisign.pub` that starts with RW.",
        ),
        "invalid_limit": ErrorCode(
            "`release_max_size` or `release_fetch_timeout` is not a number above 0.",
            "It has a unit, is 0, or is negative.",
            "Give a number above 0, without a unit.",
        ),
        "invalid_provenance": ErrorCode(
            "`release_provenance` is no envelope of DSSE with a statement of in-toto and a predicate of SLSA "
            "Provenance v1, or could be read in two ways.",
            "It is another file, or somebody has changed it.",
            "Give the file that the build has written beside the artefact.",
        ),
        "invalid_signature": ErrorCode(
            "`release_signature` is neither a signature of minisign nor one of `ssh-keygen -Y sign`.",
            "Another file was named, or the signature was damaged.",
            "Give the file that `minisign -S` or `ssh-keygen -Y sign -n file` wrote.",
        ),
        "invalid_src": ErrorCode(
            "`release_src` is by architecture, and names one that Go does not have, something else than a text, or "
            "levels where nobody can look for them.",
            "A name is not one of Go's, such as `x86_64` for `amd64`, or `{level}` is in a URL or a path on the host.",
            "Name architectures as Go does, or give a dictionary in place of `{level}`.",
        ),
        "invalid_url": ErrorCode(
            "A URL cannot be fetched: it is not http or https, or is not a URL at all.",
            "The URL is misspelt, or has characters that a URL cannot have.",
            "Write an http or https URL with a host and a path.",
        ),
        "missing_artefact": ErrorCode(
            "`release_src` is not a file on the controller.",
            "The artefact has not been built, or is looked for in other places. The message lists them.",
            "Build the artefact, or correct the path.",
        ),
        "missing_tasks": ErrorCode(
            "A file of tasks around a release is not on the controller.",
            "The path is wrong, or is relative to another folder. The message lists the folders.",
            "Correct the path, or leave the variable empty.",
        ),
        "missing_checksum": ErrorCode(
            "`release_src` is a URL, and `release_checksum` is empty.",
            "What a host fetches from a network is released only when it can be verified.",
            "Set `release_checksum` to its SHA-256, or to the path or URL of a checksums file.",
        ),
        "missing_checksums": ErrorCode(
            "`release_signature_of` is `checksums`, and `release_checksum` is no checksums file.",
            "The digest itself was given, which nobody has signed.",
            "Set `release_checksum` to the path or URL of the signed checksums file.",
        ),
        "invalid_by": ErrorCode(
            "The option `by` of `release` or `rollback` is no mapping.",
            "A playbook gives the name alone.",
            "Give `person`, `controller`, `job` and `reason`.",
        ),
        "missing_reason": ErrorCode(
            "`release_reason` is empty, and `release_reason_required` is set.",
            "The team wants a reason in the history of each release.",
            "Set `release_reason` to why this release is made.",
        ),
        "missing_file": ErrorCode(
            "A file that the release reads on the host is not there or cannot be read.",
            "`release_remote_src` is set, and the path is one of the controller, or is misspelt.",
            "Correct the path, or leave `release_remote_src` out for a file on the controller.",
        ),
        "missing_provenance": ErrorCode(
            "A rule asks for the artefact's provenance, and `release_provenance` is empty.",
            "The service wants to know who built its releases, and this run does not say.",
            "Set `release_provenance` to the file that the build has written beside the artefact.",
        ),
        "missing_signature": ErrorCode(
            "Keys are set, and `release_signature` and `release_provenance` are empty.",
            "The service wants signed releases, and this run names no signature.",
            "Set `release_signature` to the signature file, or leave the keys empty.",
        ),
        "no_artefact_for_host": ErrorCode(
            "`release_src` has artefacts for several architectures, and none of them runs on this host's processor.",
            "The host has another architecture or an older processor than those that were built for.",
            "Build for the architecture that the fix names, or leave the host out.",
        ),
        "no_binary": ErrorCode(
            "The archive has no file, or more than one, that could be the program.",
            "No file has the service's name, and several are executable.",
            "Set `release_binary` to the path of the program in the archive.",
        ),
        "no_checksum": ErrorCode(
            "The checksums file has no SHA-256 or SHA-512 for the artefact's name.",
            "The file is of another version, or names the artefact differently.",
            "Add the line that `sha256sum` prints for it, or correct `release_src`.",
        ),
        "no_signer": ErrorCode(
            "There is a signature, and no key says whose signature counts.",
            "`release_minisign_keys` or `release_allowed_signers` is empty for this kind of signature.",
            "Set the one that fits the signature.",
        ),
        "no_ssh_keygen": ErrorCode(
            "The host has no `ssh-keygen` that can verify signatures.",
            "OpenSSH is older than 8.1, or its client is not installed.",
            "Install the client of OpenSSH 8.1 or newer, or sign with minisign.",
        ),
        "not_fetched": ErrorCode(
            "The host could not fetch a URL. The message has the reason and, where there is one, the status of "
            "the answer.",
            "The server refuses the request, its name or certificate is wrong, or the network does not let the "
            "host through.",
            "Correct the URL, the headers or the network of the host, as the fix says.",
        ),
        "too_large": ErrorCode(
            "A checksums file, a signature or a list of signers is larger than such a file can be.",
            "Another file was named.",
            "Correct the path or URL.",
        ),
        "policy_provenance": ErrorCode(
            "The provenance names another builder, repository or ref than those that are allowed, or none.",
            "It was built elsewhere, from a fork or a branch, or from changes that are in no commit.",
            "Build it where the rule says, or add what is trusted to the rule.",
        ),
        "policy_prerelease": ErrorCode(
            "`release_version` is a pre-release by Semantic Versioning, and `release_prerelease` is false.",
            "It is a candidate such as `2.0.0-rc.1`, or a commit after a tag such as `2.0.0-5-gabcdef0`.",
            "Release a version without a suffix, or allow pre-releases with `release_prerelease`.",
        ),
        "unknown_signer": ErrorCode(
            "The signature was made with a key that is not in `release_minisign_keys`.",
            "Somebody else signed, or the key was changed.",
            "Sign with one of the keys, or add that public key if you trust its owner.",
        ),
        "wrong_provenance": ErrorCode(
            "`release_provenance` is signed by somebody trusted, and is about another artefact.",
            "It is that of another version or architecture, or somebody offers it in place of the right one.",
            "Give the provenance of this very artefact.",
        ),
        "unreadable_OPTION": ErrorCode(
            "A file that `release_checksum`, `release_signature`, `release_allowed_signers` or another variable names "
            "cannot be found or read on the controller.",
            "The path is misspelt, or the user of the controller may not read it.",
            "Correct the path, or leave the variable empty.",
        ),
        "unreadable_artefact": ErrorCode(
            "`release_src` is a file that the controller may not read.",
            "The permissions of the file are too narrow.",
            "Let the user who runs Ansible read it.",
        ),
        "unsafe_archive": ErrorCode(
            "A member of the archive has a path, a kind or a mode that a release cannot have.",
            "It is absolute or leads out with `..`, is a link or a device, is there twice, or is setuid.",
            "Make the archive anew, as the fix says.",
        ),
        "version_mismatch": ErrorCode(
            "The artefact says another version than `release_version`.",
            "The artefact of another version was named.",
            "Release the artefact of that version, or correct `release_version`.",
        ),
        "version_not_named": ErrorCode(
            "`release_version_binding` is `required`, and nothing that was signed or built names the version.",
            "The trusted comment of the signature, the signed file names and Go's build information do not hold it.",
            "Sign with the trusted comment `version:VERSION`, or build with that version.",
        ),
        "wrong_checksum": ErrorCode(
            "The artefact has another digest than `release_checksum` says, or than the controller computed "
            "before the upload.",
            "The artefact was built again, changed, or damaged on the way.",
            "Build or fetch the artefact again, or correct `release_checksum`.",
        ),
    },
)

VARIABLES = Section(
    "Variables of services and releases",
    "What is refused before a host is changed.",
    {
        "archive_exists": ErrorCode(
            "The file that `remove_archive` names is on the host already, and no removal that was cut short has "
            "written it. Nothing was changed.",
            "An earlier removal or somebody else has written it.",
            "Move the file away, or name another one.",
        ),
        "empty_of": ErrorCode(
            "A variable that says what a rollback takes back is empty.",
            "A survey or a job template gives an empty answer.",
            "Give the variable a value, or leave it undefined.",
        ),
        "foreign_files": ErrorCode(
            "Files of the service are on the host, and the collection has never configured a service of that "
            "name there.",
            "Another service, or one that was set up by hand, has the same name.",
            "Move them away, or choose another `service_name`.",
        ),
        "root_changed": ErrorCode(
            "`service_root` names another folder than the one that has the service's releases on this host.",
            "The variable was changed, or left out, after the first release. The new one has nothing to go back to.",
            "Set it as it was. The steps of a move are in [Rename a service, or move "
            "it](../guide/remove.md#rename-a-service-or-move-it).",
        ),
        "root_taken": ErrorCode(
            "Another service of this host has its releases in this `service_root`.",
            "The variable was copied from the other service, or `service_name` was changed and it was not.",
            "Give each service a folder of its own. The default, `/opt/NAME`, is one.",
        ),
        "damaged_former": ErrorCode(
            "The record of what a service was before slipway is on the host and not readable.",
            "The disk is damaged, or somebody has changed `/var/lib/slipway/SHOP/former/former.json`.",
            "Replace it from a backup of the host. If the service's unit is slipway's and stays so, remove the folder.",
        ),
        "former_changed": ErrorCode(
            "The unit of a service that a release was to take over is not as when a copy of it was kept. Nothing was "
            "changed.",
            "Somebody changed the unit, a drop-in or a link of it while `slipway.go.adopt` was running.",
            "Run `slipway.go.adopt` again, which looks anew.",
        ),
        "former_needs_data": ErrorCode(
            "`remove_data` is true for a service that was given back to its former unit. Nothing was changed.",
            "The former service runs, and has its data where a release has it.",
            "Run again without `remove_data`.",
        ),
        "former_not_started": ErrorCode(
            "The files of the service that was there before slipway are back, and it does not run.",
            "Something that it needs has changed since: its program, its port, its user or its data.",
            "Correct what `journalctl` says of its unit, then run again, which starts it.",
        ),
        "foreign_unit": ErrorCode(
            "A unit of the service's name is on the host, or a drop-in changes one, and it is not the collection's.",
            "A service was set up by hand or by a package.",
            "Take it over as `slipway.go.adopt` shows, remove it with the commands of the fix, or choose another "
            "`service_name`.",
        ),
        "health_option": ErrorCode(
            "An option of a health check has a wrong value, is missing, or has no meaning for this kind. The "
            "message names it.",
            "The option is misspelt, or belongs to another kind of check.",
            "Correct the option as the fix says.",
        ),
        "invalid_OPTION": ErrorCode(
            "The value of a variable is not of its type. The code has the variable's name without its prefix.",
            "A survey, `-e` or an inventory gives a text that cannot be read as a number, a list or a dictionary.",
            "Write the value as the fix says.",
        ),
        "invalid_archive_path": ErrorCode(
            "`remove_archive` is not the absolute path of a `.tar.gz` file in a folder of the host that stays.",
            "It is a relative path, has another ending, is in a folder that the host does not have, or is in one "
            "of the service's own.",
            "Use a path such as `/var/backups/shop.tar.gz`.",
        ),
        "invalid_config_files": ErrorCode(
            "`service_config_files` is not a list.",
            "One entry was written without the dash, or a dictionary was given.",
            "Write it as a list of entries with `src`.",
        ),
        "invalid_duration": ErrorCode(
            "A time, or another limit of a release, is negative or not a number.",
            "It has a unit, or is empty.",
            "Give a number, 0 or more; times are in seconds.",
        ),
        "invalid_environment": ErrorCode(
            "A name or a value cannot stand in systemd's environment file.",
            "The name has other characters than letters, digits and `_`, or the value has a line break or a NUL.",
            "Correct the name, or put the value into a configuration file (`service_config_files`).",
        ),
        "invalid_freeze": ErrorCode(
            "`release_freeze`, or the entry of it that the message counts, cannot be read.",
            "A time has no zone, an end comes before its beginning, the reason is missing, or a key is unknown.",
            "Correct that entry as the message says.",
        ),
        "invalid_health": ErrorCode(
            "A number of `release_health` is out of its range.",
            "The interval or the deadline is negative or not a number, or a count is not 1 or more.",
            "Give the number that the fix names.",
        ),
        "invalid_slow": ErrorCode(
            "`release_slow` is neither `rollback` nor `pause`.",
            "The word is misspelt.",
            "Use `rollback` or `pause`.",
        ),
        "invalid_pause": ErrorCode(
            "`release_pause_time` is 0, negative, no number, or more than 43200.",
            "A host does not wait for a person for ever, nor for no time at all.",
            "Give seconds, more than 0 and at most 43200.",
        ),
        "invalid_inconclusive": ErrorCode(
            "`release_inconclusive` is neither `accept` nor `refuse`.",
            "The word is misspelt.",
            "Use `accept` or `refuse`.",
        ),
        "invalid_keep": ErrorCode(
            "`release_keep` is below 2.",
            "At least the release that serves and the last good one have to stay.",
            "Set it to 2 or more.",
        ),
        "invalid_listen": ErrorCode(
            "An entry of `service_listen` is neither a port, an address with a port, nor the path of a socket.",
            "A host name or a URL was given.",
            "Write for example `8080`, `127.0.0.1:8080`, `[::1]:8080` or `/run/shop.sock`.",
        ),
        "invalid_name": ErrorCode(
            "A name is too long, has other characters than allowed, or belongs to the system.",
            "`service_name` has capital letters or spaces, or is the name of a unit of the distribution.",
            "Use lower-case letters, digits, `-` and `_`, a letter first.",
        ),
        "invalid_once": ErrorCode(
            "`release_once`, its time limit or `release_once_decision` cannot be used.",
            "The command is no list of texts or begins with no program, the time is not above 0, or the decision names "
            "no attempt.",
            "Write the command as a list such as `[bin/shop, migrate]`, or copy the decision from the message.",
        ),
        "invalid_ports": ErrorCode(
            "`service_proxy_ports` is not two different ports.",
            "One port was given, the same twice, or a number that is no port.",
            "Give two free ports of the host, for example `[18080, 18081]`.",
        ),
        "invalid_probe": ErrorCode(
            "`release_probe` has an option with a wrong value, or nothing to ask.",
            "An option is misspelt or out of its range, or neither it nor `release_health` has a URL.",
            "Correct the option, give `release_probe.url`, or leave `release_probe` empty.",
        ),
        "invalid_ratio": ErrorCode(
            "`release_max_latency_ratio` is between 0 and 1.",
            "A percentage was given in place of a ratio.",
            "Give 1 or more, or 0 to switch it off.",
        ),
        "invalid_release": ErrorCode(
            "A text is not the id of a release.",
            "A version was given where an id is wanted, or the id was cut.",
            "Use an id that `slipway.go.release_info` lists.",
        ),
        "invalid_root": ErrorCode(
            "`service_root` is not the absolute path of a directory.",
            "The path is relative, is `/`, or has `..` in it.",
            "Use a path such as `/opt/NAME`.",
        ),
        "invalid_smoke": ErrorCode(
            "A command of `release_smoke` is not a list of texts, or its time is not above 0.",
            "A command was written as one text, or a number in it has no quotes.",
            "Write each command as a list of texts in quotes.",
        ),
        "invalid_strategy": ErrorCode(
            "`service_swap` is none of the strategies.",
            "The word is misspelt.",
            "Use one of the strategies that the fix lists.",
        ),
        "invalid_template": ErrorCode(
            "A template of `service_config_files` cannot be rendered.",
            "It uses a variable that is undefined for this host, or has an error of syntax.",
            "Correct the template, or define what it uses for every host.",
        ),
        "invalid_unit": ErrorCode(
            "`systemd-analyze verify` refuses a unit that was rendered from the variables.",
            "A directive in `service_directives` or another variable is misspelt or has a wrong value.",
            "Correct the variable that the message names, or that the quoted line comes from.",
        ),
        "invalid_unit_name": ErrorCode(
            "A text is not the name of a unit file.",
            "The suffix is missing, or the name has other characters than systemd allows.",
            "Use a name such as `shop.service` or `shop@.service`.",
        ),
        "invalid_version": ErrorCode(
            "`release_version` is empty, or has characters that cannot be in a release's name.",
            "It has a slash or spaces, or is too long.",
            "Set it to the artefact's version: letters, digits and `. _ + ~ -`.",
        ),
        "invalid_weights": ErrorCode(
            "`release_weights` are not rising percentages from 0 to 100.",
            "The shares are not in order, or one is 0.",
            "Give for example `[5, 25, 100]`.",
        ),
        "missing_OPTION": ErrorCode(
            "A variable that a release cannot do without is empty.",
            "`service_name`, `release_version` or `release_src` is not set for this run.",
            "Set the variable that the message names.",
        ),
        "missing_src": ErrorCode(
            "An entry of `service_config_files` has no `src`.",
            "The key is missing or misspelt.",
            "Name the template in `src`.",
        ),
        "missing_template": ErrorCode(
            "A template of `service_config_files` is in none of the places where it is looked for, or is not a file.",
            "The path is misspelt, or the file was not checked in.",
            "Correct the path, or put the template there.",
        ),
        "name_not_confirmed": ErrorCode(
            "`remove_confirm` is not the name of the service that would be removed. Nothing was changed.",
            "It is missing, empty or misspelt, or another host has another `service_name`.",
            "Set it to the service's name if that service is to be removed.",
        ),
        "no_group": ErrorCode(
            "The group in `service_group` is not on the host.",
            "The role `service` has not run on the host, or the group's name is misspelt.",
            "Apply the role `slipway.go.service` first, or correct `service_group`.",
        ),
        "no_tool": ErrorCode(
            "The tool `slipway` is not on the host, so that nothing could revert a release that nobody confirms, "
            "and nobody could resume one that is paused.",
            "The role `service` has not run on the host, or somebody removed the tool.",
            "Apply the role `slipway.go.service`, or turn off what needs the tool: `release_confirm: 0`, "
            "`release_slow: rollback`.",
        ),
        "confirm_too_long": ErrorCode(
            "The host would wait longer than a day until it takes back a release that nobody confirms. Nothing was "
            "changed.",
            "It waits for the longest swap, the soak, `release_confirm`, `release_confirm_fleet` and, with "
            "`release_slow: pause`, `release_pause_time` together. A timer that takes a change back waits 86400 s at "
            "most.",
            "Set the variables of the message to what its fix says, or less. If `release_confirm_fleet` is for many "
            "batches that may be paused, lower `release_pause_time` or set `release_confirm_fleet` to 0.",
        ),
        "no_units": ErrorCode(
            "The host has no unit for the releases of this service.",
            "The role `service` has not run on the host.",
            "Apply the role `slipway.go.service` first, or run `site.yml`.",
        ),
        "no_verify": ErrorCode(
            "The units could not be verified, because `systemd-analyze` did not run.",
            "The program is missing, or did not end in time.",
            "Repair what the message names, then run again.",
        ),
        "not_filled_in": ErrorCode(
            "A variable of a rollback still has the text of a template, such as `{{ run }}`.",
            "AWX passes on what a launch, a survey or a workflow gives, without evaluating it.",
            "Set it in the variables of the job template, or give the value itself.",
        ),
        "not_rendered": ErrorCode(
            "The part of `slipway.go.service_files` that runs on the controller did not run.",
            "The module was called by other means than a task.",
            "Use it in a task.",
        ),
        "relative_path": ErrorCode(
            "A path is relative, and `release_remote_src` says that it is on the host.",
            "The path was meant for the controller.",
            "Give the absolute path on the host, or leave `release_remote_src` out.",
        ),
        "smoke_without_rehearsal": ErrorCode(
            "`release_smoke` is set, and releases of this service are not rehearsed.",
            "Smoke commands run against the rehearsal, and `service_rehearsal` is empty.",
            "Set `service_rehearsal`, or leave `release_smoke` empty.",
        ),
        "unsupported_option": ErrorCode(
            "A task passes `slipway.go.release` an option that the module does not document.",
            "The option is one that only the controller's part of the module hands to the host, or is misspelt.",
            "Remove it from the task.",
        ),
        "unit_taken": ErrorCode(
            "A unit with this name belongs to a package of the host.",
            "The service has the name of a service of the distribution.",
            "Choose another `service_name`.",
        ),
    },
)

RELEASE = Section(
    "Releases and rollbacks",
    "",
    {
        "canary_failed": ErrorCode(
            "With its share of the users' requests, the new release failed more of them, or was slower, than the "
            "limits allow.",
            "The release does worse than the one before, or the limit is too narrow for the traffic.",
            "Look at what the release logged, or correct the limit.",
        ),
        "config_changed": ErrorCode(
            "A file below the service's directory in `/etc` changed while it was copied into the release.",
            "Another run or a program writes there at the same time.",
            "Run again when nobody else writes there.",
        ),
        "crashed": ErrorCode(
            "The process of the release ended, or was started again, while it had to stay up.",
            "The program exits by itself, is killed, or cannot read its configuration.",
            "Read `journalctl -u UNIT` on the host and correct the release.",
        ),
        "damaged_journal": ErrorCode(
            "The journal of the service cannot be read.",
            "Its permissions or its disk are damaged.",
            "Move the file away: the history begins anew, and marks of bad releases are lost.",
        ),
        "damaged_release": ErrorCode(
            "Files of a release on the disk are not as they were staged. The message lists the differences.",
            "Somebody edited a file of the release, or a disk error damaged it.",
            "Roll back to the release that the fix names, or release this one again.",
        ),
        "damaged_settings": ErrorCode(
            "What the host knows of a service's settings cannot be read.",
            "The file was edited or damaged.",
            "Release the service again.",
        ),
        "damaged_state": ErrorCode(
            "The state of the transaction in flight cannot be read.",
            "The file was edited or damaged.",
            "Run `sudo slipway recover NAME` on the host, which rebuilds it from the journal.",
        ),
        "disk_full": ErrorCode(
            "The file system has less space, or fewer inodes, than the release or the download needs. The message has "
            "both numbers.",
            "The disk is full, many small files use up its inodes (`df -i`), or too many releases are kept.",
            "Free space or delete files on that file system, or lower `release_keep`.",
        ),
        "foreign_owner": ErrorCode(
            "A directory above the releases belongs to another user than root, so that nothing in it would be started.",
            "Somebody changed its owner.",
            "Give the directory back to root, with the command of the fix.",
        ),
        "front_failed": ErrorCode(
            "HAProxy ended while a release took over. The failure is not held against the release.",
            "HAProxy crashed or was restarted.",
            "Read `journalctl -u haproxy`, then release again.",
        ),
        "frozen": ErrorCode(
            "The run began in a window of `release_freeze`, in which nothing is released. Nothing was changed.",
            "The calendar in the inventory says so, with the reason in the message.",
            "Release after the window, or set `release_break_glass` to the reason why this release cannot wait.",
        ),
        "inconclusive": ErrorCode(
            "Users sent too few requests to judge the release, and `release_inconclusive` is `refuse`.",
            "The service has little traffic at this time.",
            "Raise `release_step_time` or `release_soak_time`, or set `release_inconclusive: accept`.",
        ),
        "interrupted": ErrorCode(
            "A run was cut short in the phase that the message names, and what it began is not settled.",
            "The run was cancelled, its process was killed, or the host went down.",
            "Run `sudo slipway recover NAME` on the host, or release again.",
        ),
        "known_bad": ErrorCode(
            "The release is marked bad on this host: it failed there before. The message has the date and the reason.",
            "The same version with the same configuration is released again, with the same `release_health`, probe "
            "and limits, on a host that has not been changed since: not started anew, no packages installed, and no "
            "file corrected that the release's configuration names.",
            "Release another version or configuration, or set `release_force: true` when the cause is gone.",
        ),
        "lease_ended": ErrorCode(
            "The run had the lease of the service on the host, and somebody ended it. Nothing was changed there.",
            "Somebody took the run for dead, and ran `slipway lease SHOP --end` or named it in `release_end_lease`.",
            "See why it was ended, then release again.",
        ),
        "lease_lost": ErrorCode(
            "The run had the lease of the service on the host, and another run has taken it or released there since. "
            "Nothing was changed there.",
            "The controller paused for longer than the lease holds, or `release_lease_time` is too short.",
            "See what the other run has released, then release again.",
        ),
        "leased": ErrorCode(
            "Another run has the lease of the service on the host. The message says who, since when, for how long at "
            "most, and why.",
            "Two runs were started, or one was killed that had the lease.",
            "Wait for that run to end. If it is dead, set `release_end_lease` to the id in the message, or run "
            "`sudo slipway lease SHOP --end` on the host. If it is paused, run `sudo slipway resume SHOP`, or "
            "`sudo slipway resume SHOP --back`.",
        ),
        "locked": ErrorCode(
            "Another run releases the same service on the host, and held the lock for `release_lock_timeout` seconds.",
            "Two runs were started, or a timer of the host is at work.",
            "Wait for that run to end, or raise `release_lock_timeout`. If it is paused, run "
            "`sudo slipway resume SHOP`, or `sudo slipway resume SHOP --back`.",
        ),
        "no_last_good": ErrorCode(
            "The host has no earlier good release of the service.",
            "This is the first release, or the others were pruned or failed.",
            "Name an id that `slipway.go.release_info` lists, or release another version.",
        ),
        "no_release": ErrorCode(
            "The host has no release of the service.",
            "The service was configured and never released.",
            "Release it.",
        ),
        "no_slot": ErrorCode(
            "The file that holds a release's local port is missing or damaged.",
            "Somebody removed it from `/var/lib/slipway`.",
            "Release another version, which gets a local port of its own.",
        ),
        "not_answered": ErrorCode(
            "No health check of the new release had its whole time to be answered, so nothing is known of the release.",
            "`release_health.deadline` is shorter than `release_health.timeout`, or the host is very busy.",
            "Raise `release_health.deadline` above `release_health.timeout`.",
        ),
        "not_committed": ErrorCode(
            "The release passed its checks and serves, but the last step of writing that down failed.",
            "A disk is full or read-only.",
            "Run the same release again.",
        ),
        "not_handed_over": ErrorCode(
            "With the strategy `reload`, the process did not hand over to the new release.",
            "The service starts its next process from another path than the one it was started with, or the next "
            "one ended at once.",
            "Start the next process from the path that this one was started with; see [Your "
            "service](../guide/your-service.md).",
        ),
        "not_proven": ErrorCode(
            "The first release of the service failed its checks and was left as it is, because there is no "
            "earlier one.",
            "The release is not healthy; the message names the phase and the reason.",
            "Correct what the reason says, then release again.",
        ),
        "nobody_chosen": ErrorCode(
            "`release_weights` begins with 0, which is for the users of `proxy_canary_for` alone, and HAProxy on the "
            "host knows none of them. Nothing was changed.",
            "`proxy_canary_for` is empty, or the role `proxy` was not applied since it was set.",
            "Set `proxy_canary_for` and apply the role `slipway.go.proxy`, or leave 0 out of `release_weights`.",
        ),
        "not_proxied": ErrorCode(
            "HAProxy does not listen on the service's port, or has no backend for it.",
            "The role `proxy` has not run on the host, or HAProxy did not load its configuration.",
            "Apply the role `slipway.go.proxy`, then look at `systemctl status haproxy`.",
        ),
        "not_purged": ErrorCode(
            "A release could not be removed as a whole.",
            "A file in it is immutable or on another file system.",
            "Remove what is left of it by hand.",
        ),
        "not_adoptable": ErrorCode(
            "`slipway.go.adopt` was to let a release take the service over, and it cannot be taken over as it is. "
            "The message names each reason. Nothing was changed.",
            "The unit has what a release cannot have, or a variable of the service would be in the way of the one that "
            "still runs.",
            "Do what the message says, or switch by hand as the playbook shows.",
        ),
        "not_adopted": ErrorCode(
            "The service was to be given back to the unit that it had before slipway, and the host keeps none, or no "
            "release is there that it would replace.",
            "`slipway.go.adopt` has not taken this service over on this host, or it was removed since.",
            "Choose a service and a host that were taken over.",
        ),
        "not_removed": ErrorCode(
            "A file or folder of a service could not be removed. What came before it in the removal is gone.",
            "It is immutable, a mount point, or on a file system that is read-only.",
            "Find out what keeps it with `lsattr` or `findmnt`, then run again.",
        ),
        "not_started": ErrorCode(
            "Systemd did not start the release's unit. The message has its state and result.",
            "The program exits at once, or a directive of the unit forbids its start.",
            "Read `journalctl -u UNIT` on the host and correct the release or the unit.",
        ),
        "not_utf8": ErrorCode(
            "The name of a file, or a line of an environment file, is not UTF-8.",
            "It was written in another encoding.",
            "Rename the file or write it in UTF-8, then release again.",
        ),
        "not_paused": ErrorCode(
            "`slipway resume` was run, and no release of the service waits for a person. The message says what is "
            "there.",
            "The release goes on already, has gone back, or was never paused.",
            "See `sudo slipway status NAME` and `sudo slipway history NAME`.",
        ),
        "not_resumed": ErrorCode(
            "The release was paused because only the durations of users' requests spoke against it, nobody resumed it "
            "within `release_pause_time`, and it went back.",
            "The new release is slower than `release_max_latency_ratio` allows, and nobody was there to decide.",
            "Look at what the release logged. To have it all the same, release it again with `release_force: true` and "
            "resume it in time, or raise `release_max_latency_ratio`.",
        ),
        "never_paused": ErrorCode(
            "A warning: `release_slow` is `pause`, and nothing compares the durations of users' requests.",
            "`service_swap` is not `proxy`, `release_weights` has no share, or `release_max_latency_ratio` is 0.",
            "Use `service_swap: proxy` with `release_weights`, or leave `release_slow` out.",
        ),
        "not_waiting": ErrorCode(
            "No release of that transaction waits to be confirmed.",
            "It was confirmed or taken back before.",
            "Release again.",
        ),
        "other_front": ErrorCode(
            "The release that a rollback would go to was released with another strategy, whose socket and "
            "HAProxy exclude each other.",
            "`service_swap` was changed between `socket` and `proxy` since then.",
            "Set `service_swap` back, apply the roles `service` and `proxy`, and release that version.",
        ),
        "no_handover": ErrorCode(
            "A warning: the program's file has not what a handover on a signal needs.",
            "The program does not hand over, or does it in a way that its file does not show.",
            "Use `service_swap: proxy` or `restart`. If the guess is wrong, do nothing.",
        ),
        "no_listen_fds": ErrorCode(
            "A warning: the program's file does not name `LISTEN_FDS`, which the strategy `socket` needs.",
            "The program opens its port itself.",
            "Use `service_swap: proxy` or `restart`. If the guess is wrong, do nothing.",
        ),
        "no_notify_socket": ErrorCode(
            "A warning: the program's file does not name `NOTIFY_SOCKET`, which `service_type: notify` needs.",
            "The program does not tell systemd that it is ready.",
            "Set `service_type: exec`, and a `release_health` that says when it is ready.",
        ),
        "lower_processor": ErrorCode(
            "A warning: the artefact was built for a level of processors, such as `GOAMD64=v3`, that the host has not.",
            "The host is older than those that the build was meant for.",
            "Build for the level that the message names; `release_src` may name an artefact for each level.",
        ),
        "older_kernel": ErrorCode(
            "A warning: the artefact was built with a release of Go that needs a newer kernel than the host runs.",
            "The host is older than what that release of Go supports.",
            "Upgrade the kernel, or build with an older Go.",
        ),
        "older_libc": ErrorCode(
            "A warning: the program loads the host's C library, which is older than that of the host that built it.",
            "It was built with cgo on a newer system.",
            "Build it with `CGO_ENABLED=0`, or on a system as old as the host.",
        ),
        "other_libc": ErrorCode(
            "A warning: the program loads another C library than the host's, glibc or musl.",
            "It was built with cgo on another kind of system.",
            "Build it with `CGO_ENABLED=0`, or on a system with the host's C library.",
        ),
        "lower_version": ErrorCode(
            "`release_version` is lower than the last good version on the host, and `release_downgrade` is `refuse`.",
            "An older version was named, or the host has got a newer one by another run.",
            "Roll back, or set `release_downgrade: accept` if the lower version is meant.",
        ),
        "no_such_address": ErrorCode(
            "`service_listen` has an address that the host has not.",
            "The address belongs to another host, or its interface is down.",
            "Give the host that address, or correct `service_listen`.",
        ),
        "other_group": ErrorCode(
            "The user in the service's unit is not in the group of the release, and could not execute it.",
            "`service_user` or `service_group` was given to `site.yml` and not to this playbook.",
            "Set it in the inventory, for all playbooks.",
        ),
        "port_reserved": ErrorCode(
            "A port is one of a service's two local ports behind HAProxy. The message names that service.",
            "Two services were given the port, or one listens on what it or another has in `service_proxy_ports`.",
            "Choose another port, or leave `service_proxy_ports` empty.",
        ),
        "no_free_port": ErrorCode(
            "The host has no two free ports left for a service behind HAProxy.",
            "All ports from 18080 to 18999 are in use or belong to other services.",
            "Give two free ports in `service_proxy_ports`.",
        ),
        "port_in_use": ErrorCode(
            "A port that the service needs is in use by another process. The message names it.",
            "Another service listens there, or HAProxy still has the port.",
            "Stop that process, set `proxy_state: absent`, or choose another port.",
        ),
        "probe_failed": ErrorCode(
            "More requests of the probe failed, or were slower, than `release_probe` allows.",
            "Users would have seen these failures while the releases took turns.",
            "Look at what the release logged, or correct the limit of `release_probe`.",
        ),
        "restart_ahead": ErrorCode(
            "A warning: with the strategy `reload`, this release is a restart with a downtime.",
            "The environment, a credential or the unit differs, which a handover cannot change.",
            "Choose the moment of the downtime. Set `service_rehearsal` where the service can be rehearsed.",
        ),
        "stale_configuration": ErrorCode(
            "The host has another environment, other arguments or other credentials of the service than the inventory.",
            "They were changed since `site.yml` ran last. A release takes along what the host has.",
            "Run `site.yml`, which applies them with the release.",
        ),
        "still_running": ErrorCode(
            "A service that was stopped so that it can be removed runs again. Its units are still there.",
            "A timer, another unit or somebody else starts it.",
            "Find out what starts it, then run again.",
        ),
        "undeclared_port": ErrorCode(
            "A warning: `release_health` asks a port of this host that `service_listen` does not have.",
            "The port is misspelt, or the service opens it itself.",
            "Correct the port, or add it to `service_listen`.",
        ),
        "proxy_unexpected": ErrorCode(
            "HAProxy answers to a command of its master socket otherwise than expected.",
            "HAProxy is older than 2.4, or does not run in master-worker mode.",
            "Set HAProxy up with the role `slipway.go.proxy`.",
        ),
        "proxy_unreachable": ErrorCode(
            "HAProxy does not answer at its socket, or did not do what it was told.",
            "HAProxy is stopped, restarts, or hangs.",
            "Look at `systemctl status haproxy` and `journalctl -u haproxy`.",
        ),
        "once_failed": ErrorCode(
            "The command of `release_once` ended with another status than 0, or not in time. Nothing was swapped on "
            "any host.",
            "What it changes is not as it expects, or it needs more than `release_once_timeout`. The message has what "
            "it wrote.",
            "Correct what it complains of, then release again. The command is run again.",
        ),
        "once_not_run": ErrorCode(
            "The command of `release_once` has not been run for this version, and this host is not the one that runs "
            "it. Nothing was swapped.",
            "`once.here` is false, and no host that has run it was named.",
            "Release on the host that runs it first, or set `release_once_host`.",
        ),
        "once_unknown": ErrorCode(
            "The command of `release_once` has begun, and the host does not know how it ended. Nothing was swapped.",
            "The host went down while it ran, or the run was killed in the moment before it began.",
            "Look at what it has done, then set `release_once_decision` as the message says.",
        ),
        "refused": ErrorCode(
            "The release failed its rehearsal, before a request could reach it. The release before it serves as "
            "before.",
            "The release is not healthy, or a smoke command failed; the message has the reason.",
            "Correct what the reason says, then release again.",
        ),
        "release_in_flight": ErrorCode(
            "The service was to be removed while a release of it was under way, had been cut short, or waited to "
            "be confirmed. Nothing was changed.",
            "Another run is releasing, a run was killed, or nobody has confirmed yet.",
            "Wait, or settle it as the message says, then remove the service.",
        ),
        "release_needed": ErrorCode(
            "A release that is to be purged is needed: it serves, or a rollback would go to it. Nothing was purged.",
            "`release_purge` names it, or no other good release is there.",
            "Release or confirm another one first, or name the ids that are to go.",
        ),
        "rollback_failed": ErrorCode(
            "The new release failed, and the one before could not be brought back.",
            "The earlier release is damaged or does not start any more.",
            "Remove what the message says of the way back. Where that is the earlier release itself, look at "
            "`systemctl status 'NAME@*'` on the host, then release a version that works.",
        ),
        "rolled_back": ErrorCode(
            "The new release failed in the phase that the message names, and the one before serves again.",
            "The new release did not pass a check; the message has the reason.",
            "Correct what the reason says, then release again.",
        ),
        "smoke_failed": ErrorCode(
            "A command of `release_smoke` ended with another status than 0, or not in time.",
            "The release does not do what the command checks, or the command is wrong.",
            "Correct the release or `release_smoke`, or raise `release_smoke_timeout`.",
        ),
        "socket_not_inherited": ErrorCode(
            "The release runs, but does not listen on the socket that systemd passes to it.",
            "The program opens its own port and ignores `LISTEN_FDS`.",
            "Accept on the descriptors of `LISTEN_FDS`, or set `service_swap` to `restart`.",
        ),
        "sent_back": ErrorCode(
            "The release was paused because only the durations of users' requests spoke against it, and somebody "
            "sent it back.",
            "Somebody ran `slipway resume NAME --back`, or the playbook `resume` with `release_resume_back`.",
            "Look at what the release logged, then release a version that is faster.",
        ),
        "start_timeout": ErrorCode(
            "The release was not ready within `release_start_timeout` seconds.",
            "The program does not report that it is ready, or needs more time.",
            "Read `journalctl -u UNIT`, or raise `release_start_timeout`.",
        ),
        "taken_back": ErrorCode(
            "The journal says so of a release that an operator rolled back before it was confirmed.",
            "Somebody ran a rollback while the release waited.",
            "Ask who took it back and why, then release another version, or the same one with `release_force: true`.",
        ),
        "too_late": ErrorCode(
            "A confirmation, or the word to resume a paused release, came after the host had taken the release back. "
            "Or the word to send it back came after it had been resumed.",
            "The controller could not reach the host within `release_confirm` seconds, or the time of the pause was "
            "over.",
            "Remove what kept the word from coming in time, then release again. Where it was resumed, run "
            "`slipway rollback` on the host.",
        ),
        "invalid_confirm_fleet": ErrorCode(
            "`release_confirm_fleet` is below 0, or `release_confirm` is 0.",
            "The fleet's confirmation proves that each host can be reached anew, which `release_confirm: 0` turns off.",
            "Set both above 0, or set `release_confirm_fleet` to 0.",
        ),
        "fleet_down": ErrorCode(
            "The new release did not run on this host any more when its batch had been compared with the hosts after "
            "it. The host counts for `release_max_unavailable`.",
            "The release crashed, somebody stopped it, or the host's record of the service is damaged.",
            "Look at what the release logged on that host, then release again.",
        ),
        "fleet_unclear": ErrorCode(
            "After `release_compare` had its time, nobody knows whether the new release is as good as the one before, "
            "and `release_inconclusive` is `refuse`. The message says what is missing.",
            "There was too little traffic, or Prometheus does not know the hosts by these names.",
            "Give `release_compare` more time, correct `release_compare_name`, or set `release_inconclusive: accept`.",
        ),
        "fleet_went_back": ErrorCode(
            "The host had another release than the run has brought when its batch had been compared with the hosts "
            "after it. It counts for `release_max_unavailable`.",
            "The watch on the host or somebody took the release back, or nobody confirmed it before its deadline.",
            "Look at `sudo slipway history` on that host, then release again.",
        ),
        "fleet_worse": ErrorCode(
            "On the hosts of a batch, the new release failed more requests than the one before on the others, or was "
            "slower, than the limits allow.",
            "The release does worse than the one before, or the limit is too narrow for the traffic.",
            "Look at what the release logged, or correct the limit.",
        ),
        "invalid_compare": ErrorCode(
            "`release_compare` cannot be used: an entry is missing, unknown or no value of its kind, Prometheus does "
            "not understand a query, or HAProxy has no such backend.",
            "A name is misspelled, the query is wrong, or `haproxy` and `url` are both given.",
            "Correct what the message names. `release_compare: {}` compares nothing.",
        ),
        "invalid_max_unavailable": ErrorCode(
            "`release_max_unavailable` is neither a whole number nor a percentage from 0% to 100%.",
            "The number has a sign, a fraction or a unit.",
            "Give a number of hosts such as 1, or a percentage of them such as 10%.",
        ),
        "invalid_until": ErrorCode(
            "`release_until` is neither `canary` nor a whole number of batches, 1 or more.",
            "It is a percentage or a number of hosts: those are the sizes of batches, in `release_serial`.",
            "Give `canary` for the first batch, a number such as 2, or leave it empty.",
        ),
        "given_back": ErrorCode(
            "The journal says so of a release that ended so that the service's former unit runs again. It is not "
            "marked bad.",
            "Somebody ran `slipway.go.adopt` with `adopt_undo`.",
            "Run `slipway.go.adopt` with `adopt_switch` when the service is to be slipway's again.",
        ),
        "withdrawn": ErrorCode(
            "The journal says so of a release that waited to be confirmed, and was taken back because it did not come "
            "through on other hosts. It is not marked bad.",
            "More hosts of the run were lost than `release_max_unavailable` allows, and `release_on_failure` is "
            "`fleet` or `batch`.",
            "Correct what went wrong on the other hosts, then release again.",
        ),
        "unconfirmed": ErrorCode(
            "The release passed its soak, but the controller could not confirm it over a new connection.",
            "The host cannot be reached over a new connection, for instance because the release or a firewall "
            "blocks it.",
            "Restore the connection, then release again.",
        ),
        "unhealthy": ErrorCode(
            "The release did not become healthy within the deadline of `release_health`.",
            "It answers wrongly or not at all; the message has the last result.",
            "Read `journalctl -u UNIT`, or raise `release_health.deadline`.",
        ),
        "unhealthy_in_soak": ErrorCode(
            "The release was healthy and then failed several checks in a row during the soak.",
            "It fails under load or after some time; the message has the last result.",
            "Read `journalctl -u UNIT` and correct the release.",
        ),
        "units_missing": ErrorCode(
            "The release that a rollback would go to needs units of the strategy `socket`, which are no longer "
            "on the host.",
            "`service_swap` was changed since then.",
            "Set `service_swap` back to `socket` and release that version.",
        ),
        "units_not_restored": ErrorCode(
            "A rollback brought the release back, but not its units.",
            "A unit file could not be written, or systemd refused to load it.",
            "Remove the cause that the message names, then release a version, which brings units of its own.",
        ),
        "unknown_release": ErrorCode(
            "The release that was named is not on the host.",
            "Its id is misspelt, or it was pruned.",
            "Choose one of those that the fix lists.",
        ),
        "unknown_service": ErrorCode(
            "The service has never been released on the host.",
            "Its name is misspelt, or it is on another host.",
            "Run `sudo slipway status`, which lists the services of the host.",
        ),
        "wrong_architecture": ErrorCode(
            "`release_src` is built for another architecture than the host's.",
            "`GOARCH` of the build is not that of the host.",
            "Build with the `GOARCH` that the fix names.",
        ),
    },
)

BALANCERS = Section(
    "Load balancers (`slipway.go.balancer_server`)",
    "The role `balancer` takes a host out before its swap and puts it back afterwards.",
    {
        "balancer_last_server": ErrorCode(
            "Without this server, fewer others would serve than `balancer_min_servers`. It was not taken out.",
            "The others are down, or are being released at the same time; or the service has one server.",
            "See that the others serve, make `release_serial` smaller, or lower `balancer_min_servers`.",
        ),
        "balancer_refused": ErrorCode(
            "HAProxy or nginx refused the change. With nginx, the file is as it was.",
            "HAProxy's socket has a lower level than `admin`, or the configuration of nginx has an error elsewhere.",
            "Give the socket `level admin`, or correct what `nginx -t` says.",
        ),
        "balancer_server_down": ErrorCode(
            "HAProxy got the server back, and its check did not pass in `balancer_timeout` seconds.",
            "The check asks for something that the release does not answer, or the network between them is cut.",
            "Look at the check with `show stat`, correct it, then run again.",
        ),
        "balancer_share": ErrorCode(
            "HAProxy cannot give the canary the share `balancer_canary_share`. The host was not taken out.",
            "The servers of the backend have small weights, so that 1 is too much, or its balancing is static.",
            "Give all servers of the backend the weight 100 and `balance roundrobin` or `leastconn`, or another share.",
        ),
        "balancer_unknown": ErrorCode(
            "The load balancer has no such backend, upstream, server or file, or counts no answers of that backend. "
            "The message lists what it has.",
            "`balancer_backend`, `balancer_server` or `balancer_file` is misspelt, or names differ from those of the "
            "inventory; or the backend has the mode `tcp`.",
            "Correct that variable.",
        ),
        "balancer_unreachable": ErrorCode(
            "HAProxy does not answer at its socket, or nginx does not run.",
            "It is stopped, or `balancer_socket` is the path of another.",
            "Start it, or correct the variable.",
        ),
        "invalid_balancer": ErrorCode(
            "An option of the load balancer is outside of what it may be: a name of letters, digits and "
            "`. _ - : / [ ]`, a number from 0 to 86400, a share from more than 0 to 100.",
            "It is misspelt.",
            "Correct the variable that the message names.",
        ),
    },
)

BUILD = Section(
    "Building from source",
    "These come from the module `build` and the playbook `slipway.go.build`. The folder of the artefacts stays as it "
    "was.",
    {
        "build_as_root": ErrorCode(
            "The build would run as root.",
            "The play has `become: true`, or root runs it.",
            "Run it as another user. In a container of its own, set `build_as_root: true`.",
        ),
        "build_cgo": ErrorCode(
            "A package of the program calls C through cgo. Programs are built without cgo.",
            "The program, or a module that it uses, imports `C`.",
            "Use a package in Go alone. If these packages work with cgo off, set `build_cgo: without`.",
        ),
        "build_check_failed": ErrorCode(
            "`go vet` or `go test` failed before the build.",
            "The source has a defect, or a test needs what the host does not have.",
            "Correct what the message quotes.",
        ),
        "build_dest_in_source": ErrorCode(
            "`build_dest` is in the repository, and git does not ignore it.",
            "The artefacts would count as changes that are in no commit.",
            "Add that folder to `.gitignore`, or set `build_dest` to a folder elsewhere.",
        ),
        "build_dirty": ErrorCode(
            "The repository has changes that are in no commit.",
            "A file was changed or added and not committed.",
            "Commit or remove what `git status` lists, or name a commit in `build_ref`.",
        ),
        "build_failed": ErrorCode(
            "`go list` or `go build` failed.",
            "The source does not compile, or a module cannot be fetched.",
            "Correct what the message quotes.",
        ),
        "build_no_git": ErrorCode(
            "The source is in a repository that git cannot read, or `build_vcs` is `true` and it is in none.",
            "The host has no git, the repository belongs to another user, or it has no commit.",
            "Install git, let the user who builds own the repository, or leave `build_vcs` out.",
        ),
        "build_no_go": ErrorCode(
            "The host that builds has no Go toolchain.",
            "Go is not installed, or it is at another place than `build_go` says.",
            "Install Go, or set `build_go` to the path of the program `go`.",
        ),
        "build_no_source": ErrorCode(
            "There is no Go program at `build_source`, or no profile at `build_pgo`.",
            "The path is misspelt, is on another host, or is not in that commit.",
            "Set `build_source` to the folder of the module, and `build_package` to that of its package main.",
        ),
        "build_no_stamp": ErrorCode(
            "The version, the commit or the time that is to be written into the program is not known, or is no plain "
            "word.",
            "The source is in no repository of git and the variable is not set, or a tag has a slash or a quote.",
            "Set the variable that the fix names.",
        ),
        "build_no_vendor": ErrorCode(
            "`build_mod` is `vendor`, and the module has no `vendor/modules.txt`.",
            "Its modules were never vendored, or the folder is not committed.",
            "Run `go mod vendor` and commit what it writes.",
        ),
        "build_not_reproducible": ErrorCode(
            "Two builds of the same source in two folders had different bytes.",
            "Something in the source depends on its folder, on the clock or on chance.",
            "Remove that from the source, or leave `build_verify` out.",
        ),
        "build_not_signed": ErrorCode(
            "An artefact was not signed, or its signature is not by the key that was named.",
            "A key is missing, its password is wrong, or the public half belongs to another key.",
            "Give the secret and the public half of the same key, and the password or an agent.",
        ),
        "build_offline": ErrorCode(
            "The source needs modules that are not here, and `build_offline` is set.",
            "They are neither in `vendor/` nor in `build_cache`.",
            "Run `go mod vendor` and commit what it writes, or build once without `build_offline`.",
        ),
        "build_outside_source": ErrorCode(
            "`build_verify` builds a copy of the source, and the program needs a folder outside of it.",
            "A `replace` in `go.mod` or a `use` in `go.work` leads out of the repository.",
            "Move that folder into the repository, or leave `build_verify` out.",
        ),
        "build_toolchain": ErrorCode(
            "The Go toolchain is not the one that `build_toolchain`, the source or the artefact of a rebuild demands.",
            "Another release is installed, or one that is too old. None is fetched.",
            "Install that release and set `build_go` to it.",
        ),
        "build_unknown_ref": ErrorCode(
            "`build_ref` is no commit of the source's repository.",
            "It is misspelt, or was not fetched into that repository.",
            "Fetch it, or name a tag, a branch or a commit that the repository has.",
        ),
        "build_unknown_variable": ErrorCode(
            "`build_variables` names a variable that the program does not have. The linker would ignore it.",
            "The variable or its package is misspelt, or the package is not in the program.",
            "Declare it as a string in that package, or correct `build_variables`.",
        ),
        "invalid_build": ErrorCode(
            "A `build_` or `rebuild_` variable has a value that cannot be used.",
            "It is empty, misspelt, or of another form than the fix says.",
            "Set the variable as the fix says.",
        ),
    },
)

REBUILD = Section(
    "Building an artefact again",
    "These come from the module `rebuild` and the playbook `slipway.go.rebuild`. Nothing is changed and nothing of the "
    "artefact is executed. The build itself fails with the codes of the section before.",
    {
        "rebuild_different": ErrorCode(
            "The artefact and its rebuild have different bytes. The message and `differences` say which.",
            "The file was changed after its build, or was built from other source, with other modules or other flags.",
            "Do what the fix says. A file that was changed after its build must not be released.",
        ),
        "rebuild_modified": ErrorCode(
            "The artefact was built from a tree with changes that are in no commit.",
            "Its build information has `vcs.modified=true`, or its manifest has `modified`.",
            "Commit the changes, and build the artefact again.",
        ),
        "rebuild_no_commit": ErrorCode(
            "Neither the artefact nor what stands beside it names a commit.",
            "It was built with `-buildvcs=false` or outside of a repository, and its manifest is not beside it.",
            "Set `rebuild_ref`, or put the manifest beside the artefact.",
        ),
        "rebuild_no_record": ErrorCode(
            "The artefact has no build information of Go that can be read.",
            "It is no Go program, is packed by UPX, or was stripped of it.",
            "Give the artefact as `go build` has written it.",
        ),
        "rebuild_no_source": ErrorCode(
            "There is no source to build from, or it is that of another module.",
            "`rebuild_source` is empty or wrong, or the provenance names a repository that `rebuild_repositories` does "
            "not allow.",
            "Set `rebuild_source`, or add the repository to `rebuild_repositories` if you trust it.",
        ),
        "rebuild_unknown_commit": ErrorCode(
            "The commit is not in the repository.",
            "It was not fetched, was never pushed, or the repository is another one.",
            "Fetch it, or set `rebuild_source` to the repository that has it.",
        ),
        "rebuild_unsupported": ErrorCode(
            "The artefact was built in a way that cannot be repeated from its source alone.",
            "It was built with cgo, without `-trimpath`, for another system, from a list of files, or with flags that "
            "could start other programs.",
            "Build it as the fix says, such as with `slipway.go.build`.",
        ),
    },
)

BUNDLE = Section(
    "Bundles for sites without a network",
    "These come from the modules `bundle` and `unbundle`, their playbooks, and the program `slipway-unbundle.pyz`. "
    "Nothing was written. Signatures have the codes of the section on artefacts, too.",
    {
        "bundle_in_use": ErrorCode(
            "Another run writes to the same folder.",
            "Two jobs make or unpack bundles there, or a run was stopped with Ctrl-Z.",
            "Wait until the other run has ended.",
        ),
        "bundle_not_fetched": ErrorCode(
            "`pip` or `ansible-galaxy` did not get what is to be in the bundle. The message quotes the end of what it "
            "wrote.",
            "The server does not answer or asks for a password, or a package has no such version or no wheel.",
            "Correct what it complains of, in the settings of `pip` or of `ansible-galaxy`.",
        ),
        "bundle_place_taken": ErrorCode(
            "The folder that the bundle would be unpacked to is another bundle of the same name, is no bundle, or has "
            "files that are not of it.",
            "Two bundles were given the same name, or somebody has put files into the unpacked folder.",
            "Move what is not of the bundle elsewhere, or set `unbundle_dest` to another folder.",
        ),
        "bundle_too_large": ErrorCode(
            "The bundle has more bytes or more files than are allowed.",
            "It has more than `bundle_max_size` or `unbundle_max_size` allows, or a folder with very many files.",
            "Raise the limit if that is right, or pack files together.",
        ),
        "damaged_bundle": ErrorCode(
            "A byte of the bundle is not the one that its signed manifest says. The message names each file that is "
            "missing, extra, changed, cut short or there twice.",
            "The copy was cut short or damaged on its way, or somebody has changed it.",
            "Fetch the bundle again. If it differs again, ask who made it.",
        ),
        "invalid_bundle": ErrorCode(
            "A `bundle_` variable has a value that cannot be used, or names a file that is not as it should be.",
            "A path is not there, is a link, or a collection was changed since it was installed.",
            "Set the variable as the fix says.",
        ),
        "not_a_bundle": ErrorCode(
            "The file is no bundle of this collection, or its manifest is not one that it writes.",
            "Another file was named, it was packed again by another program, or a later version has made it.",
            "Give the file as the playbook `slipway.go.bundle` has written it.",
        ),
        "unsafe_bundle": ErrorCode(
            "The bundle has a link, a device or a path that leads out of its folder or that two file systems read "
            "differently.",
            "Somebody has changed it, or has signed a list that this collection would not write.",
            "Unpack nothing of it, and ask who made it.",
        ),
        "unsigned_bundle": ErrorCode(
            "There is no key to sign the bundle with, or the bundle has no signature.",
            "Neither `bundle_ssh_key` nor `bundle_minisign_key` is set, or somebody has removed the signature.",
            "Set one of both where the bundle is made.",
        ),
        "wrong_bundle_base": ErrorCode(
            "The bundle holds only what is new since an earlier one, and that is not there, is another one or was "
            "changed.",
            "The earlier bundle was never unpacked, was removed, or `unbundle_base` leads elsewhere.",
            "Unpack the earlier bundle first, or set `unbundle_base` to it.",
        ),
    },
)

DIAGNOSIS = Section(
    "What `slipway diagnose` finds",
    "These are findings about a service that runs or should, and not failures of a run. Those about its unit and its "
    "program have the codes of the section on programs.",
    {
        "access_denied": ErrorCode(
            "SELinux or AppArmor has denied the service something in the last minutes.",
            "Its policy or profile does not know what the service does.",
            "Correct the policy or profile that the lines name.",
        ),
        "changed_by_hand": ErrorCode(
            "A unit of the service is not as its release brought it.",
            "Somebody changed it on the host.",
            "Run `site.yml`, which writes it again, or undo the change.",
        ),
        "clock_not_synchronised": ErrorCode(
            "The clock of the host is not kept right.",
            "No time service runs, or it reaches no server.",
            "Run `timedatectl set-ntp true`, or harden the host.",
        ),
        "dependency_OPTION": ErrorCode(
            "A dependency that the service declares fails. The code ends with the reason of its check, such as `dns`, "
            "`refused`, `timeout` or `tls`.",
            "It is down, it is too slow, or the network in between is cut.",
            "Repair the dependency, or correct `service_dependencies`.",
        ),
        "dependency_certificate": ErrorCode(
            "The certificate of a dependency ends within 14 days.",
            "Nobody has renewed it yet.",
            "Renew it.",
        ),
        "dependency_not_asked": ErrorCode(
            "A dependency was not asked.",
            "Its entry in `service_dependencies` cannot be read, or there was no time left for it.",
            "Correct the entry, or give the others less time.",
        ),
        "disk_almost_full": ErrorCode(
            "More than 95 % of a file system is in use.",
            "Logs, data or old releases grow.",
            "Free space, or lower `release_keep`.",
        ),
        "health_fails": ErrorCode(
            "The service runs and its health check fails.",
            "The message has the answer, and the lines the end of its log.",
            "Correct what the answer says, or roll back.",
        ),
        "health_warns": ErrorCode(
            "The health check passes with a warning.",
            "The service calls itself degraded, or it is slow.",
            "See `sudo slipway status`.",
        ),
        "host_memory_low": ErrorCode(
            "Less than 2 % of the host's memory is left.",
            "A program takes more than the host has.",
            "Stop it, or give the host more memory.",
        ),
        "in_flight": ErrorCode(
            "A release of the service is under way, was cut short, or waits to be confirmed.",
            "A run is at work, or one was interrupted.",
            "Wait for the run that is at work, run `sudo slipway confirm` or `sudo slipway rollback` where it waits to "
            "be confirmed, and `sudo slipway recover` where it was cut short.",
        ),
        "no_descriptors": ErrorCode(
            "The service has as many files and connections open as it may.",
            "It leaks them, or it has more clients than its limit allows.",
            "Raise `LimitNOFILE` in `service_limits`.",
        ),
        "no_inodes": ErrorCode(
            "A file system has no free inode.",
            "It holds too many small files.",
            "Remove files; `df -i` shows where.",
        ),
        "no_threads": ErrorCode(
            "The service has as many threads as it may.",
            "It leaks them, or the limit is too low.",
            "Raise `TasksMax` in `service_limits`.",
        ),
        "not_at_boot": ErrorCode(
            "The service is not started at boot.",
            "Somebody disabled it.",
            "Run `systemctl enable SHOP`.",
        ),
        "not_executed": ErrorCode(
            "PID 1 failed before it came to the program.",
            "The unit names a user, a directory or a file that cannot be used.",
            "Correct what the other findings say about the unit.",
        ),
        "not_ready_yet": ErrorCode(
            "The service is starting and has not said yet that it is ready.",
            "It began just now, or it waits for something.",
            "Wait, and look in its log for what it waits for.",
        ),
        "not_running": ErrorCode(
            "The service does not run, and nothing says why.",
            "The program ended with status 0, or somebody stopped its instance.",
            "Look in its log, then run `systemctl restart SHOP`.",
        ),
        "not_watched": ErrorCode(
            "No watch runs for a service that the host is to watch.",
            "`slipway-watch.service` was stopped.",
            "Start it.",
        ),
        "other_time_zone": ErrorCode(
            "The host's time zone is not UTC.",
            "It was set on the host.",
            "Run `timedatectl set-timezone UTC`.",
        ),
        "out_of_memory": ErrorCode(
            "The kernel killed the service because it needed more memory than its limit or than the host has.",
            "The limit is too low, or the service leaks memory.",
            "Raise `MemoryMax`, or give the host more memory.",
        ),
        "port_closed": ErrorCode(
            "The host's firewall does not let in what the service needs.",
            "A rule was removed by hand.",
            "Run `site.yml`, which opens it again.",
        ),
        "process_exited": ErrorCode(
            "The program ended by itself with a status other than 0.",
            "The lines are the end of its log.",
            "Correct what its log complains of, or roll back.",
        ),
        "process_failed": ErrorCode(
            "The unit has failed for another reason, which the message quotes.",
            "The message has the word of systemd.",
            "Correct what its log complains of, or roll back.",
        ),
        "process_killed": ErrorCode(
            "A signal ended the program.",
            "It crashed, or somebody killed it.",
            "Correct what its log complains of, or roll back.",
        ),
        "proxy_down": ErrorCode(
            "HAProxy does not run, and users reach the service through it.",
            "It was stopped, or its configuration is wrong.",
            "Run `systemctl start haproxy`, and see its log where that fails.",
        ),
        "read_only_disk": ErrorCode(
            "A file system that the service needs is mounted read-only.",
            "The kernel does that after an error of the disk.",
            "Find out why (`dmesg`), then mount it read-write.",
        ),
        "silent_disk": ErrorCode(
            "A file system that the service needs does not answer within 3 s.",
            "The server or the disk behind it is gone.",
            "Repair the server or the disk.",
        ),
        "start_failed": ErrorCode(
            "The start of the service has failed.",
            "The lines are what systemd wrote about it.",
            "Correct what the lines say, then start it.",
        ),
        "start_timed_out": ErrorCode(
            "The program did not say in time that it is ready.",
            "It waits for something, or never tells systemd.",
            "Correct what its log complains of, or raise `service_start_timeout`.",
        ),
        "stop_timed_out": ErrorCode(
            "The program did not stop in time and was killed.",
            "It hangs, or waits for requests that do not end.",
            "Find out in its log what it waited for, then start it.",
        ),
        "stopped_by_hand": ErrorCode(
            "The service does not run, and nothing has failed.",
            "Somebody stopped it.",
            "Run `systemctl start SHOP`.",
        ),
        "watchdog_missed": ErrorCode(
            "The program stopped telling systemd's watchdog that it is alive.",
            "It hangs.",
            "Correct what its log complains of, or roll back.",
        ),
    },
)

PULL = Section(
    "Hosts that pull",
    "These come from `slipway pull` on the host, and are in the log of `slipway-pull.service`. But for `pull_failed`, "
    "nothing was run. [Hosts that pull](../guide/pull.md) explains them.",
    {
        "invalid_pull_settings": ErrorCode(
            "A file of the host's pulls is missing, or is not what the role or an earlier pull has written.",
            "The role `pull` was not applied to this host, or the file was changed by hand.",
            "Apply the role `pull` again. Remove `accepted.json` only after `pull_at_least` names a commit that the "
            "host has to have.",
        ),
        "pull_failed": ErrorCode(
            "The playbook of the commit has failed. A release that failed was rolled back by the engine.",
            "The release is bad, or something else in the commit does not work on this host.",
            "Read the log above the message, and push a signed commit that corrects the cause.",
        ),
        "pull_in_use": ErrorCode(
            "Another pull has the lock, or the Ansible that it started does.",
            "The timer started one, or somebody did by hand.",
            "Wait until `slipway-pull.service` has ended.",
        ),
        "pull_no_wave": ErrorCode(
            "The host has a wave, and the newest commit has no file `wave` with a number.",
            "The file was removed or has something else in it, or the branch is not meant for hosts with waves.",
            "Push a signed commit whose file `wave` has a number, or set `pull_wave` to 0.",
        ),
        "pull_other_branch": ErrorCode(
            "The newest commit, or that of the host's wave, names other branches in its file `branch` than the one "
            "that this host pulls.",
            "Somebody has moved the branch to a commit that was signed for another one, or a merge has brought the "
            "file with it.",
            "Find out who has moved the branch, and push a signed commit whose file `branch` names it.",
        ),
        "pull_not_fetched": ErrorCode(
            "The branch could not be fetched. The message quotes the first line of what git wrote.",
            "The network is down, the server does not know the key of this host or this host that of the server, or "
            "there is no such branch.",
            "Run the same `git fetch` on the host as root, and correct what it complains of.",
        ),
        "pull_not_signed": ErrorCode(
            "No key of `pull_signers` has signed the commit, and nothing of it was used.",
            "Somebody forgot to sign, the server merged on its own, the key is a new one, or somebody else has pushed.",
            "Look at who has pushed the commit. Then sign a new one, or add the key to `pull_signers`.",
        ),
        "pull_replayed": ErrorCode(
            "The newest commit does not descend from the one that the host has accepted before, or from "
            "`pull_at_least`.",
            "Somebody has pushed by force, or hands this host an earlier state of the repository.",
            "Find out who has moved the branch. To go back on purpose, push a new commit with the earlier content.",
        ),
        "pull_unknown_host": ErrorCode(
            "The inventory of the commit does not have this host, or cannot be read.",
            "The host is new or has another name, or the inventory has an error, which the message quotes.",
            "Add the host in a signed commit, or set `pull_host` to its name in the inventory.",
        ),
    },
)

SECTIONS = (
    *(GENERAL, ACCESS, SSHD, ACCOUNTS, FIREWALL, PROGRAM, POLICY, VULNERABILITIES, BUILD, REBUILD, BUNDLE, INTAKE),
    *(PULL, VARIABLES, RELEASE, BALANCERS, DIAGNOSIS),
)
CODES: dict[str, ErrorCode] = {code: entry for section in SECTIONS for code, entry in section.codes.items()}
