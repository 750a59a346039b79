#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: health_check
short_description: Checks whether services are healthy, in bounded time and without being fooled
version_added: 0.1.0
description:
  - Makes any number of checks side by side in one call and returns one result for each, always with the same keys.
  - O(checks[].timeout) is one monotonic deadline for everything an attempt does, from resolving the name over
    connecting and
    TLS to the last byte of the body. An attempt is over by then, whatever the other side does.
  - Proxies from the environment are never used and redirects not followed, unless asked for. A failed handshake, a
    wrong body or
    an answer by another process than the deployed one is a failure with its own RV(checks[].reason).
  - Reads only, and therefore does the same in check mode.
  - Uses the standard library of Python 3.8 or newer on the host, also for gRPC.
author:
  - Slipway maintainers (@slipway)
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  checks:
    description: The checks to make.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What the check is called in the result. Every check needs a name of its own.
          - Without it the check is called by its O(checks[].kind).
        type: str
      kind:
        description: What is checked.
        type: str
        required: true
        choices:
          http: An HTTP answer, over TCP or a unix socket.
          https: The same with TLS.
          tcp: A connection that is accepted and stays, or what comes back on it.
          unix: The same over a unix socket; with O(checks[].url) an HTTP answer over it.
          grpc: The standard service grpc.health.v1, over TCP or a unix socket, with or without TLS.
          exec: The exit status of a program on the host.
          systemd: State, restarts and watchdog of a unit.
          metrics: Error ratio and latency from two scrapes of a Prometheus text page.
      phase:
        description: What a good or bad answer means.
        type: str
        default: readiness
        choices:
          startup: Comes before all other checks. When one of these fails, the others are not attempted
            (RV(checks[].reason=skipped)).
          readiness: May the service have traffic? Given up after one failure, or at O(checks[].deadline) if there
            is one.
          liveness: Does a running service still live? O(checks[].fall) failures in a row say no.
      url:
        description:
          - What to ask for, with kinds V(http), V(https), V(metrics), and V(unix) when HTTP is spoken over the
            socket.
          - A user or password in it is refused; see O(checks[].authorization_file).
        type: str
      address:
        description:
          - Where to connect, with kinds V(tcp), V(unix) and V(grpc).
          - V(HOST:PORT), V([IPV6]:PORT), V(:PORT) on this host, the absolute path of a unix socket, or V(@NAME) for
            one in the
            abstract namespace.
          - With an O(checks[].url), also with kind V(metrics), only the connection goes there; names in the request
            stay those of the URL.
        type: str
      unix_socket:
        description: Path of the unix socket over which the O(checks[].url) is asked for.
        type: path
      family:
        description:
          - Address family to use. V(both) asks for a healthy answer over IPv4 and over IPv6.
          - The default is V(any), the first address that accepts.
        type: str
        choices: ["any", "4", "6", "both"]
      timeout:
        description:
          - Seconds one attempt may take in all.
          - The default is V(5), with kind V(metrics) O(checks[].metrics.window) more than that.
        type: float
      interval:
        description: Seconds from the start of one attempt to the start of the next.
        type: float
        default: 1.0
      initial_delay:
        description: Seconds before the first attempt.
        type: float
        default: 0.0
      rise:
        description: Good answers in a row that make a service healthy.
        type: int
        default: 1
      fall:
        description:
          - Bad answers in a row that make a service unhealthy, and end the check.
          - The default is V(3) in phase V(liveness). In the others it is V(1) without a O(checks[].deadline); with
            one, bad
            answers end nothing before it.
        type: int
      deadline:
        description: Seconds for the whole check with all its attempts. Without it O(checks[].rise) and
          O(checks[].fall) decide alone.
        type: float
      min_healthy_time:
        description:
          - Seconds a service has to stay healthy after it became so. Attempts go on meanwhile.
          - All the while every process that answered has to live on, with the same start time, and systemd may not
            have restarted
            the unit of O(checks[].identity.unit) or O(checks[].unit); otherwise the result is
              RV(checks[].reason=unstable).
        type: float
        default: 0.0
      max_latency:
        description: Seconds the good answers may take at most, over all attempts; above that the check fails.
        type: dict
        suboptions: &percentiles
          p50:
            description: The median.
            type: float
          p95:
            description: The 95th percentile, by nearest rank.
            type: float
          p99:
            description: The 99th percentile, by nearest rank.
            type: float
      warn_latency:
        description: The same, for a warning.
        type: dict
        suboptions: *percentiles
      identity:
        description:
          - Bind the answer to a release. The process that accepted the connection is found through the kernel's
            tables and C(/proc),
            and has to be the wanted one; otherwise the check fails with RV(checks[].reason=identity).
          - Reading which process holds a connection takes root.
          - A proxy, a container with a network of its own or another host cannot be bound to.
        type: dict
        suboptions:
          executable:
            description: Absolute path of the deployed file. The process has to run this very file, not one of the
              same name.
            type: path
          unit:
            description: The systemd unit the process has to belong to.
            type: str
          build_id:
            description: Go build id or GNU build id the running executable has to carry.
            type: str
          shared:
            description:
              - Another process accepts from the same socket, as the old and the new instance do during a swap.
              - An answer of that process then counts neither for nor against; the attempt connects again until the
                wanted one answers, with up to eight connections at a time.
            type: bool
      method:
        description: HTTP method. The default is V(GET).
        type: str
        choices: [GET, HEAD, POST, PUT, OPTIONS]
      headers:
        description:
          - Headers to send, with HTTP and gRPC.
          - They are shown in results and logs. For a secret see O(checks[].authorization_file).
        type: dict
      authorization_file:
        description: File on the host whose one line is sent as the C(Authorization) header.
        type: path
      status:
        description: HTTP statuses that are good, single or as ranges. The default is V(["200-299"]).
        type: list
        elements: str
      follow_redirects:
        description:
          - How many redirects to follow. The default is V(0).
          - None leads from https to http, away from a unix socket, or away from O(checks[].address).
        type: int
      proxy:
        description: HTTP proxy to use, as an V(http://HOST:PORT) URL.
        type: str
      max_body:
        description: Bytes of body to read; a larger one is RV(checks[].reason=body). The default is V(1048576).
        type: int
      body_contains:
        description: Text the body has to contain.
        type: str
      body_regex:
        description: Python regular expression that has to be found in the body.
        type: str
      assert_headers:
        description: What response headers have to be.
        type: list
        elements: dict
        suboptions:
          name:
            description: The header.
            type: str
            required: true
          equals:
            description: Its whole value.
            type: str
          matches:
            description: A regular expression that has to be found in its value.
            type: str
          exists:
            description: V(false) when the header must not be there.
            type: bool
      assert_json:
        description: What values of a JSON body have to be.
        type: list
        elements: dict
        suboptions:
          path:
            description:
              - Where the value is, such as V($.components.db.status), V($.list[0]) or V($['odd name']).
              - With a wildcard, as in V($.checks[*].status), there has to be a value, and each of them has to be
                right.
            type: str
            required: true
          equals:
            description: The value. V(true) is not V(1), and V("1") is not V(1).
            type: raw
          matches:
            description: A regular expression that has to be found in the value.
            type: str
          min:
            description: Least value of a number.
            type: float
          max:
            description: Greatest value of a number.
            type: float
          exists:
            description: V(false) when there must be no such value.
            type: bool
      preset:
        description:
          - A known kind of health page. It brings the path, where O(checks[].url) has none, and knows what the page
            means.
        type: str
        choices:
          healthz: The path is C(/healthz), the HTTP status says all.
          spring: The path is C(/actuator/health), a page of C(status) and C(components). C(UP) passes, C(UNKNOWN)
            warns.
          health_json: The path is C(/health), a page of type C(application/health+json). C(pass) passes, C(warn)
            warns.
      tls:
        description: Use TLS, with kinds V(tcp), V(unix) and V(grpc).
        type: bool
      validate_certs:
        description: Verify the server's certificate and name. The name has to be among the subject alternative names,
          as Go asks for it. The default is V(true).
        type: bool
      ca_file:
        description: File with the certificates of the authorities to trust, instead of the system's.
        type: path
      server_name:
        description: Name for SNI and for the certificate, where it is not the host of O(checks[].url) or
          O(checks[].address).
        type: str
      client_cert:
        description: File with the client certificate, PEM.
        type: path
      client_key:
        description: File with its key, where O(checks[].client_cert) does not hold it. A key with a passphrase is
          refused.
        type: path
      min_tls_version:
        description: Oldest TLS version to accept. The default is V(1.2).
        type: str
        choices: ["1.0", "1.1", "1.2", "1.3"]
      min_days:
        description: Days the server's certificate and all of its chain have to be valid still; below that the check
          fails. Before Python 3.10 only the server's own is seen.
        type: float
      warn_days:
        description: The same, for a warning.
        type: float
      send:
        description: Text to send once connected, with kinds V(tcp) and V(unix). Quote it doubly for C(\r\n).
        type: str
      expect:
        description: Text that has to be in the answer, or in the output with kind V(exec).
        type: str
      expect_regex:
        description: Regular expression that has to be found in the answer, or in the output with kind V(exec).
        type: str
      hold:
        description:
          - Seconds an accepted connection has to stay open when nothing is expected on it.
          - The kernel accepts for a process that then resets everything. The default is V(0.1).
        type: float
      service:
        description: Name of the gRPC service to ask about. The default is the empty name, which is the whole server.
        type: str
      command:
        description: Program and arguments for kind V(exec). No shell is used. When it ends, or at the timeout, all that
          it has started is killed, also what has left its process group.
        type: list
        elements: str
      warn_rc:
        description: Exit statuses that warn instead of failing.
        type: list
        elements: int
      unit:
        description: The unit for kind V(systemd). It has to be active or being reloaded, and its watchdog fed in time
          if it has one.
        type: str
      max_restarts:
        description: How often systemd may have restarted the unit by itself.
        type: int
      metrics:
        description: What to compare between two scrapes, with kind V(metrics). There has to be at least one
          threshold.
        type: dict
        suboptions:
          window:
            description: Seconds between the two scrapes. The default is V(2).
            type: float
          min_requests:
            description:
              - Requests the window has to show. With fewer the result is RV(checks[].reason=inconclusive) and never
                V(pass); attempts
                go on until O(checks[].deadline), with the window growing.
              - The default is V(20).
            type: float
          labels:
            description: Labels the samples have to carry.
            type: dict
          requests:
            description: Counter of requests with a label for the status, such as C(http_requests_total).
            type: str
          status_label:
            description:
              - The label. The default is V(code).
              - As long as a series lacks it, the result is RV(checks[].reason=inconclusive) and never V(pass).
            type: str
          errors:
            description:
              - Regular expression for the whole value of an error's label. The default is V(5..).
              - With the default, a value that is no HTTP status is RV(checks[].reason=inconclusive).
            type: str
          max_error_ratio:
            description: Part of the requests that may be errors, from 0 to 1; above that the check fails.
            type: float
          warn_error_ratio:
            description: The same, for a warning.
            type: float
          histogram:
            description: Histogram of latencies, such as C(http_request_duration_seconds).
            type: str
          quantile:
            description: Quantile to judge. The default is V(0.99).
            type: float
          max_quantile:
            description:
              - What the quantile may be at most, in the unit of the histogram; above that the check fails.
              - A quantile past the last finite bucket is above any threshold.
            type: float
          warn_quantile:
            description: The same, for a warning.
            type: float
  fail_on:
    description: The overall RV(state) that makes the task fail.
    type: str
    default: fail
    choices:
      fail: Only a failed check.
      warn: Also a warning.
      never: None; the caller looks at RV(state).
  keep_attempts:
    description: How many of the last attempts a failed check returns.
    type: int
    default: 5
notes:
  - A wait for a service is a check with O(checks[].deadline). A look at a service is one without.
  - Checks of phase V(startup) run side by side first, then all others side by side.
seealso:
  - module: ansible.builtin.uri
  - module: ansible.builtin.wait_for
"""

EXAMPLES = r"""
- name: The release that was just deployed answers, and goes on doing so
  slipway.go.health_check:
    checks:
      - name: ready
        kind: http
        url: http://127.0.0.1:8080/healthz
        deadline: 30
        interval: 0.5
        rise: 3
        min_healthy_time: 10
        identity:
          executable: /opt/shop/current/shop
          unit: shop.service

- name: Many endpoints of one host in one call
  slipway.go.health_check:
    checks:
      - name: started
        kind: systemd
        phase: startup
        unit: shop.service
        deadline: 20
      - name: page
        kind: https
        url: https://shop.example.com/
        address: 127.0.0.1:8443
        preset: spring
        warn_days: 14
        max_latency:
          p99: 0.5
      - name: orders
        kind: grpc
        address: /run/shop/grpc.sock
        service: shop.Orders
      - name: cache
        kind: tcp
        address: 127.0.0.1:6379
        send: "PING\r\n"
        expect: +PONG

- name: Look at the new release's own figures before going on
  slipway.go.health_check:
    checks:
      - name: soak
        kind: metrics
        url: http://127.0.0.1:8080/metrics
        deadline: 120
        metrics:
          window: 30
          min_requests: 100
          requests: http_requests_total
          max_error_ratio: 0.01
          histogram: http_request_duration_seconds
          max_quantile: 0.25
"""

RETURN = r"""
state:
  description: The worst state of all checks.
  returned: always
  type: str
  sample: pass
msg:
  description: One line for each check that does not pass.
  returned: always
  type: str
  sample: 'ready: 127.0.0.1:8080 refused the connection: nothing listens there (refused)'
checks:
  description: One result for each check, in the order asked for, always with the same keys.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The check's name.
      returned: always
      type: str
      sample: ready
    kind:
      description: The check's kind.
      returned: always
      type: str
      sample: http
    phase:
      description: The check's phase.
      returned: always
      type: str
      sample: readiness
    target:
      description: What was checked.
      returned: always
      type: str
      sample: http://127.0.0.1:8080/healthz
    state:
      description: V(pass), V(warn) or V(fail).
      returned: always
      type: str
      sample: fail
    reason:
      description:
        - Why, one of a closed list.
        - V(ok) healthy.
        - V(degraded) the service answers and calls itself degraded.
        - V(refused) nothing listens there, connection refused or no socket file.
        - V(unreachable) no route, no permission, or no address of the wanted family.
        - V(reset) the other side reset the connection or the stream, also by RST_STREAM or GOAWAY.
        - V(closed) the other side closed the connection before it had answered.
        - V(timeout) no complete answer within O(checks[].timeout).
        - V(dns) the name did not resolve, or not in time.
        - V(tls) handshake, certificate or protocol version.
        - V(protocol) the answer breaks the protocol that was spoken.
        - V(status) an HTTP status, gRPC status or health page that says not healthy.
        - V(body) the body is wrong, cut short, too large or not what it claims to be.
        - V(assertion) a header or JSON assertion does not hold.
        - V(latency) slower than the threshold.
        - V(identity) another process than the wanted one answered.
        - V(unstable) healthy at first, then not, or its process was replaced.
        - V(exec) the command could not run or its exit status says not healthy.
        - V(unit) the systemd unit is not in the wanted state.
        - V(metrics) error ratio or latency quantile over the threshold, or not in the Prometheus format.
        - V(inconclusive) too little traffic for a verdict, no such metric yet, or a page that does not show the errors.
        - V(skipped) not attempted, because a startup check failed.
        - V(error) the check itself could not be made on this host.
      returned: always
      type: str
      sample: refused
    message:
      description: The cause in one line.
      returned: always
      type: str
      sample: '127.0.0.1:8080 refused the connection: nothing listens there'
    attempts:
      description: Number of attempts made.
      returned: always
      type: int
      sample: 1
    elapsed:
      description: Seconds the whole check took.
      returned: always
      type: float
      sample: 0.004
    status:
      description: HTTP status, gRPC status code or exit status of the last attempt; null where there was none.
      returned: always
      type: int
      sample: 200
    latency:
      description:
        - Seconds each phase of the last attempt took (null where it was not reached), and percentiles of the time
          of all attempts
          with a good answer.
      returned: always
      type: dict
      sample:
        dns: 0.000019
        connect: 0.000042
        tls: null
        first_byte: 0.000131
        total: 0.000518
        p50: 0.000518
        p95: 0.000518
        p99: 0.000518
    process:
      description:
        - The process that answered last, where O(checks[].identity) or O(checks[].min_healthy_time) asks for it, or
          the unit's main
          process. Its values are null where it is not known.
      returned: always
      type: dict
      sample:
        pid: 4711
        started: 252916
        exe: /opt/shop/releases/1.4.2-0123456789/shop
        unit: shop.service
        build_id: abcdef/0123
    certificate_days:
      description: Days that the server's certificate and all of its chain are valid still; null without TLS.
      returned: always
      type: float
      sample: 71.4
    details:
      description: What the kind of check knows beyond that, such as the components of a health page that are not
        well.
      returned: always
      type: dict
      sample: {"status": "DOWN", "unhealthy": ["db (DOWN)"]}
    last_attempts:
      description: The last attempts of a check that failed, oldest first; empty for others.
      returned: always
      type: list
      elements: dict
      sample:
        - at: 0.0
          state: fail
          reason: refused
          message: '127.0.0.1:8080 refused the connection: nothing listens there'
          status: null
          total: 0.000183
          pid: null
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _module
from ..module_utils._health.kinds.assertions import PRESETS
from ..module_utils._health.kinds.fetch import METHODS
from ..module_utils._health.kinds.registry import KINDS
from ..module_utils._health.parsing import parse_checks
from ..module_utils._health.result import cause, overall
from ..module_utils._health.runner import run_all
from ..module_utils._health.spec.check import PHASES
from ..module_utils._health.spec.connection import FAMILIES, TLS_VERSIONS

FAILING = {"fail": ("fail",), "warn": ("fail", "warn"), "never": ()}


def _percentiles() -> dict[str, Any]:
    return {"type": "dict", "options": {name: {"type": "float"} for name in ("p50", "p95", "p99")}}


def _argument_spec() -> dict[str, Any]:
    text, path, number, whole, flag = ({"type": kind} for kind in ("str", "path", "float", "int", "bool"))
    metrics = dict.fromkeys(
        (
            "window",
            "min_requests",
            "max_error_ratio",
            "warn_error_ratio",
            "quantile",
            "max_quantile",
            "warn_quantile",
        ),
        number,
    )
    metrics.update(dict.fromkeys(("requests", "status_label", "errors", "histogram"), text))
    metrics["labels"] = {"type": "dict"}
    named = {"name": {"type": "str", "required": True}, "equals": text, "matches": text, "exists": flag}
    located = {
        "path": {"type": "str", "required": True},
        "equals": {"type": "raw"},
        "matches": text,
        "min": number,
        "max": number,
        "exists": flag,
    }
    check = {
        "name": text,
        "kind": {"type": "str", "required": True, "choices": list(KINDS)},
        "phase": {"type": "str", "default": "readiness", "choices": list(PHASES)},
        "url": text,
        "address": text,
        "unix_socket": path,
        "family": {"type": "str", "choices": list(FAMILIES)},
        "timeout": number,
        "interval": {"type": "float", "default": 1.0},
        "initial_delay": {"type": "float", "default": 0.0},
        "rise": {"type": "int", "default": 1},
        "fall": whole,
        "deadline": number,
        "min_healthy_time": {"type": "float", "default": 0.0},
        "max_latency": _percentiles(),
        "warn_latency": _percentiles(),
        "identity": {
            "type": "dict",
            "options": {"executable": path, "unit": text, "build_id": text, "shared": flag},
        },
        "method": {"type": "str", "choices": list(METHODS)},
        "headers": {"type": "dict"},
        "authorization_file": path,
        "status": {"type": "list", "elements": "str"},
        "follow_redirects": whole,
        "proxy": text,
        "max_body": whole,
        "body_contains": text,
        "body_regex": text,
        "assert_headers": {"type": "list", "elements": "dict", "options": named},
        "assert_json": {"type": "list", "elements": "dict", "options": located},
        "preset": {"type": "str", "choices": list(PRESETS)},
        "tls": flag,
        "validate_certs": flag,
        "ca_file": path,
        "server_name": text,
        "client_cert": path,
        "client_key": {"type": "path", "no_log": False},
        "min_tls_version": {"type": "str", "choices": list(TLS_VERSIONS)},
        "min_days": number,
        "warn_days": number,
        "send": text,
        "expect": text,
        "expect_regex": text,
        "hold": number,
        "service": text,
        "command": {"type": "list", "elements": "str"},
        "warn_rc": {"type": "list", "elements": "int"},
        "unit": text,
        "max_restarts": whole,
        "metrics": {"type": "dict", "options": metrics},
    }
    return {
        "checks": {"type": "list", "elements": "dict", "required": True, "options": check},
        "fail_on": {"type": "str", "default": "fail", "choices": list(FAILING)},
        "keep_attempts": {"type": "int", "default": 5},
    }


def _work(module: AnsibleModule) -> dict[str, Any]:
    results = run_all(parse_checks(module.params["checks"]))
    state = overall(results)
    lines = cause(results)
    return {
        "changed": False,
        "failed": state in FAILING[module.params["fail_on"]],
        "state": state,
        "msg": "; ".join(lines) if lines else f"{len(results)} of {len(results)} checks pass",
        "checks": [result.as_dict(max(0, module.params["keep_attempts"])) for result in results],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=_argument_spec(), supports_check_mode=True)
    _module.run(module, _work)


if __name__ == "__main__":
    main()
