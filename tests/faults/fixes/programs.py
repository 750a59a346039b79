"""Rows of `slipway.go.linkage`: programs that will not start on the host, until the fix is applied."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.model import Row, Task

# Where the programs that files.py builds are on the host, and a folder for the rows.
BUILT, HERE = "/srv/built", "/srv/fixes"
UNIT = "/etc/systemd/system"


def check(path: str, unit: str = "", **keywords: Any) -> Task:
    return Task("linkage", {"path": [path], **({"unit": unit} if unit else {})}, keywords)


def copy(name: str, of: str = "linked/app", then: str = "") -> str:
    """A copy of what was built, as the row's own."""
    return f"mkdir -p {HERE}/{name} && cp -a {BUILT}/{of} {HERE}/{name}/; cd {HERE}/{name}; {then or 'true'}"


def linked(name: str, then: str) -> str:
    return f"mkdir -p {HERE} && cp -a {BUILT}/linked {HERE}/{name}; cd {HERE}/{name}; {then}"


def unit(name: str, *lines: str, program: str = "", then: str = "true", of: str = "go/app") -> str:
    """A unit of this name that starts the row's own program."""
    text = "\\n".join(("[Service]", f"ExecStart={program or f'{HERE}/{name}/app'}", *lines))
    return f"{copy(name, of)}; printf '{text}\\n' > {UNIT}/{name}.service; {then}"


def own(code: str, how: str, name: str, says: str, make: str, fix: str = "", **more: Any) -> Row:
    """A row whose program is its own."""
    return Row(code, how, check(f"{HERE}/{name}/app"), says, make, fix, **more)


def of_unit(code: str, how: str, name: str, says: str, make: str, fix: str, **more: Any) -> Row:
    """The same, as a unit would start it."""
    return Row(code, how, check(f"{HERE}/{name}/app", f"{name}.service"), says, make, fix, **more)


def debian(package: str, path: str, name: str, architecture: str = "") -> str:
    """A program of a package that is not installed."""
    return (
        f"mkdir -p {HERE}/{name}; cd {HERE}/{name}; apt-get -q download {package}{architecture} >/dev/null 2>&1;"
        f" dpkg -x {package}_*.deb x; cp x/{path} app"
    )


INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -qq update; DEBIAN_FRONTEND=noninteractive"
AGAIN = "build or upload the file again: it is (?P<what>.*)"
EDIT = f"sed -i '/^DIRECTIVE=/d' {UNIT}/NAME.service"


def without(directive: str, name: str) -> str:
    return EDIT.replace("DIRECTIVE", directive).replace("NAME", name)


ROWS = [
    # --- libraries
    own(
        "library_missing",
        "a program of a Debian package whose libraries are not installed",
        "curl",
        r"install (?P<file>\S+): apt install (?P<package>\S+)",
        debian("curl", "usr/bin/curl", "curl"),
        f"{INSTALL} apt install -y <package>",
    ),
    own(
        "library_missing",
        "a library whose package has another name than Debian's policy asks for",
        "xmllint",
        r"install the Debian package that has (?P<file>\S+)"
        r" \(apt install apt-file, apt-file update, then (?P<command>apt-file search \S+)\)"
        r"|install (?P<other>\S+): apt install (?P<package>\S+)",
        debian("libxml2-utils", "usr/bin/xmllint", "xmllint"),
        f"{INSTALL} apt install -y apt-file >/dev/null; apt-file update >/dev/null;"
        " test -z '<command>' || set -- $(<command> | grep '/<file>$' | cut -d: -f1); apt install -y ${1:-<package>}",
        alone=True,
    ),
    own(
        "library_missing",
        "the library is in /usr/local/lib, and the loader does not know it",
        "stray",
        r"list (?P<folder>\S+) in /etc/ld\.so\.conf\.d, then run ldconfig: (?P<path>\S+) is there and not used",
        linked("stray", "mv lib/libf.so.1 /usr/local/lib/libf.so.1; rmdir lib"),
        "echo <folder> > /etc/ld.so.conf.d/fixes.conf; ldconfig",
        undo="rm -f /etc/ld.so.conf.d/fixes.conf /usr/local/lib/libf.so.1; ldconfig",
        alone=True,
    ),
    own(
        "library_invalid",
        "the library is damaged",
        "damaged-library",
        r"replace (?P<path>\S+) by a shared library for amd64",
        linked("damaged-library", "echo 'This is a text, which is longer than a header of ELF is.' > lib/libf.so.1"),
        f"cp {BUILT}/linked/lib/libf.so.1 <path>",
    ),
    of_unit(
        "library_unreadable",
        "the user of the unit may not read the library",
        "unreadable-library",
        r"let the user of the service read (?P<path>\S+)",
        unit(
            "unreadable-library",
            "User=nobody",
            then=f"cp -a {BUILT}/linked/lib .; chmod 600 lib/libf.so.1",
            of="linked/app",
        ),
        "chmod a+r <path>",
    ),
    own(
        "symbol_missing",
        "the library lacks a symbol",
        "symbol",
        r"install a newer library, or build on this host: the one here lacks f, which (?P<who>\S+) needs",
        linked("symbol", f"cp {BUILT}/other/libf.so.1 lib/"),
        f"cp {BUILT}/linked/lib/libf.so.1 {HERE}/symbol/lib/",
    ),
    own(
        "version_missing",
        "the library lacks a version of its symbols",
        "version",
        r"install a newer library, or build against this one: it needs V2, and (?P<path>\S+) provides no V2 version",
        f"cp -a {BUILT}/versioned {HERE}/version; cp {BUILT}/versioned-old/libf.so.1 {HERE}/version/lib/",
        f"cp {BUILT}/versioned/lib/libf.so.1 <path>",
    ),
    # --- interpreters
    own(
        "interpreter_missing",
        "a script whose interpreter is not installed",
        "script",
        r"install (?P<program>\S+), or correct the line with #!",
        f"mkdir -p {HERE}/script; printf '#!/usr/bin/gawk -f\\n' > {HERE}/script/app; chmod 755 {HERE}/script/app",
        f"{INSTALL} apt-get install -y <program>",
    ),
    own(
        "interpreter_missing",
        "a script that asks env for a program that is not there",
        "env-script",
        r"install (?P<program>\S+), or set PATH so that it is found",
        f"mkdir -p {HERE}/env-script; printf '#!/usr/bin/env bc\\n' > {HERE}/env-script/app;"
        f" chmod 755 {HERE}/env-script/app",
        f"{INSTALL} apt-get install -y <program>",
    ),
    own(
        "interpreter_missing",
        "a program for 32 bits on a host without a 32-bit C library",
        "i386",
        r"install the 32-bit C library: apt install (?P<package>\S+)"
        r" after dpkg --add-architecture (?P<architecture>\S+)",
        "dpkg --add-architecture i386; apt-get -qq update;"
        f" {debian('hello', 'usr/bin/hello', 'i386', ':i386')}; dpkg --remove-architecture i386; apt-get -qq update",
        f"dpkg --add-architecture <architecture>; {INSTALL} apt install -y <package>",
        alone=True,
    ),
    own(
        "interpreter_missing",
        "a Go program with a loader that no host has",
        "go-loader",
        r"rebuild without -buildmode=pie, or on a system like this: only the interpreter \S+ is missing",
        copy("go-loader", "go/nowhere", "mv nowhere app"),
        f"cp {BUILT}/go/app {HERE}/go-loader/app",
    ),
    own(
        "interpreter_invalid",
        "the loader is not executable",
        "loader-mode",
        r"make (?P<path>\S+) executable with chmod 0755",
        copy("loader-mode", "own-loader/app", f"cp /lib64/ld-linux-x86-64.so.2 {BUILT}/ld.so; chmod 644 {BUILT}/ld.so"),
        "chmod 0755 <path>",
        alone=True,
    ),
    own(
        "interpreter_invalid",
        "the loader is damaged",
        "loader-damaged",
        r"install (?P<path>\S+) for amd64 again",
        copy(
            "loader-damaged",
            "own-loader/app",
            f"yes text | head -c 4096 > {BUILT}/ld.so; chmod 755 {BUILT}/ld.so",
        ),
        "cp /lib64/ld-linux-x86-64.so.2 <path>",
        alone=True,
    ),
    own(
        "loader_unknown",
        "the loader is neither that of glibc nor that of musl",
        "loader-unknown",
        r"link it with the interpreter of this host",
        copy("loader-unknown", "own-loader/app", f"cp {BUILT}/own-loader/other-loader {BUILT}/ld.so"),
        f"cp {BUILT}/own-loader/relinked {HERE}/loader-unknown/app",
        alone=True,
    ),
    # --- the file itself
    own(
        "not_found",
        "the file was not uploaded",
        "not-found",
        "correct the path, or upload the file first",
        "",
        copy("not-found", "go/app"),
    ),
    Row(
        "not_regular",
        "the path is that of a folder",
        check(f"{BUILT}/linked"),
        "give the path of the program itself",
        give={"path": [f"{BUILT}/linked/app"]},
    ),
    own(
        "not_executable",
        "the file may be executed by nobody",
        "mode",
        r"set its mode to (?P<mode>\d+)",
        linked("mode", "chmod 600 app"),
        f"chmod <mode> {HERE}/mode/app",
    ),
    of_unit(
        "not_executable",
        "the user of the unit may not execute the file",
        "own-mode",
        r"let the (?P<who>.+) execute (?P<path>\S+), for instance with mode (?P<mode>\d+)",
        unit("own-mode", "User=nobody", then="chmod 700 app"),
        "chmod <mode> <path>",
    ),
    of_unit(
        "not_executable",
        "the user of the unit may not enter the folder",
        "own-folder",
        r"let the (?P<who>.+) enter (?P<path>\S+), which has mode drwx------",
        unit("own-folder", "User=nobody", then="chmod 700 ."),
        "chmod a+x <path>",
    ),
    Row(
        "unreadable",
        "the user that Ansible becomes may not read the file",
        check(f"{HERE}/unreadable/app", become_user="nobody"),
        "let the user that Ansible becomes read this file",
        linked("unreadable", "chmod 711 app"),
        f"chmod a+r {HERE}/unreadable/app",
    ),
    own(
        "noexec_mount",
        "the file system is mounted noexec",
        "noexec",
        r"install it on another file system, or mount (?P<mount>\S+) without noexec",
        f"mkdir -p {HERE}/noexec; mount -t tmpfs -o noexec none {HERE}/noexec; cp -a {BUILT}/linked/* {HERE}/noexec/",
        "mount -o remount,exec <mount>",
        undo=f"umount {HERE}/noexec",
    ),
    Row(
        "capabilities",
        "the file has a capability that the unit does not have",
        check(f"{HERE}/capabilities/app", "capabilities.service"),
        r"remove them with setcap -r (?P<path>\S+), or widen CapabilityBoundingSet=",
        unit(
            "capabilities",
            "User=nobody",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
            then=f"cp -a {BUILT}/go/app app; setcap cap_net_raw+ep app",
        ),
        "setcap -r <path>",
    ),
    own(
        "empty",
        "the file has no bytes",
        "empty",
        AGAIN,
        linked("empty", ": > app"),
        f"cp {BUILT}/linked/app {HERE}/empty/",
    ),
    own(
        "truncated",
        "the file was cut",
        "truncated",
        AGAIN,
        linked("truncated", "truncate -s 1000 app"),
        f"cp {BUILT}/linked/app {HERE}/truncated/",
    ),
    own(
        "malformed",
        "a header of the file is damaged",
        "malformed",
        AGAIN,
        linked("malformed", "printf '\\001' | dd of=app bs=1 seek=54 conv=notrunc status=none"),
        f"cp {BUILT}/linked/app {HERE}/malformed/",
    ),
    own(
        "too_large_table",
        "the file has more headers than the kernel reads",
        "too-large-table",
        AGAIN,
        linked("too-large-table", "printf '\\377\\377' | dd of=app bs=1 seek=56 conv=notrunc status=none"),
        f"cp {BUILT}/linked/app {HERE}/too-large-table/",
    ),
    own(
        "not_elf",
        "the file is compressed",
        "compressed",
        "unpack the file first: it is compressed",
        linked("compressed", "gzip app; mv app.gz app"),
        f"cd {HERE}/compressed; mv app app.gz; gunzip app.gz",
    ),
    own(
        "not_elf",
        "a script without an interpreter",
        "text",
        r"give the path of a Linux program|give the program that this script starts",
        linked("text", f"mv app program; echo 'exec {HERE}/text/program' > app; chmod 755 app"),
        give={"path": [f"{HERE}/text/program"]},
    ),
    own(
        "not_elf",
        "a program for Windows",
        "windows",
        r"build it for Linux: this is a Windows program",
        copy("windows", "go/windows", "mv windows app"),
        f"cp {BUILT}/go/app {HERE}/windows/app",
    ),
    own(
        "not_a_program",
        "the file is a library",
        "library",
        r"give the program itself(, built with -buildmode=exe)?",
        linked("library", "cp lib/libf.so.1 app; cp -a ../../built/linked/app program"),
        give={"path": [f"{HERE}/library/program"]},
    ),
    own(
        "wrong_machine",
        "a program for arm64",
        "arm64",
        r"rebuild with GOARCH=(?P<goarch>\w+): it is built for arm64",
        copy("arm64", "go/arm64", "mv arm64 app"),
        f"cp {BUILT}/go/linux-<goarch> {HERE}/arm64/app",
    ),
    own(
        "wrong_os",
        "a program for FreeBSD",
        "freebsd",
        r"rebuild with GOOS=linux: it is built for (?P<os>\w+)",
        copy("freebsd", "go/freebsd", "mv freebsd app"),
        f"cp {BUILT}/go/app {HERE}/freebsd/app",
    ),
    # --- units
    of_unit(
        "unit_missing",
        "the user of the unit does not exist",
        "no-user",
        r"create the user (?P<user>\w+)",
        unit("no-user", "User=fixesuser", program=f"{BUILT}/go/app"),
        "useradd --system <user>",
        undo="userdel fixesuser",
    ),
    of_unit(
        "unit_missing",
        "the group of the unit does not exist",
        "no-group",
        r"create the group (?P<group>\w+)",
        unit("no-group", "Group=fixesgroup"),
        "groupadd <group>",
        undo="groupdel fixesgroup",
    ),
    of_unit(
        "unit_missing",
        "the working directory of the unit does not exist",
        "no-folder",
        r"create (?P<path>\S+), or remove WorkingDirectory=",
        unit("no-folder", f"WorkingDirectory={HERE}/nowhere"),
        "mkdir <path>",
    ),
    of_unit(
        "unit_missing",
        "the environment file of the unit does not exist",
        "no-environment",
        r"create (?P<path>\S+), or write -(?P<also>\S+) where it may be absent",
        unit("no-environment", f"EnvironmentFile={HERE}/nowhere.env"),
        "touch <path>",
    ),
    of_unit(
        "unit_missing",
        "the environment file of the unit may be absent, and the unit does not say so",
        "optional-environment",
        r"create (?P<path>\S+), or write (?P<optional>-\S+) where it may be absent",
        unit("optional-environment", f"EnvironmentFile={HERE}/never.env"),
        f"sed -i 's|^EnvironmentFile=.*|EnvironmentFile=<optional>|' {UNIT}/optional-environment.service",
    ),
    of_unit(
        "unit_missing",
        "a path of the unit's sandbox does not exist",
        "no-path",
        r"create (?P<path>\S+), or write (?P<setting>ReadWritePaths=-\S+) where it may be absent",
        unit("no-path", f"ReadWritePaths={HERE}/nothing"),
        f"sed -i 's|^ReadWritePaths=.*|<setting>|' {UNIT}/no-path.service",
    ),
    of_unit(
        "unit_missing",
        "a credential of the unit does not exist",
        "no-credential",
        r"create (?P<path>\S+), or remove LoadCredential=(?P<name>\w+)",
        unit("no-credential", f"LoadCredential=token:{HERE}/token"),
        "touch <path>",
    ),
    of_unit(
        "unit_missing",
        "the folder of the unit's log does not exist",
        "no-log",
        r"create the directory (?P<path>\S+)",
        unit("no-log", f"StandardOutput=append:{HERE}/log/app.log"),
        "mkdir <path>",
    ),
    of_unit(
        "unit_forbidden",
        "the user may not enter the working directory",
        "forbidden",
        r"let the user of (?P<unit>\S+) enter (?P<path>\S+)",
        unit("forbidden", "User=nobody", "WorkingDirectory=/root"),
        "chmod a+x <path>",
        undo="chmod 700 /root",
    ),
    of_unit(
        "unit_hidden",
        "the sandbox of the unit hides the program",
        "hidden",
        r"remove what covers (?P<path>\S+) from InaccessiblePaths=(\S*) of (?P<unit>\S+), or move it elsewhere",
        unit("hidden", f"InaccessiblePaths={HERE}/hidden"),
        without("InaccessiblePaths", "hidden"),
    ),
    Row(
        "unit_hidden",
        "the unit may not look into home directories, and the program is in one",
        check("/home/fixes-app", "at-home.service"),
        r"set (?P<home>ProtectHome=tmpfs) in (?P<unit>\S+) and (?P<bind>BindReadOnlyPaths=\S+),"
        r" or move it elsewhere: .*",
        f"cp {BUILT}/go/app /home/fixes-app; {unit('at-home', 'ProtectHome=true', program='/home/fixes-app')}",
        f"sed -i 's|^ProtectHome=.*|<home>|' {UNIT}/<unit>; echo <bind> >> {UNIT}/<unit>",
        undo="rm /home/fixes-app",
    ),
    Row(
        "unit_masked",
        "the unit is masked",
        check(f"{BUILT}/go/app", "fixes-masked.service"),
        r"unmask it with (?P<command>systemctl unmask \S+)",
        f"printf '[Service]\\nExecStart={BUILT}/go/app\\n' > /usr/lib/systemd/system/fixes-masked.service;"
        " systemctl daemon-reload; systemctl -q mask fixes-masked.service",
        "<command>",
        undo="rm /usr/lib/systemd/system/fixes-masked.service",
    ),
    Row(
        "unit_not_found",
        "the unit is not installed",
        check(f"{BUILT}/go/app", "later.service"),
        r"install the unit first",
        fix=unit("later", program=f"{BUILT}/go/app"),
    ),
    Row(
        "unit_unreadable",
        "a folder has the name of the unit",
        check(f"{BUILT}/go/app", "folder.service"),
        r"give a unit file",
        f"mkdir -p {UNIT}/folder.service",
        f"rmdir {UNIT}/folder.service; {unit('folder', program=f'{BUILT}/go/app')}",
    ),
    Row(
        "unit_unreadable",
        "the user that Ansible becomes may not read the unit",
        check(f"{BUILT}/go/app", "secret.service", become_user="nobody"),
        r"let the user that Ansible becomes read it",
        unit("secret", program=f"{BUILT}/go/app", then=f"chmod 600 {UNIT}/secret.service"),
        f"chmod a+r {UNIT}/secret.service",
    ),
    of_unit(
        "unit_noexec",
        "NoExecPaths= of the unit covers the program",
        "no-exec",
        r"add (?P<path>\S+) to ExecPaths= of (?P<unit>\S+)",
        unit("no-exec", f"NoExecPaths={HERE}"),
        f"echo ExecPaths=<path> >> {UNIT}/<unit>",
    ),
    of_unit(
        "unit_memory",
        "the unit forbids an executable stack, and a library asks for one",
        "stack",
        r"link (?P<path>\S+) with -Wl,-z,noexecstack, or remove MemoryDenyWriteExecute= from (?P<unit>\S+)",
        f"cp -a {BUILT}/linked {HERE}/stack; cp {BUILT}/stack/libf.so.1 {HERE}/stack/lib/;"
        f" {unit('stack', 'MemoryDenyWriteExecute=true', of='linked/app')}",
        f"cp {BUILT}/linked/lib/libf.so.1 <path>",
    ),
    Row(
        "unit_root_image",
        "the unit runs in an image",
        check("/app", "image.service"),
        r"unpack the image and name its directory with RootDirectory=",
        f"mkdir -p {HERE}/image; printf '[Service]\\nExecStart=/app\\nRootImage={HERE}/image.raw\\n'"
        f" > {UNIT}/image.service; touch {HERE}/image.raw",
        f"cp {BUILT}/go/app {HERE}/image/app;"
        f" sed -i 's|^RootImage=.*|RootDirectory={HERE}/image|' {UNIT}/image.service",
    ),
    Row(
        "unit_architecture",
        "the unit allows native system calls only, and the program is for 32 bits",
        check(f"{BUILT}/go/386", "native.service"),
        r"build it for (?P<goarch>\w+), which this host is, or add (?P<own>\S+) to SystemCallArchitectures=:"
        r" it is built for 386",
        unit("native", "SystemCallArchitectures=native", program=f"{BUILT}/go/386"),
        f"sed -i 's|^SystemCallArchitectures=.*|& <own>|' {UNIT}/native.service",
    ),
]
