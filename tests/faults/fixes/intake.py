"""Rows of a release's artefact, its checksums, signatures, policies and archives, on a host that runs 1.0.0."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.model import Row, Task

SERVICE, PORT = "store", 7171
SRC = "@files/shop-2.0.0"
ZEROS = "0" * 64
HEALTH = {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 20}
SET_CHECKSUM = r"set release_checksum to its SHA-256, or to the path or URL of a checksums file"
CHECKSUM_FORMS = "give sha256:<64 hexadecimal digits>, sha512:<128 of them>, or the path or URL of a checksums file"
WRITE_CHECKSUMS = "write it with sha256sum or sha512sum, or as lines of SHA256 (NAME) = HEX, or as the digits alone"


def literal(text: str) -> str:
    """A pattern for this very fix."""
    return "".join(f"\\{char}" if char in r"\.^$*+?{}[]|()" else char for char in text)


def release(**arguments: Any) -> Task:
    given = {"name": SERVICE, "version": "2.0.0", "src": SRC, "listen": [str(PORT)], "health": HEALTH, "soak_time": 0}
    return Task("release", {**given, **arguments})


def archive(name: str, **arguments: Any) -> Task:
    return release(version="2.0.0-archive", src=f"@files/{name}", **arguments)


def judged(**policy: Any) -> Task:
    return release(policy=policy)


DATABASE = "vulnerability_database"
CORRECT = "correct the path, or leave {} empty"

ROWS = [
    # --- the artefact and where it is
    Row(
        "missing_artefact",
        "release_src leads nowhere",
        release(src="@files/built-later"),
        literal("build it, or correct the path"),
        here="cp shop-2.0.0 built-later",
    ),
    Row(
        "missing_artefact",
        "release_src is relative and in none of the places",
        release(src="nowhere/shop"),
        literal("build it, or correct the path"),
        give={"src": SRC},
    ),
    Row("missing_src", "release_src is empty", release(src=""), r"set release_src \(option src\)", give={"src": SRC}),
    Row(
        "missing_version",
        "release_version is empty",
        release(version=""),
        r"set release_version \(option version\)",
        give={"version": "2.0.0"},
    ),
    Row(
        "missing_reason",
        "release_reason is required and empty",
        release(reason_required=True),
        literal("set release_reason to why this release is made"),
        give={"by": {"reason": "the row asks for it"}},
    ),
    Row(
        "invalid_by",
        "by is a name alone",
        release(by="alice"),
        literal("give person, controller, job and reason"),
        give={"by": {"person": "alice", "controller": "ctl1", "job": "1", "reason": "the row asks for it"}},
    ),
    Row(
        "relative_path",
        "release_remote_src is set and the path is relative",
        release(src="shop", remote_src=True),
        literal("give the absolute path on the host"),
        "cp /opt/store/current/bin/store /srv/shop",
        give={"src": "/srv/shop", "version": "1.0.0"},
        undo="rm /srv/shop",
    ),
    Row(
        "missing_file",
        "release_remote_src is set for a file of the controller",
        release(remote_src=True),
        literal("correct the path, or leave release_remote_src out for a file on the controller"),
        give={"remote_src": None},
    ),
    Row(
        "not_elf",
        "the artefact is a text",
        release(src="@files/text"),
        literal("build it with GOOS=linux, and give the binary itself, or a tar archive with it"),
        give={"src": SRC},
    ),
    Row(
        "wrong_architecture",
        "the artefact is built for arm64",
        release(src="@files/shop-arm64"),
        r"build it with GOOS=(?P<goos>\w+) GOARCH=(?P<goarch>\w+)",
        here="GOOS=<goos> GOARCH=<goarch> build-service repository -o ../built-again",
        give={"src": "@files/built-again"},
    ),
    Row(
        "artefact_too_large",
        "the artefact has more than release_max_size",
        release(max_size=1),
        literal("raise release_max_size if that is right"),
        give={"max_size": 100},
    ),
    Row(
        "artefact_too_large",
        "what the URL gives has more than release_max_size",
        release(src="@url/shop-2.0.0", checksum="@url/SUMS", max_size=1),
        literal("correct the URL, or raise release_max_size"),
        give={"max_size": 100},
    ),
    Row(
        "invalid_limit",
        "release_max_size is 0",
        release(max_size=0),
        literal("give a number of MiB above 0"),
        give={"max_size": 100},
    ),
    # --- checksums
    Row(
        "wrong_checksum",
        "release_checksum is of another build",
        release(checksum=ZEROS),
        literal("build or fetch the artefact again, or correct release_checksum"),
        give={"checksum": "@files/SUMS"},
    ),
    Row(
        "invalid_checksum",
        "release_checksum is of another algorithm",
        release(checksum="md5:d41d8cd98f00b204e9800998ecf8427e"),
        literal(CHECKSUM_FORMS),
        give={"checksum": "@files/SUMS"},
    ),
    Row(
        "invalid_checksums",
        "the checksums file is a page of HTML",
        release(checksum="@files/text"),
        literal(WRITE_CHECKSUMS),
        here="sha256sum shop-2.0.0 > SUMS-written",
        give={"checksum": "@files/SUMS-written"},
    ),
    Row(
        "invalid_checksums",
        "the checksums file has digits without a name beside others",
        release(checksum="@files/SUMS-unnamed"),
        literal("give every checksum its file name, or have only one in the file"),
        here="sha256sum shop-2.0.0 > SUMS-unnamed",
    ),
    Row(
        "no_checksum",
        "the checksums file does not name the artefact",
        release(checksum="@files/SUMS-other"),
        r"add the line that (?P<command>sha256sum (?P<name>\S+)) prints, or correct release_src",
        here="<command> >> SUMS-other",
    ),
    Row(
        "ambiguous_checksum",
        "the checksums file names the artefact twice",
        release(checksum="@files/SUMS-twice"),
        literal("leave one of these lines"),
        here="sed -i 1d SUMS-twice",
    ),
    Row(
        "unreadable_checksum",
        "the checksums file is not there",
        release(checksum="nowhere/SUMS"),
        literal("correct the path, or leave release_checksum empty"),
        give={"checksum": ""},
    ),
    Row(
        "missing_checksum",
        "release_src is a URL and release_checksum is empty",
        release(src="@url/shop-2.0.0"),
        SET_CHECKSUM,
        give={"checksum": "@url/SUMS"},
    ),
    Row(
        "insecure_checksums",
        "the checksums file is fetched without TLS",
        release(src="@url/shop-2.0.0", checksum="@http/SUMS"),
        literal("use its https URL, sign it (release_signature_of: checksums), or give the SHA-256 itself"),
        give={"checksum": "@url/SUMS"},
    ),
    Row(
        "missing_checksums",
        "the checksums are to be signed and there is no file of them",
        release(signature="@files/SUMS.minisig", signature_of="checksums", minisign_keys=["@key"], checksum="@sha"),
        literal("set release_checksum to the path or URL of the signed checksums file"),
        give={"checksum": "@files/SUMS"},
    ),
    # --- URLs
    Row(
        "invalid_url",
        "release_src is an ftp URL",
        release(src="ftp://example.com/shop", checksum=ZEROS),
        r"write release_src as https://HOST/PATH",
        give={"src": "@url/shop-2.0.0", "checksum": "@url/SUMS"},
    ),
    Row(
        "insecure_redirect",
        "the server redirects to a URL without TLS",
        release(src="@url/down", checksum="@sha"),
        literal("use the https URL of the file itself"),
        give={"src": "@url/shop-2.0.0"},
    ),
    Row(
        "not_fetched",
        "the server does not have the file",
        release(src="@url/nothing", checksum=ZEROS),
        r"correct release_src",
        give={"src": "@url/shop-2.0.0", "checksum": "@url/SUMS"},
    ),
    Row(
        "not_fetched",
        "the server asks for a user",
        release(src="@url/private/shop-2.0.0", checksum="@url/SUMS"),
        literal("put a user and a password that may read it into the URL, or a token into release_fetch_headers"),
        give={"fetch_headers": {"Authorization": "Bearer TOKEN"}},
    ),
    Row(
        "invalid_headers",
        "a header has two lines",
        release(fetch_headers={"Authorization": "Bearer\nTOKEN"}),
        literal("give the value as one line of text"),
        give={"fetch_headers": {"Authorization": "Bearer TOKEN"}},
    ),
    Row(
        "invalid_headers",
        "the name of a header has a space",
        release(fetch_headers={"My Token": "TOKEN"}),
        literal("write it as name: value pairs, such as Authorization: Bearer TOKEN"),
        give={"fetch_headers": {"Authorization": "Bearer TOKEN"}},
    ),
    # --- signatures
    Row(
        "missing_signature",
        "keys are set and no signature",
        release(minisign_keys=["@key"]),
        literal("set release_signature to the signature file, or leave these empty"),
        give={"signature": "@files/shop-2.0.0.minisig"},
    ),
    Row(
        "no_signer",
        "a signature and no key",
        release(signature="@files/shop-2.0.0.minisig"),
        literal("set release_minisign_keys, or release_allowed_signers for signatures of ssh-keygen -Y sign"),
        give={"minisign_keys": ["@key"]},
    ),
    Row(
        "no_signer",
        "a signature of SSH and keys of minisign",
        release(signature="@files/shop-2.0.0.sig", minisign_keys=["@key"]),
        literal("set release_allowed_signers to a file of lines IDENTITY KEYTYPE KEY"),
        here="echo release@example.com $(cut -d' ' -f1,2 ssh-key.pub) > signers-written",
        give={"allowed_signers": "@files/signers-written", "minisign_keys": None},
    ),
    Row(
        "no_signer",
        "a signature of minisign and signers of SSH",
        release(signature="@files/shop-2.0.0.minisig", allowed_signers="@files/signers"),
        literal("set release_minisign_keys to the public keys you trust"),
        give={"minisign_keys": ["@key"]},
    ),
    Row(
        "unknown_signer",
        "the signature is by a key that is not listed",
        release(signature="@files/shop-2.0.0.minisig", minisign_keys=["@other-key"]),
        literal("sign with one of these keys, or add the public key of that signer if you trust it"),
        give={"minisign_keys": ["@other-key", "@key"]},
    ),
    Row(
        "bad_signature",
        "the signature is of another content",
        release(signature="@files/shop-1.0.0.minisig", minisign_keys=["@key"]),
        literal("sign exactly what is released, or find out who has changed it"),
        give={"signature": "@files/shop-2.0.0.minisig"},
    ),
    Row(
        "bad_signature",
        "the signature of SSH is by a key that is not listed",
        release(signature="@files/shop-2.0.0.sig", allowed_signers="@files/signers-other"),
        literal("sign exactly what is released with a key you trust, or find out who has changed it"),
        here="cp shop-2.0.0 signed-again; ssh-keygen -q -Y sign -f ssh-other -n file signed-again",
        give={"signature": "@files/signed-again.sig"},
    ),
    Row(
        "bad_signature",
        "the trusted comment was changed",
        release(signature="@files/changed.minisig", minisign_keys=["@key"]),
        literal("take the signature file as the signer has published it"),
        give={"signature": "@files/shop-2.0.0.minisig"},
    ),
    Row(
        "invalid_signature",
        "release_signature is another file",
        release(signature="@files/text", minisign_keys=["@key"]),
        literal("sign with minisign -S or ssh-keygen -Y sign -n file, and give the file it writes"),
        here="cp shop-2.0.0 signed-anew; ssh-keygen -q -Y sign -n file -f ssh-key signed-anew",
        give={"signature": "@files/signed-anew.sig", "allowed_signers": "@files/signers", "minisign_keys": None},
    ),
    Row(
        "invalid_signature",
        "release_signature was cut",
        release(signature="@files/cut.minisig", minisign_keys=["@key"]),
        literal("give the file that minisign -S has written (NAME.minisig)"),
        give={"signature": "@files/shop-2.0.0.minisig"},
    ),
    Row(
        "invalid_key",
        "release_minisign_keys has the path of the key",
        release(signature="@files/shop-2.0.0.minisig", minisign_keys=["/etc/minisign.pub"]),
        literal("give the line that starts with RW of the file minisign.pub"),
        give={"minisign_keys": ["@key"]},
    ),
    Row(
        "unreadable_signature",
        "the signature is not there",
        release(signature="nowhere/sig", minisign_keys=["@key"]),
        literal("correct the path, or leave release_signature empty"),
        give={"signature": "@files/shop-2.0.0.minisig"},
    ),
    Row(
        "unreadable_allowed_signers",
        "the list of signers is not there",
        release(signature="@files/shop-2.0.0.sig", allowed_signers="@files/nowhere"),
        literal("correct the path, or leave release_allowed_signers empty"),
        give={"allowed_signers": "@files/signers"},
    ),
    # --- versions
    Row(
        "version_mismatch",
        "what was signed names another version",
        release(version="9.9.9", signature="@files/named.minisig", minisign_keys=["@key"]),
        literal("release the artefact of that version, or correct release_version"),
        give={"version": "2.0.0"},
    ),
    Row(
        "version_not_named",
        "nothing that was signed names the version",
        release(signature="@files/shop-2.0.0.minisig", minisign_keys=["@key"], policy={"version_binding": "required"}),
        r"sign with the trusted comment version:(?P<version>\S+), or build with that version",
        give={"signature": "@files/version-<version>.minisig"},
    ),
    # --- policies
    Row(
        "policy_go_version",
        "the program was built with an older Go than is asked for",
        release(src="@files/built-by-1.17", policy={"min_go_version": "1.22"}),
        r"build with Go 1\.22 or newer",
        here="build-service repository -o ../built-anew",
        give={"src": "@files/built-anew"},
    ),
    Row(
        "policy_syntax",
        "min_go_version is no version",
        judged(min_go_version="newest"),
        literal("write it like 1.22 or 1.22.3"),
        give={"policy": {"min_go_version": "1.22"}},
    ),
    Row(
        "policy_syntax",
        "YAML has read 1.20 as 1.2",
        judged(min_go_version="1.2"),
        r'put it in quotes: "(?P<version>\S+)"',
        give={"policy": {"min_go_version": "<version>"}},
    ),
    Row(
        "policy_main_module",
        "the program is another service's",
        release(src="@files/other-service", policy={"main_module": "example.com/slipway/shop"}),
        literal("release the artefact of this service"),
        give={"src": SRC},
    ),
    Row(
        "policy_not_go",
        "the program was not built by Go",
        release(src="/bin/true", policy={"min_go_version": "1.22"}),
        literal("build with go build, and do not pack the program"),
        give={"src": SRC},
    ),
    Row(
        "policy_static",
        "the program needs a loader",
        release(src="/bin/true", policy={"require_static": True}),
        literal("build with CGO_ENABLED=0 and without -buildmode=pie"),
        give={"src": SRC},
    ),
    Row(
        "policy_vcs_unknown",
        "the program does not name its revision",
        judged(require_vcs_clean=True),
        literal("build inside the repository with -buildvcs=true"),
        here="build-service repository -buildvcs=true -o ../built-clean",
        give={"src": "@files/built-clean"},
    ),
    Row(
        "policy_vcs_modified",
        "the program was built from a changed tree",
        release(src="@files/built-modified", policy={"require_vcs_clean": True}),
        literal("commit or drop the changes, then build"),
        here="git -C modified checkout -q . && build-service modified -buildvcs=true -o ../built-dropped",
        give={"src": "@files/built-dropped"},
    ),
    Row(
        "denylist_syntax",
        "the list of denied modules has no constraint",
        judged(denylist="@files/denied-broken"),
        literal("write <v1.2.3, <=v1.2.3, >v1.2.3, >=v1.2.3 or =v1.2.3"),
        here="echo 'example.com/broken <v1.2.3' > denied-broken",
    ),
    *(
        Row(
            "policy_denied_module",
            f"the list denies the Go of the program ({name})",
            release(src="@files/built-by-1.17", policy={"denylist": f"@files/denied-{name}"}),
            literal(says),
            here=f"build-service repository -o ../built-{name}",
            give={"src": f"@files/built-{name}"},
        )
        for name, says in (
            ("below", "build with Go 1.22 or newer"),
            ("up-to", "build with a Go that is newer than 1.17.3"),
            ("equal", "build with another Go release"),
        )
    ),
    Row(
        "unreadable_denylist",
        "the list of denied modules is not there",
        judged(denylist="@files/nowhere"),
        literal("correct the path, or leave release_denylist empty"),
        give={"policy": {}},
    ),
    # --- vulnerabilities
    Row(
        "vulnerability_database_missing",
        "the database is not there",
        judged(**{DATABASE: "@files/nowhere"}),
        literal("correct release_vulnerability_database, or leave it empty"),
        give={"policy": {DATABASE: "@files/database"}},
    ),
    Row(
        "vulnerability_database_format",
        "the database is a text",
        judged(**{DATABASE: "@files/text"}),
        literal("give a folder or a zip"),
        give={"policy": {DATABASE: "@files/database"}},
    ),
    Row(
        "vulnerability_database_empty",
        "the database has no entry",
        judged(**{DATABASE: "@files/database-empty"}),
        literal("give a database in the format of the Go one"),
        give={"policy": {DATABASE: "@files/database"}},
    ),
    Row(
        "vulnerability_database_broken",
        "an entry of the database is cut",
        judged(**{DATABASE: "@files/database-broken"}),
        literal("fetch the vulnerability database again, and give the folder or zip with its entries alone"),
        here="rm -r database-broken; cp -r database database-broken",
    ),
    Row(
        "vulnerability_database_stale",
        "the database is old",
        judged(**{DATABASE: "@files/database-old"}),
        literal("fetch the vulnerability database again"),
        here="rm -r database-old; cp -r database database-old",
    ),
    Row(
        "vulnerability_database_future",
        "the database is of tomorrow",
        judged(**{DATABASE: "@files/database-future"}),
        literal("correct the controller's clock, or take a database from a source that you trust"),
        give={"policy": {DATABASE: "@files/database"}},
    ),
    Row(
        "vulnerability_database_undated",
        "the database is a copy of the repository of the Go one, whose entries have no times",
        judged(**{DATABASE: "@files/database-undated"}),
        literal("give vulndb.zip as Go publishes it, or set release_vulnerability_max_age to 0"),
        give={"policy": {DATABASE: "@files/database-undated", "vulnerability_max_age": 0}},
    ),
    Row(
        "vulnerability_ignore_syntax",
        "an exception has no last day",
        judged(**{DATABASE: "@files/database", "vulnerability_ignore": [{"id": "GO-1", "reason": "unused"}]}),
        literal("give each element id, reason and until, the last day as YYYY-MM-DD"),
        give={
            "policy": {
                DATABASE: "@files/database",
                "vulnerability_ignore": [{"id": "GO-1", "reason": "unused", "until": "2099-12-31"}],
            }
        },
    ),
    Row(
        "policy_vulnerable",
        "the program contains a vulnerability of which no fixed version is known",
        judged(**{DATABASE: "@files/database-of-shop"}),
        r"add (?P<id>\S+) to release_vulnerability_ignore with a reason, as no fixed version is known",
        give={
            "policy": {
                DATABASE: "@files/database-of-shop",
                "vulnerability_ignore": [{"id": "<id>", "reason": "not reachable", "until": "2099-12-31"}],
            }
        },
    ),
    # --- archives
    Row(
        "no_binary",
        "two files of the archive could be the program",
        archive("two.tar.gz"),
        literal("set release_binary to the path of the program in the archive"),
        give={"binary": "one"},
    ),
    Row(
        "damaged_archive",
        "the archive was cut",
        archive("cut.tar.gz"),
        literal("build or fetch the archive again, as .tar, .tar.gz, .tar.xz or .tar.zst"),
        here="tar -czf cut.tar.gz -C tree store",
    ),
    Row(
        "foreign_archive",
        "the archive is a zip",
        archive("store.zip"),
        literal("make it a .tar.gz, .tar.xz, .tar.zst or .tar"),
        here="tar -czf from-zip.tar.gz -C tree store",
        give={"src": "@files/from-zip.tar.gz"},
    ),
    Row(
        "unsafe_archive",
        "the archive has a link",
        archive("link.tar.gz"),
        r"pack files and folders only \((?P<tar>tar --dereference --hard-dereference) packs what links point at\)",
        here="<tar> -czf link.tar.gz -C linked store asset",
    ),
    Row(
        "unsafe_archive",
        "a file of the archive is setuid",
        archive("setuid.tar.gz"),
        r"remove that bit with (?P<chmod>chmod ug-s) before packing",
        here="<chmod> setuid/store; tar -czf setuid.tar.gz -C setuid store",
    ),
    Row(
        "unsafe_archive",
        "a file of the archive has an absolute path",
        archive("absolute.tar.gz"),
        literal("make the archive with relative paths inside one folder, in readable names"),
        here="tar -czf absolute.tar.gz -C tree store",
    ),
    Row(
        "unsafe_archive",
        "a file is twice in the archive",
        archive("twice.tar.gz"),
        literal("make it anew, with every path once"),
        here="tar -czf twice.tar.gz -C tree store",
    ),
    Row(
        "archive_too_large",
        "the archive unpacks to more than release_max_size",
        archive("large.tar.gz", max_size=8),
        literal("raise release_max_size if that is right"),
        give={"max_size": 100},
    ),
    # --- the rest of the gate
    Row(
        "too_large",
        "the checksums file is the artefact",
        release(checksum=SRC),
        literal("correct release_checksum: this is no such file"),
        give={"checksum": "@files/SUMS"},
    ),
    Row(
        "sbom_syntax",
        "the bill of materials is a text",
        Task("vulnerabilities", {"name": SERVICE, "sbom": "@files/text"}),
        literal("give one, or leave sbom empty"),
        give={"sbom": "@files/sbom.json"},
    ),
    Row(
        "unreadable_sbom",
        "the bill of materials is not there",
        Task("vulnerabilities", {"name": SERVICE, "sbom": "@files/nowhere.json"}),
        literal("correct sbom"),
        give={"sbom": "@files/sbom.json"},
    ),
    Row(
        "policy_vulnerability_unknown",
        "the version of a module of the program is not known",
        judged(**{DATABASE: "@files/database-of-main"}),
        r"build with a released version of the module, or accept that with release_vulnerability_inconclusive",
        give={"policy": {DATABASE: "@files/database-of-main", "vulnerability_inconclusive": "accept"}},
    ),
]
