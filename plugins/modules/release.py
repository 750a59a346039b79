#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Release a version of a Go service with nothing lost
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Stages the artefact on the host, swaps it in by the service's strategy, and commits it once it has proven healthy.
  - A release that does not become healthy, or does not stay so while it soaks, is rolled back, and the task fails with
    RV(rolled_back) set and with what was wrong. The former release keeps serving, or serves again.
  - In the end the controller confirms the release over a new connection. If it cannot, the host takes the release back.
  - A release is identified by its content, the binary with its environment, configuration and unit files. The same
    content is never swapped in twice, so a second run changes nothing.
  - In check mode, everything that can be checked without changing the host is checked, and the outcome predicted. For
    that, an artefact that the host would fetch is fetched into a temporary folder, judged there, and removed again.
  - The units, the user and the directories come from the role P(slipway.go.service#role).
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.engine
  - slipway.go.attributes.by
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  version:
    description:
      - The version of the artefact. The release's id is this and ten hexadecimal digits of the content's digest.
      - Letters, digits and V(.), V(_), V(+), V(~), V(-) are allowed, at most 100 characters.
    type: str
    required: true
  src:
    description:
      - The artefact, a binary, or a tar archive (C(.tar), C(.tar.gz), C(.tar.xz), C(.tar.zst)) with a binary and
        assets.
      - A path on the controller. It is uploaded only if the host does not have this content yet.
      - A relative path is looked for where M(ansible.builtin.copy) looks, then in the folder of the inventory, then in
        the working directory.
      - An C(https) or C(http) URL, which each host fetches itself. O(checksum) is required then. User and password in
        the URL, and its query, are used and never shown. Proxies are taken from the task's environment.
      - With O(remote_src), an absolute path on the host.
      - The files of an archive beside the binary are in C(assets/) of the release, read-only. An archive with links,
        devices, setuid files or paths that lead out of it is refused.
      - "For hosts of several architectures, a dictionary of them, such as V({amd64v3: PATH, amd64: PATH, arm64: PATH}),
        or one text with V({goarch}), and for a path on the controller also V({level}), such as
        V(build/shop-linux-{goarch}{level}). Each host gets the best that its processor runs, see
        M(slipway.go.processor_info), which costs one round trip."
    type: raw
    required: true
  remote_src:
    description:
      - Whether O(src) is on the host already. Then the paths of O(checksum) and O(signature) are, too.
    type: bool
    default: false
  binary:
    description:
      - Which file of an archive is to run, by its path in the archive or by its name alone.
      - When empty, the file named as the service, or else the only executable one.
    type: str
    default: ""
  checksum:
    description:
      - The expected SHA-256 or SHA-512 of O(src), as C(sha256:HEX), C(sha512:HEX) or C(HEX).
      - Or a checksums file as C(sha256sum) or C(sha512sum) writes it, also with tabs, in BSD format, or with nothing
        but the digest. The entry with the file name of O(src) counts, and there must be exactly one; SHA-512 counts
        where there is no SHA-256.
      - A checksums file is a path on the controller, a path on the host with O(remote_src), or a URL, which each host
        fetches. An C(http) URL is accepted only if the file is signed.
      - Where O(src) is by architecture, this may be, too.
    type: raw
  signature:
    description:
      - A detached signature by minisign or by C(ssh-keygen -Y sign), which each host verifies before it takes the
        artefact in. minisign need not be installed there.
      - A path on the controller, a path on the host with O(remote_src), or a URL, which each host fetches.
      - Where O(src) is by architecture, this may be, too.
    type: raw
  provenance:
    description:
      - A statement of in-toto with a predicate of SLSA Provenance v1, in a signed envelope of DSSE, such as
        M(slipway.go.build) writes it. Each host verifies without a network that somebody of O(minisign_keys) or
        O(allowed_signers) has signed it, and that it is about this artefact. O(policy) says what of it is allowed.
      - A path on the controller, a path on the host with O(remote_src), or a URL, which each host fetches in each run.
      - Where O(src) is by architecture, this may be, too.
    type: raw
  signature_of:
    description:
      - What O(signature) signs, V(artefact) for O(src) itself, V(checksums) for the checksums file in O(checksum).
    type: str
    choices: [artefact, checksums]
    default: artefact
  minisign_keys:
    description:
      - The public keys of minisign whose signatures count, each as the line that starts with C(RW).
    type: list
    elements: str
    default: []
  allowed_signers:
    description:
      - A file on the controller with the keys whose SSH signatures count, in the format of C(ssh-keygen)(1), section
        ALLOWED SIGNERS.
    type: path
  signer:
    description:
      - The identity in O(allowed_signers) that must have signed. Any of that file when empty.
    type: str
    default: ""
  signature_namespace:
    description:
      - The namespace that the SSH signature must have been made for.
    type: str
    default: file
  max_size:
    description:
      - The most MiB that an artefact may have, and that an archive may unpack to.
    type: int
    default: 1024
  fetch_timeout:
    description:
      - Seconds that fetching one file may take altogether.
    type: float
    default: 300
  fetch_headers:
    description:
      - "Headers for private downloads, such as V({Authorization: Bearer TOKEN})."
      - Only the server of O(src) gets them; where that is no URL, the server of O(checksum), or else of O(signature). A
        redirect to another host, port or scheme goes there without them.
      - They are in no argument of a program, no log and no result.
    type: dict
    default: {}
  strategy:
    description:
      - How the new release takes over.
      - V(socket) starts it beside the old one on the same listening socket, proves it healthy, then drains the old one.
        The service must accept on the descriptors systemd passes (C(LISTEN_FDS)).
      - V(proxy) starts it beside the old one on another local port, proves it healthy there, and has HAProxy lead users
        to it; the old one ends when its last request has. The role P(slipway.go.proxy#role) sets HAProxy up.
      - V(reload) has the running process start the new one on its own sockets (C(systemctl reload)) and waits until
        that one is the main process. Where environment or unit differ, which no handover can change, it is as with
        V(restart), and RV(restarted_because) says so.
      - V(restart) stops the old one first; the downtime is measured and returned.
    type: str
    choices: [socket, proxy, reload, restart]
    default: socket
  group:
    description:
      - The group that may read the release's files. Defaults to O(name).
    type: str
  environment:
    description:
      - Environment variables of this release, added to what the role P(slipway.go.service#role) has set for the host.
      - Booleans become V(true) or V(false); all other values are taken as text.
    type: dict
    default: {}
  listen:
    description:
      - What the service listens on, in the notation of C(ListenStream=). Used to find out who else holds a port.
    type: list
    elements: str
    default: []
  more_listen:
    description:
      - With the strategy V(proxy), what HAProxy listens on beside O(listen), for further ports of the service.
    type: list
    elements: str
    default: []
  rehearsal:
    description:
      - The address, in the notation of C(ListenStream=), at which the release is proven before any request can reach
        it; the one that the role P(slipway.go.service#role) has given the rehearsal's units.
      - When empty, there is no rehearsal.
    type: str
    default: ""
  policy:
    description:
      - Your own rules for artefacts, checked on the controller before any host is asked, or by the host where O(src) is
        a URL or on the host. They are applied in each run, also to what is on the host already. A rollback asks none.
    type: dict
    default: {}
    suboptions:
      require_static:
        description:
          - Refuse a binary that needs a dynamic loader.
        type: bool
        default: false
      require_vcs_clean:
        description:
          - Refuse a binary that was built outside a repository, or from a modified one.
        type: bool
        default: false
      min_go_version:
        description:
          - The oldest Go version, for example V(1.25) or V(1.25.3).
        type: str
      main_module:
        description:
          - The path of the main module that the binary must have been built from.
        type: str
      denylist:
        description:
          - A file on the controller that names modules that must not be in the binary, one a line, each optionally
            followed by version bounds such as V(<v1.2.3) and by a reason after V(#).
          - A module that ends in V(/...) covers what is below it; V(stdlib) is Go itself.
        type: path
      prerelease:
        description:
          - Whether O(version) may be a pre-release as Semantic Versioning 2.0.0 says, such as V(2.0.0-rc.1). A version
            that is none of Semantic Versioning is never one.
        type: bool
        default: true
      provenance_required:
        description:
          - Whether a release without O(provenance) is refused. It is, too, where one of the next three is set.
        type: bool
        default: false
      provenance_builder:
        description:
          - The builders that are allowed, by C(builder.id) in O(provenance). A V(*) stands for any text.
        type: list
        elements: str
        default: []
      provenance_repository:
        description:
          - The repositories that it may have been built from, as O(provenance) names them. A V(*) stands for any text.
        type: list
        elements: str
        default: []
      provenance_ref:
        description:
          - The refs that it may have been built from, such as V(refs/tags/v*). A V(*) stands for any text.
        type: list
        elements: str
        default: []
      version_binding:
        description:
          - Whether what was signed or built has to be O(version). What counts is the trusted comment of a minisign
            signature, the name of the entry in a signed checksums file, the build info of Go (the main module's
            version, a version set by C(-ldflags -X), the commit), the version in O(provenance), and the one folder
            around everything in an archive.
          - V(match) refuses what names another version, and accepts what names none. V(required) refuses what names
            none, too. V(ignore) does not look.
        type: str
        choices: [match, required, ignore]
        default: match
      vulnerability_database:
        description:
          - A folder or zip on the controller with a vulnerability database in the format of OSV, such as Go's. A binary
            with a known vulnerability is refused. See M(slipway.go.vulnerabilities), which judges the same way.
        type: path
      vulnerability_severity:
        description:
          - The lowest severity that is refused. A vulnerability whose severity is unknown is always refused.
        type: str
        choices: [low, medium, high, critical]
      vulnerability_grace:
        description:
          - Days since a vulnerability was published in which it is not refused.
        type: float
        default: 0
      vulnerability_max_age:
        description:
          - Days since the latest change of the database after which it is refused; V(0) accepts any age.
        type: float
        default: 30
      vulnerability_ignore:
        description:
          - Vulnerabilities that are not refused, each a dictionary of C(id) (of the entry, or one of its aliases),
            C(reason) and C(until), the last day on which it is ignored.
        type: list
        elements: dict
        default: []
      vulnerability_inconclusive:
        description:
          - What follows where a module's version is unknown, or where the binary does not name its modules.
        type: str
        choices: [accept, refuse]
        default: refuse
      vulnerability_toolchain:
        description:
          - Whether vulnerabilities of Go's own commands are refused, too. They are about the machine that built it.
        type: bool
        default: false
  smoke:
    description:
      - Commands to run on the host, each a list of words, against the release in rehearsal once it is healthy. One that
        fails refuses the release before any request can reach it.
      - They run as the service's user, in a unit of their own, without a shell. C(SLIPWAY_ADDRESS), C(SLIPWAY_URL) or
        C(SLIPWAY_SOCKET), and C(SLIPWAY_RELEASE) are in the environment, and C(${SLIPWAY_URL}) in a word is replaced; a
        dollar sign is written C($$).
      - Arguments are visible to everybody on the host, so they must not hold secrets. What the last lines of the output
        show of the release's environment is masked.
    type: list
    elements: list
    default: []
  smoke_timeout:
    description:
      - Seconds that each command of O(smoke) may take.
    type: float
    default: 30
  once:
    description:
      - A command that is run once for a version, such as a migration of a database, before anything is swapped. It is
        remembered on the host by O(version) and its words, so that a repeated run does not repeat it, and neither does
        a release of the same version with another configuration. One that fails swaps nothing, and the next run tries
        it again.
      - It runs in a unit of its own, with the user, the environment, the credentials and the sandbox of the release's
        unit. That unit outlives a run that is cut short, and the next run takes over how it ended. Where the host went
        down in the meantime, nobody knows that, and the release is refused until O(once.decision) says what to do.
    type: dict
    default: {}
    version_added: 0.1.0
    suboptions:
      command:
        description:
          - The command as a list of words, without a shell. A program with a relative path, such as V(bin/shop) or
            V(assets/migrate), is the release's own, and the command runs in the release's directory.
          - C(${NAME}) in a word is replaced by that variable of the environment; a dollar sign is written C($$).
          - Arguments are visible to everybody on the host, so they must not hold secrets.
        type: list
        elements: str
        default: []
      timeout:
        description:
          - Seconds that it may take.
        type: float
        default: 300
      decision:
        description:
          - What is to be done about one attempt whose end nobody knows, V(done-ATTEMPT) if it has done its work, or
            V(again-ATTEMPT) to run it again. The message that asks for it says both. It holds for that attempt only.
        type: str
        default: ""
      here:
        description:
          - Whether this host may run it. Where it may not, only what was run elsewhere is swapped.
        type: bool
        default: true
      told:
        description:
          - The host on which it was run, by RV(once) of that host. It is not run here then, and remembered.
        type: str
        default: ""
      only:
        description:
          - Whether to stage the release and run the command, and to swap nothing.
        type: bool
        default: false
  force:
    description:
      - Whether to release also what has failed on this host before, or what somebody has rolled back from.
      - What has failed is tried again without this once it is judged by something else, by other options (O(health),
        O(probe), times and limits), or on a host that was started anew, that has got other packages, or where a path
        that the environment, the configuration or the units of the release name is there that was missing, or is
        another one. What users' requests have refused needs other options.
    type: bool
    default: false
  run:
    description:
      - The name of the run that releases, such as the number of a pipeline. It is kept with the release, so that
        O(slipway.go.rollback#module:run) can take back what just this run has brought.
    type: str
    default: ""
  hold:
    description:
      - Seconds for which the release may wait, beyond O(confirm), for the rest of a fleet. The task reaches the host
        over a new connection and leaves the release waiting; M(slipway.go.conclude) confirms it in the end. V(0)
        confirms it at once. A first release, which has nothing to go back to, counts at once all the same.
    type: float
    default: 0
  reason_required:
    description:
      - Whether a release without a reason in O(by) is refused.
    type: bool
    default: false
  configured:
    description:
      - Whether the host has the configuration that the release is going to take along. With V(false), check mode
        accepts what has failed on this host before, as another configuration makes it another release.
    type: bool
    default: true
  stale_configuration:
    description:
      - What to do where the variables C(service_environment), C(service_arguments) or C(service_credentials) of the
        role P(slipway.go.service#role) say something else than the host has. A release takes along what the host has,
        and only that role changes it. The host gets digests of the values, and the message has only names.
      - Templates of C(service_config_files), and variables that the host has not in its inventory, are not compared.
    type: str
    choices: [warn, refuse]
    default: warn
    version_added: 0.1.0
  downgrade:
    description:
      - What to do where O(version) has a lower precedence, as Semantic Versioning 2.0.0 says, than the version that was
        good last on this host. Versions that are none of Semantic Versioning are not compared.
      - M(slipway.go.rollback) does not ask.
    type: str
    choices: [warn, refuse, accept]
    default: warn
  role_variables:
    description:
      - Whether options that the task leaves out are read from the variables of the role P(slipway.go.release#role), as
        its own tasks do.
    type: bool
    default: false
  report:
    description:
      - Whether a release that this host would refuse is reported and not a failure, so that the hosts of a play can be
        asked first and judged together. What speaks against it is in C(msg), C(code) and RV(problems), and RV(action)
        is missing. In check mode only.
    type: bool
    default: false
  freeze:
    description:
      - Times in which nothing is released, each with C(reason). A time is a date, or date and time, in C(from) and
        C(to), with an offset such as C(+01:00) or a C(zone) such as C(Europe/Berlin). One that recurs has C(zone),
        C(weekdays) such as V([fri, sat]) and times of the day in C(from) and C(to); each of them may be left out, and
        a C(to) before C(from) is on the day after.
      - What counts is when the run of Ansible began, by the clock of the controller, so that a run is not stopped
        halfway. The list may be text in YAML or JSON.
    type: raw
  break_glass:
    description:
      - Why this release is made although O(freeze) has a window now. The history and the log of each host keep it.
      - An empty text is no reason.
    type: str
    default: ""
  compare:
    description:
      - How the batch of this host is compared with later ones, as O(slipway.go.compare#module:by). Nothing is compared
        here, but the lease holds for that time, too. A check with O(report) refuses queries that Prometheus does not
        understand.
    type: raw
  lease:
    description:
      - What a check does about the lease of the service, which keeps two runs from releasing it at the same time. In
        check mode only, because a release refuses while another run has the lease.
      - With V(require), the lease of another run is a problem. With V(take), a check with O(report) takes the lease for
        this run of Ansible where nothing speaks against the release; M(slipway.go.lease) gives it back. With V(tell),
        neither the lease of another run nor O(freeze) is a problem, and RV(plan) has them.
    type: str
    choices: [require, take, tell]
    default: require
  lease_time:
    description:
      - Seconds for which the host keeps the lease for a run of which it hears nothing more. Each swap of that run on
        this host begins them anew. With V(0), as long as a release of all hosts of the play may take if it ends well.
      - At most a day. It is counted by the host, on a clock that nobody sets.
    type: float
    default: 0
  end_lease:
    description:
      - The id of a run that is dead, from the message of a host that refuses because of its lease. Its lease ends, and
        where it is not dead, it is refused from then on.
      - The lease of a run of the same machine whose process is gone needs no word.
    type: str
    default: ""
  sealed:
    description:
      - Not for playbooks. What the controller's half of this module tells the host, as JSON.
    type: str
seealso:
  - module: slipway.go.rollback
  - module: slipway.go.release_info
  - module: slipway.go.health_check
"""

EXAMPLES = r"""
- name: Release version 2.0.0 of the shop
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: build/shop-linux-amd64
    checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    listen: ["8080"]
    health:
      url: http://127.0.0.1:8080/readyz
      deadline: 20
    probe:
      url: http://127.0.0.1:8080/
      max_failed: 0
      max_p99: 0.5

- name: Release from a server, signed checksums and all
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: https://downloads.example.com/shop/2.0.0/shop_2.0.0_linux_amd64.tar.gz
    checksum: https://downloads.example.com/shop/2.0.0/SHA256SUMS
    signature: https://downloads.example.com/shop/2.0.0/SHA256SUMS.minisig
    signature_of: checksums
    minisign_keys:
      - RW...

- name: Release what the builder has built from a tag, for the processor of each host
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: "build/shop-linux-{goarch}{level}"
    provenance: "build/shop-linux-{goarch}{level}.intoto.jsonl"
    minisign_keys:
      - RW...
    policy:
      provenance_required: true
      provenance_builder: ["https://ci.example.com/release"]
      provenance_ref: ["refs/tags/v*"]

- name: Release what needs another schema of its database
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: build/shop-linux-amd64
    once:
      command: [bin/shop, migrate]
      timeout: 120

- name: Would this release be accepted here?
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: build/shop-linux-amd64
  check_mode: true
"""

RETURN = r"""
current:
  description: The id of the release that serves now; in check mode, that would.
  returned: always
  type: str
  sample: 2.0.0-3b1d8f00aa
previous:
  description: The id of the release that served before; V(null) on a first release.
  returned: success
  type: str
  sample: 1.9.4-77c0aa12de
action:
  description: >-
    What was done, V(release), V(none) where this release is the committed one already, V(settings) where it is and only
    the options that say how it is treated (health, timeouts, keep) were taken over for the watch and the tool on the
    host, after O(health) had passed, or V(confirm) where a run before had swapped it in and it only waited to be
    confirmed.
  returned: success
  type: str
  sample: release
phases:
  description: Seconds each phase took.
  returned: success
  type: dict
  sample: {"STAGE": 0.05, "REHEARSE": 0.5, "OVERLAP": 0.42, "FLIP": 0.01, "DRAIN": 1.31, "SOAK": 5.0, "COMMIT": 0.06}
swap_seconds:
  description: Seconds from the first act to the end of the drain, without staging and soaking.
  returned: success
  type: float
  sample: 1.75
downtime_seconds:
  description:
    - Seconds nothing served, measured; V(null) for a strategy that has no downtime. If the swap was rolled back, it
      includes going back.
  returned: success, or when a swap that had a downtime was rolled back
  type: float
  sample: 0.31
restarted_because:
  description: Why the old release had to end before the new one began, where the strategy lets them overlap.
  returned: success
  type: str
  sample: the environment differs, and a process that is handed over to keeps that of the one before
pruned:
  description: The ids of releases that were deleted because more than O(keep) were there.
  returned: success
  type: list
  elements: str
  sample: [1.9.0-0f0e0d0c0b]
unconfirmed:
  description: The transaction that still waits to be confirmed; V(null) where none does.
  returned: success
  type: str
  sample: null
cut:
  description:
    - How many connections to the old release were still open when its drain ended, and were cut, such as a websocket or
      an upload of many minutes. With the strategy V(proxy), the sessions of users. It is a warning, too.
    - Where the old release did not end by itself in C(service_drain_timeout), and had TCP connections at that time.
      What a release cuts when it ends by itself is not seen from outside, and neither are connections of Unix sockets,
      of processes that it has started, and of a network namespace of its own.
  returned: success
  type: int
  sample: 0
draining:
  description: The releases that go on draining beside the new one because they have users (O(drain_background)).
  returned: success
  type: list
  elements: str
  sample: [1.4.2-ab12cd34ef]
traffic:
  description:
    - What the users' requests say of the release, with the strategy V(proxy); V(null) with others and in a rollback.
    - C(verdict) is C(pass), C(inconclusive) or C(fail), and C(reason) says why it is not C(pass). C(evidence) are
      e-values, with that of C(enough) the release is refused. C(steps) are the shares of the requests, the last one is
      the soak; one that ended before its time, because the release is good, has C(early), the C(evidence) for that
      and C(at_most), by how many percentage points more of its requests fail than of the old release. C(before) is what
      the old release did in this run until then or, where that is too little, since it was committed. C(chosen) are the
      requests of chosen users, where there are any; they are in no step.
  returned: success, and failure during the swap
  type: dict
  sample:
    verdict: pass
    reason: null
    evidence: {errors: 0.02, latency: 0.01, enough: 200.0}
    before: {requests: 91200, failed: 12}
    steps:
      - percent: 25
        seconds: 60.0
        requests: 1250
        failed: 0
        p99_ms: 35
        old_requests: 3751
        old_failed: 1
        old_p99_ms: 34
        early: {evidence: 213.0, at_most: 0.91}
paused:
  description:
    - How the release has waited for a person (O(proxy.slow)); V(null) where it has not. C(reason) is what was measured
      and what is allowed, C(since) when it began, in seconds since the epoch, and C(seconds) how long it lasted.
      C(ended) is V(resumed), V(sent_back), V(not_resumed) or, where something else went wrong meanwhile, V(failed),
      and C(by) the person.
  returned: success, and failure during the swap
  type: dict
  sample:
    reason: >-
      60 of 1204 requests took 60 ms or longer, and 9 of 4790 at the old release 30 ms or longer;
      release_max_latency_ratio allows 2
    since: 1789000000.123
    seconds: 184.2
    ended: resumed
    by: alice
probe:
  description:
    - What the probe saw before, during and after the swap, and where it was undone, while going back (C(rollback)).
    - While the release was paused, in C(paused).
    - V(null) where there was no probe.
    - C(blind) says in a sentence that every request failed, before the swap as after it, so that the figures say
      nothing of the release; V(null) otherwise.
  returned: success, and failure during the swap
  type: dict
  sample:
    target: http://127.0.0.1:8080/
    rate: 20.0
    blind: null
    before: {"sent": 12, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 1.9, "max_ms": 1.9}
    during: {"sent": 31, "failed": 0, "reasons": {}, "p50_ms": 1.2, "p99_ms": 2.4, "max_ms": 2.4}
    after: {"sent": 100, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 2.0, "max_ms": 2.2}
once:
  description:
    - What the host knows of the command in O(once); V(null) where there is none.
    - C(state) is V(due), V(running), V(done), V(failed) or V(unknown). C(host) is where it was run, if not here.
      C(log) are the last lines that it has written, masked as RV(log) is.
  returned: success, and failure of the command
  type: dict
  sample:
    state: done
    attempt: 3f2a1b2c
    release: 2.0.0-3b1d8f00aa
    command: bin/shop migrate
    began: 1789000000.123
    took: 2.41
    log: ["applied 0042_add_orders"]
rolled_back:
  description: Whether the former state was restored after this release failed.
  returned: failure during the swap
  type: bool
  sample: true
failed_phase:
  description: The phase in which the release failed.
  returned: failure during the swap
  type: str
  sample: OVERLAP
failed_release:
  description: The id of the release that failed. Its files stay on the host as evidence.
  returned: failure during the swap
  type: str
  sample: 2.0.1-aa00bb11cc
log:
  description:
    - The last lines that the failed release has written to the log of systemd, ten at most, the oldest first. Where it
      wrote none there, what systemd said of its unit. With the strategy V(reload), the log of the one process cannot be
      told from that of the other, so there is none.
    - Masked are the values of the release's environment, its credentials, the secrets of O(health) and O(probe), and
      the password in a URL or a connection string among them, as they are and as JSON and URLs write them. Not masked
      are values under four characters, switches, levels, numbers up to five digits, addresses and paths of the host,
      what its configuration files hold, and what the program has encoded otherwise.
  returned: failure in the rehearsal or during the swap, where there are any
  type: list
  elements: str
  sample: ["no database: dial tcp 10.0.0.7:5432: connect: connection refused"]
answer:
  description:
    - The body of the answer that made the health check fail, 600 characters at most, masked as RV(log) is.
  returned: failure of the health check, where it had an answer with a body
  type: str
  sample: '{"status":"DOWN","database":"refused"}'
notices:
  description:
    - What an operator should know before this release, and what may be a wrong guess. None of it refuses the release.
      Each is a warning, too.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: A stable name.
      type: str
      sample: no_listen_fds
    message:
      description: What was seen.
      type: str
      sample: release_src does not seem to read LISTEN_FDS.
    fix:
      description: What to do if that is so.
      type: str
      sample: use service_swap proxy
  sample: []
build_host:
  description:
    - The host that built the artefact, as its manifest says, beside this host. The manifest is the file C(NAME.json)
      that M(slipway.go.build) puts beside the artefact C(NAME), on the controller, or on the host with O(remote_src).
      One that is damaged or about another artefact does not count, and none is fetched from a URL.
  returned: where a manifest is beside the artefact
  type: dict
  contains:
    built_on:
      description:
        - The host that built it, with C(os), C(kernel), C(architecture) as C(uname -m) says it, and C(libc). What is
          not known is empty.
      type: dict
      sample: {os: Ubuntu 24.04.3 LTS, kernel: 6.8.0-71-generic, architecture: x86_64, libc: glibc 2.39}
    runs_on:
      description: The same of this host.
      type: dict
      sample: {os: Debian GNU/Linux 12 (bookworm), kernel: 6.1.0-38-amd64, architecture: x86_64, libc: glibc 2.36}
    toolchain:
      description: The version of Go.
      type: str
      sample: go1.27.3
    target:
      description: The architecture that it was built for, with the level of its processors.
      type: str
      sample: amd64v3
    linked:
      description: How the program is linked, such as V(static) or V(dynamic); empty where that is not known.
      type: str
      sample: dynamic
    differs:
      description:
        - The codes of the differences that matter to this program, each with an entry in RV(notices) unless this
          release serves already.
      type: list
      elements: str
      sample: [older_libc]
  sample:
    built_on: {os: Ubuntu 24.04.3 LTS, kernel: 6.8.0-71-generic, architecture: x86_64, libc: glibc 2.39}
    runs_on: {os: Debian GNU/Linux 12 (bookworm), kernel: 6.1.0-38-amd64, architecture: x86_64, libc: glibc 2.36}
    toolchain: go1.27.3
    target: amd64v3
    linked: dynamic
    differs: [older_libc]
plan:
  description:
    - What is to be known before the release. C(serving) and C(returns_to) are releases, C(took) the seconds of the last
      swaps, C(at_most) the seconds after which a host that does not answer counts as lost, C(lease) the last lease
      (C(left) is 0 where it is over), C(lease_needed) the seconds for which this run may need the lease and
      C(lease_kept) those for which a host keeps it, only where these are fewer, and C(freeze) the window of O(freeze)
      that the run began in.
  returned: in check mode
  type: dict
  sample:
    serving: 1.9.4-77c0aa12de
    returns_to: 1.9.4-77c0aa12de
    took: [1.8, 2.4]
    at_most: 635.0
    lease: null
lease:
  description: The lease of another run that speaks against the release.
  returned: failure because of it
  type: dict
  sample: {"run": "90f1c2aa34bb56dd", "left": 512.3, "by": {"person": "alice", "controller": "ctl1"}}
claim:
  description: What this run has told the host of itself.
  returned: failure because of the lease of another run
  type: dict
  sample: {"run": "90f1c2aa34bb56dd", "version": "2.0.0"}
problems:
  description:
    - Everything that speaks against this release on this host. Where the release before could not be brought back, why
      this one has failed, and then why that one did not come back.
  returned: failure before the swap, or with the code V(rollback_failed)
  type: list
  elements: dict
  contains:
    code:
      description: A stable name of the problem.
      type: str
      sample: port_in_use
    message:
      description: What is wrong.
      type: str
      sample: port 8080 of service_listen is in use by nginx (pid 812).
    fix:
      description: What to do about it.
      type: str
      sample: stop that process, or choose another port in service_listen
  sample:
    - code: port_in_use
      message: port 8080 of service_listen is in use by nginx (pid 812).
      fix: stop that process, or choose another port in service_listen
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: rolled_back
fix:
  description: What to do about the failure; empty where nothing is to be done.
  returned: failure
  type: str
  sample: build it with GOOS=linux GOARCH=amd64
"""

import json
import math
from dataclasses import replace
from typing import Any, Callable, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._binary.abilities import Abilities
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem, ProblemsError
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import read_cpu
from ansible_collections.slipway.go.plugins.module_utils._host.fingerprint import read_fingerprint
from ansible_collections.slipway.go.plugins.module_utils._linkage.host_profile import collect_host_profile
from ansible_collections.slipway.go.plugins.module_utils._release import intake, options, preflight
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import binding
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import inspect as artefact
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.fetch import Limits, is_url, parse_headers
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.provenance import Policy
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.plugins.module_utils._release.build_host import Built, Comparison, read_built
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import parse_claim
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import STRATEGIES, Artefact, Once, Spec
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.judge import ACCEPT, REFUSE
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.severity import LEVELS

# What becomes of the lease in check mode; a release requires it always.
REQUIRE = "require"
TAKE = "take"
TELL = "tell"
POLICY = {
    "require_static": {"type": "bool", "default": False},
    "require_vcs_clean": {"type": "bool", "default": False},
    "min_go_version": {"type": "str"},
    "main_module": {"type": "str"},
    "denylist": {"type": "path"},
    "prerelease": {"type": "bool", "default": True},
    "provenance_required": {"type": "bool", "default": False},
    "provenance_builder": {"type": "list", "elements": "str", "default": []},
    "provenance_repository": {"type": "list", "elements": "str", "default": []},
    "provenance_ref": {"type": "list", "elements": "str", "default": []},
    "version_binding": {"type": "str", "choices": list(binding.LEVELS), "default": "match"},
    "vulnerability_database": {"type": "path"},
    "vulnerability_severity": {"type": "str", "choices": list(LEVELS)},
    "vulnerability_grace": {"type": "float", "default": 0},
    "vulnerability_max_age": {"type": "float", "default": 30},
    "vulnerability_ignore": {"type": "list", "elements": "dict", "default": []},
    "vulnerability_inconclusive": {"type": "str", "choices": [ACCEPT, REFUSE], "default": REFUSE},
    "vulnerability_toolchain": {"type": "bool", "default": False},
}
ONCE = {
    "command": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": Once.timeout},
    "decision": {"type": "str", "default": ""},
    "here": {"type": "bool", "default": True},
    "told": {"type": "str", "default": ""},
    "only": {"type": "bool", "default": False},
}
# What the controller's half of this module tells the host beside its options, where it has nothing to say.
UNSEALED = {
    "intake": {},
    "tool": "",
    "digest": "",
    "size": 0,
    "goarch": None,
    "uploaded": None,
    "abilities": None,
    "build_host": None,
    "expected": {},
    "claim": None,
}


def _urls(told: dict[str, Any]) -> list[str]:
    """What this host may fetch, the artefact first."""
    places = (
        told.get("source"),
        *(told.get(name, {}).get("place") for name in ("checksums", "signature", "provenance")),
    )
    return [place for place in places if place and is_url(place)]


def request(values: dict[str, Any]) -> intake.Request:
    """What to take in: the controller's half of this module has put it into the text `intake` of the sealed part."""
    told = values["intake"]
    for option in ("max_size", "fetch_timeout"):
        if not 0 < values[option] < math.inf:
            raise SlipwayError("invalid_limit", f"release_{option} is {values[option]}.", "give a number above 0")
    return intake.Request(
        name=values["name"],
        label=values["src"],
        source=told.get("source", ""),
        uploaded=values["uploaded"],
        digest=values["digest"],
        size=values["size"],
        goarch=values["goarch"],
        binary=values["binary"],
        checksums=intake.Text(**told.get("checksums", {})),
        signature=intake.Text(**told.get("signature", {})),
        signed=values["signature_of"],
        trust=Trust(
            tuple(values["minisign_keys"]),
            told.get("allowed_signers", ""),
            values["signer"],
            values["signature_namespace"],
        ),
        rules=artefact.Rules(
            values["version"],
            values["policy"],
            told.get("denylist", ""),
            values["policy"]["denylist"] or "",
            values["policy"]["version_binding"],
            told.get("vulnerabilities", ""),
        ),
        sha512=told.get("sha512", ""),
        provenance=intake.Text(**told.get("provenance", {})),
        provenance_policy=Policy(
            *(tuple(values["policy"][f"provenance_{what}"]) for what in ("builder", "repository", "ref"))
        ),
        built=tuple(binding.recorded(told.get("built")) or ()),
        limits=Limits(values["max_size"] << 20, values["fetch_timeout"]),
        headers=parse_headers(values["fetch_headers"], _urls(told)),
    )


def _built(values: dict[str, Any], wish: intake.Request) -> Optional[Built]:
    """How the artefact was built, as far as a manifest beside it says; of a URL, none is fetched."""
    if values["build_host"]:
        return Built(**values["build_host"])
    return read_built(wish.source) if wish.source and not is_url(wish.source) else None


def _foresee(engine: Engine, lease: str, predict: Callable[[], Outcome]) -> Outcome:
    """What the release would do; what speaks against it comes with what a plan says of this host."""
    objection = engine.lease_objection() if lease != TELL else None
    try:
        outcome = predict()
        if objection is not None:
            raise ProblemsError([Problem.of(objection)], **objection.details)
        if lease == TAKE and outcome.action != "upload":  # else the controller asks once more, with the artefact
            engine.take_lease()
    except SlipwayError as error:
        if objection is not None and error.code != objection.code:
            against = error.problems if isinstance(error, ProblemsError) else [Problem.of(error)]
            details = {name: told for name, told in error.details.items() if name != "problems"}
            error = ProblemsError([*against, Problem.of(objection)], **{**details, **objection.details})
        error.details.setdefault("plan", engine.plan())
        raise error
    return outcome


def work(module: AnsibleModule) -> dict[str, Any]:
    values = {**module.params, **UNSEALED, **json.loads(module.params["sealed"] or "{}")}
    settings = options.settings(values)
    spec = Spec(
        version=values["version"],
        strategy=values["strategy"],
        artefact=Artefact("", 0),
        group=values["group"] or values["name"],
        environment=values["environment"],
        listen=values["listen"],
        more_listen=values["more_listen"],
        rehearsal=values["rehearsal"],
        force=values["force"],
        configured=values["configured"],
        smoke=values["smoke"],
        smoke_timeout=values["smoke_timeout"],
        tool=values["tool"],
        run=values["run"],
        once=Once(**values["once"]),
        hold=values["hold"],
    )
    engine = Engine(settings, by=values["by"], claim=parse_claim(values["claim"]))
    act = intake.predict if module.check_mode else intake.release
    wish, layout = request(values), Layout(settings.name, settings.root)
    abilities = Abilities(**values["abilities"]) if values["abilities"] else None
    comparison = Comparison(_built(values, wish), read_fingerprint(), read_cpu())
    notices: list[Problem] = []

    def spec_of(artefact: Artefact) -> Spec:
        wanted = replace(spec, artefact=artefact)
        differences = comparison.differences(artefact.sha256)
        notices.extend(preflight.notices(wanted, layout, settings, abilities, differences))
        doubts = (
            (preflight.stale(wanted, layout, values["expected"]), values["stale_configuration"]),
            (preflight.downgrade(wanted.version, layout), values["downgrade"]),
        )
        against = [doubt for doubt, setting in doubts if doubt is not None and setting == "refuse"]
        if against:
            raise ProblemsError(against, current=layout.current_id())
        notices.extend(doubt for doubt, setting in doubts if doubt is not None and setting == "warn")
        for notice in notices:  # at once, for a failure has no other results
            module.warn(str(notice))
        return wanted

    with comparison.told_of_failures():
        if module.check_mode:
            outcome = _foresee(engine, values["lease"], lambda: act(wish, spec_of, engine, layout))
        else:
            outcome = act(wish, spec_of, engine, layout)
    result = {**outcome.as_dict(), "once": outcome.once, "diff": outcome.diff()}
    if outcome.timeline is not None:  # the other half of this module keeps it out of the result
        result["timeline"] = outcome.timeline
    result["notices"] = [notice._asdict() for notice in notices]
    result.update(comparison.result)
    if module.check_mode or outcome.action == "upload":
        result["plan"] = engine.plan()
    for text in outcome.warnings:
        module.warn(text)
    if not wish.source and outcome.needs_judgement(module.check_mode):
        result["host_profile"] = collect_host_profile().as_dict()
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "src": {"type": "raw", "required": True},
            "remote_src": {"type": "bool", "default": False},
            "binary": {"type": "str", "default": ""},
            "checksum": {"type": "raw"},
            "signature": {"type": "raw"},
            "provenance": {"type": "raw"},
            "signature_of": {"type": "str", "choices": list(intake.SIGNED), "default": "artefact"},
            "minisign_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "allowed_signers": {"type": "path"},
            "signer": {"type": "str", "default": ""},
            "signature_namespace": {"type": "str", "default": "file"},
            "max_size": {"type": "int", "default": 1024},
            "fetch_timeout": {"type": "float", "default": 300},
            "fetch_headers": {"type": "dict", "default": {}, "no_log": True},
            "strategy": {"type": "str", "choices": list(STRATEGIES), "default": STRATEGIES[0]},
            "group": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            "sealed": {"type": "str", "no_log": True},
            "listen": {"type": "list", "elements": "str", "default": []},
            "more_listen": {"type": "list", "elements": "str", "default": []},
            "rehearsal": {"type": "str", "default": ""},
            "policy": {"type": "dict", "default": {}, "options": POLICY},
            "smoke": {"type": "list", "elements": "list", "default": []},
            "smoke_timeout": {"type": "float", "default": 30},
            "once": {"type": "dict", "default": {}, "options": ONCE},
            "force": {"type": "bool", "default": False},
            "configured": {"type": "bool", "default": True},
            "stale_configuration": {"type": "str", "choices": ["warn", "refuse"], "default": "warn"},
            "downgrade": {"type": "str", "choices": ["warn", "refuse", "accept"], "default": "warn"},
            "run": {"type": "str", "default": ""},
            "hold": {"type": "float", "default": 0},
            "by": options.BY,
            "reason_required": {"type": "bool", "default": False},
            "role_variables": {"type": "bool", "default": False},
            "report": {"type": "bool", "default": False},
            "compare": {"type": "raw"},
            "freeze": {"type": "raw"},
            "break_glass": {"type": "str", "default": ""},
            "lease": {"type": "str", "choices": [REQUIRE, TAKE, TELL], "default": REQUIRE},
            "lease_time": {"type": "float", "default": 0},
            "end_lease": {"type": "str", "default": ""},
            **options.argument_spec(),
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
