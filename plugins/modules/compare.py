#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compare
short_description: Compare the hosts that have a new release with those that have not yet
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Asks Prometheus, or the load balancers in front of the hosts, what was counted of the hosts of this batch and of
    those of later batches, until the evidence says that the new release is worse, or the time is over. The role
    C(slipway.go.release) does this after each batch where C(release_compare) is set.
  - It compares counts with a sequential test, which may be looked at all the time. The probability that it calls a
    release worse that is as good as the one before is at most 1 % for each batch.
  - A release that is worse is no failure of the task, because a failure with C(run_once) would be one of every host of
    the batch, for Ansible. RV(against) says which hosts it speaks against.
  - Does nothing where no host of the batch has got a new release, or all later ones have it.
  - Runs on the controller. Use it with C(run_once). It asks no host but the load balancers, and needs a turn of a loop
    for each of them, delegated to it, as the filter P(slipway.go.comparison_hosts#filter) says. The last turn compares.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
    details: It does nothing.
  diff_mode:
    support: none
options:
  name:
    description:
      - The service.
    type: str
    required: true
  by:
    description:
      - Whom to ask what. Empty, it does nothing. The guide on fleets has an example.
      - C(url) of Prometheus; C(requests) and C(failures), queries for counters that have the label that tells hosts
        apart; C(durations), a query for the buckets of a histogram in seconds (none by default); C(label), the name of
        that label (C(instance)); C(time), how many seconds to compare (300), and C(interval), how many between two
        looks, at least those between two scrapes (15); C(headers) for the requests (none), and C(ca_file), the
        certificates by which to judge its own (those of the controller).
      - Or C(haproxy), the hosts of the inventory that run HAProxy; C(backend), the name of its backend (O(name)), and
        C(socket), that of HAProxy (C(/run/haproxy/admin.sock)); C(time), and C(interval) (5). Only failures are
        compared then, because HAProxy has no distribution of durations.
      - A host is what C(release_compare_name) says, or its name in the inventory; a port after it does not count.
    type: raw
    required: true
  preflight:
    description:
      - Whether only to see that the load balancers have such a backend. One that is away is no reason to fail.
    type: bool
    default: false
  max_errors:
    description:
      - Percentage points of failures that the new release may have more than the one before, 1 by default.
    type: raw
  max_latency_ratio:
    description:
      - How many times as long the requests of the new release may take, 2 by default. 0 does not compare durations.
    type: raw
  min_requests:
    description:
      - With fewer requests at the new release or at the one before, nothing is known. 50 by default.
    type: raw
  min_time:
    description:
      - Seconds that the comparison lasts at least. After that, it ends as soon as there is evidence that the new
        release is at most O(max_errors) percentage points worse. Empty, it lasts its whole time unless the release is
        worse.
    type: raw
  inconclusive:
    description:
      - Whether a release of which nothing is known goes on (V(accept), the default) or not (V(refuse)).
    type: raw
seealso:
  - module: slipway.go.release
"""

EXAMPLES = r"""
- name: Compare the batch with the hosts after it
  slipway.go.compare:
    name: shop
    by:
      url: https://prometheus.example.com
      requests: sum by (instance) (http_requests_total{job="shop"})
      failures: sum by (instance) (http_requests_total{job="shop", code=~"5.."})
      time: 120
  register: compared
  run_once: true

- name: Compare by what the load balancers have counted
  slipway.go.compare:
    name: shop
    by:
      haproxy: [balancer1, balancer2]
  loop: [balancer1, balancer2]
  delegate_to: "{{ item }}"
  register: compared
  run_once: true
"""

RETURN = r"""
compared:
  description: What was counted, and what follows from it; null where nothing was compared.
  returned: success
  type: dict
  contains:
    verdict:
      description: V(pass), V(inconclusive) or V(fail).
      type: str
      sample: pass
    reason:
      description: Why the verdict is not V(pass); empty where it is.
      type: str
      sample: ""
    seconds:
      description: How long the hosts were compared.
      type: float
      sample: 120.1
    early:
      description:
        - Why it ended before its time, because the release is good. C(evidence) is an e-value, and with 200 it is
          enough; C(at_most) are percentage points by which more requests fail than with the release before. Null where
          it did not.
      type: dict
      sample: {"evidence": 213.0, "at_most": 0.91}
    by:
      description: Who has counted, V(Prometheus) or V(HAProxy).
      type: str
      sample: Prometheus
    gaps:
      description:
        - Which load balancers have begun to count anew meanwhile, and how often. What they had counted since they were
          asked last is not known, and is neither a request nor a failure here.
      type: dict
      sample: {balancer1: 1}
    new:
      description: The hosts with the new release, how many requests they had and failed, and the p99 in milliseconds.
      type: dict
      sample: {"hosts": 1, "requests": 812, "failed": 0, "p99_ms": 25}
    old:
      description: The same of the hosts with the release before.
      type: dict
      sample: {"hosts": 9, "requests": 7201, "failed": 3, "p99_ms": 25}
against:
  description:
    - What speaks against the hosts of this batch that have got the release, C(code), C(msg) and C(service) by host.
      Empty where the release may stay.
  returned: success
  type: dict
  sample: {}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: invalid_compare
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: give requests, or leave release_compare empty
"""
