# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of the collection says about check mode, diff mode and platforms."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts what a real run would change, and changes nothing.
  diff_mode:
    description: Returns what changed, or in check mode would change, under C(diff).
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
"""

    # Of modules that look at what a change, as long as nobody has confirmed it, would show them.
    WAIT_FOR_CHANGES = r"""
options:
  wait_for_changes:
    description:
      - Names of changes that M(slipway.go.deadman) may have armed. While one of them is neither confirmed nor taken
        back, which its deadline ends, this waits before it looks at the host.
      - One that a crash has left without a timer is taken back, but not in check mode, where that is a failure.
    type: list
    elements: str
    default: []
"""

    # Options of the release engine that its modules share.
    ENGINE = r"""
options:
  name:
    description:
      - The service's name. It is also the name of its units, and by default of its user and of its directory.
      - Lower-case letters, digits, V(_) and V(-), a letter first, at most 31 characters.
    type: str
    required: true
  root:
    description:
      - The directory that holds the releases. Defaults to C(/opt/NAME).
    type: path
  health:
    description:
      - The health check that decides, an option set of M(slipway.go.health_check) such as C(url) and C(timeout).
      - Four keys set its pace, C(interval) (seconds between checks, 0.2), C(rise) (passes in a row that make it
        healthy, 2), C(fall) (failures in a row that end a soak, 3) and C(deadline) (seconds to become healthy, 30).
      - Only answers of the release's own process count, so that the old release cannot answer for the new one.
      - When empty, a release counts as healthy when systemd calls it active and it stays up through O(soak_time).
    type: dict
    default: {}
  probe:
    description:
      - What is asked from the host itself, at the address that users have, from just before the swap to the end of the
        soak. Failed requests and percentiles come back as RV(ignore:probe), and limits on them undo the release.
      - C(url), and any other option of M(slipway.go.health_check) for requests, such as C(status) and C(timeout), say
        what is asked. Without C(url), it is what O(health) asks, with what is given here in its place.
      - C(rate) is requests a second (20, at most 100, each on a connection of its own; 0 is no probe).
      - Each limit is held before the old release is drained, after it, and while the new one soaks. C(max_failed) is
        how many requests may fail, C(max_failed_percent) how many of a hundred (5), C(max_p99) the 99th percentile in
        seconds, and C(max_p99_ratio) how many times that of before the swap it may be. Those without a figure here are
        not set unless you set them.
      - What was as bad before the swap is not held against a release, and what fails while V(restart) has stopped the
        old one is only counted. In a rollback the probe measures and does not decide.
      - When empty, there is a probe where O(health) has a C(url).
    type: dict
    default: {}
  start_timeout:
    description:
      - Seconds the new release may take until systemd calls it active.
    type: float
    default: 60
  drain_timeout:
    description:
      - Seconds the old release may take to finish what it has begun.
    type: float
    default: 30
  drain_background:
    description:
      - Seconds that the old release may go on draining after its swap, beside the new one, where some of its
        connections are still open when O(drain_timeout) ends. With V(0), they are cut then.
      - With the strategies V(socket) and V(proxy). The host ends the old release when its users have left it, or when
        these seconds are over.
    type: float
    default: 0
  keep:
    description:
      - How many releases stay on the host. The current one, the last good one, and the one that a rollback would go to
        always do; of the others, those that were never good go first.
    type: int
    default: 5
  confirm:
    description:
      - Seconds in which a release must be confirmed after it has taken over and soaked; V(0) has it count at once.
      - The host sets a timer before the swap, for the longest that the swap may take and these seconds more. The
        controller confirms over a connection that it opens anew for that, and so proves that the host can still be
        reached. What nobody confirms is taken back by the host itself, also when the controller is gone; it is not
        marked bad, for it was healthy.
      - While a release waits, the same task run again confirms it, and so does C(sudo slipway confirm NAME) on the
        host. Another release, or a reboot, takes it back first.
      - There is nothing to confirm in a first release, which has nothing to go back to, and in a rollback.
      - SSH connections are opened anew. For other connection plugins, the host is asked once more over the same one.
    type: float
    default: 60
  soak_time:
    description:
      - Seconds the new release must serve in good health before it counts as the last good one.
    type: float
    default: 5
  proxy:
    description:
      - How the service is treated behind HAProxy, with the strategy V(proxy).
    type: dict
    default: {}
    suboptions:
      ports:
        description:
          - The two local ports that its releases use in turn. When empty, those that the host has reserved for the
            service.
        type: list
        elements: int
        default: []
      weights:
        description:
          - The shares of the requests, in percent, that a new release gets one after the other before it gets all, for
            example V([5, 25, 100]). After each, its health and the share of its failed requests decide. V(0) first is
            for the users of C(proxy_canary_for) alone, see the role P(slipway.go.proxy#role).
          - A rollback goes at once.
        type: list
        elements: int
        default: []
      step_time:
        description:
          - Seconds to stay at each of O(proxy.weights).
        type: float
        default: 30
      min_time:
        description:
          - Seconds that each of O(proxy.weights) and the soak last at least. After that, each ends as soon as its own
            requests of users are evidence that the new release is at most O(proxy.max_errors) percentage points worse
            than the old one. A release that is worse than that ends one early with a probability of at most 0.5 %.
          - Without it, each lasts O(proxy.step_time), and the soak O(soak_time).
        type: float
      max_errors:
        description:
          - By how many percentage points more of the users' requests may fail at the new release than at the old one.
            An answer 5xx, a connection that is refused and an answer that breaks off count as failed. Judged every
            second, at each of O(proxy.weights) and in the soak, with at most 1 % false alarms over the whole release.
        type: float
        default: 1
      max_latency_ratio:
        description:
          - How many times as long as at the old release users' requests may take while both serve; V(0) for as long as
            they like.
        type: float
        default: 2
      min_requests:
        description:
          - With fewer users' requests at the new release, the verdict is C(inconclusive).
        type: int
        default: 50
      inconclusive:
        description:
          - What follows where the users' requests say neither that the release is good nor that it is bad. V(accept)
            goes on and says so in the result; V(refuse) goes back, without marking the release bad.
        type: str
        choices: [accept, refuse]
        default: accept
      slow:
        description:
          - What follows where nothing but the durations of users' requests (O(proxy.max_latency_ratio)) speaks against
            the new release. V(rollback) goes back. V(pause) leaves users where they are and waits for a person, who
            types C(sudo slipway resume NAME) or C(sudo slipway resume NAME --back) on the host. Anything else that
            goes wrong meanwhile goes back at once.
        type: str
        choices: [rollback, pause]
        default: rollback
      pause_time:
        description:
          - Seconds for which a paused release waits, 43200 at most. When they have passed, it goes back by itself.
        type: float
        default: 900
  lock_timeout:
    description:
      - Seconds to wait for another run that releases the same service on the same host.
    type: float
    default: 30
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This action does not modify state.
  diff_mode:
    support: N/A
    details:
      - This action does not modify state.
"""

    # Who asks for a release or a rollback.
    BY = r"""
options:
  by:
    description:
      - Who has asked for it, from where and why. The host keeps it in its history and sends it to its log, for people
        to read. Nothing depends on it. What is left out comes from the job of AWX or of the pipeline, or is the user on
        the controller.
    type: dict
    default: {}
    suboptions:
      person:
        description: Who.
        type: str
      controller:
        description: On which machine the run is.
        type: str
      job:
        description: The job that runs it, such as its number or address.
        type: str
      reason:
        description: Why, in a sentence.
        type: str
      break_glass:
        description: Why it is done although releases are frozen.
        type: str
"""
