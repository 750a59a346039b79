#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: notice
short_description: Tell others how a run stands
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Sends a notice of the run to every place in C(slipway_notices) that wants its event, to all of them at the same
    time. The role C(slipway.go.release) does this by itself; a task of your own may tell that the run waits for
    somebody.
  - One that cannot be delivered is a warning, and is in the result. It never fails the task.
  - Runs on the controller and asks no host.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
    details: It sends nothing, and says what it would send.
  diff_mode:
    support: none
options:
  event:
    description:
      - How the run stands. V(ended) becomes C(finished), C(rolled_back) or C(failed), by how its hosts have ended.
      - V(started) is sent once in a run.
    type: str
    choices: [started, batch_done, waiting, ended]
    required: true
  text:
    description:
      - What the notice says in words, after the names of the services. It says it in words of its own by default.
    type: str
    default: ""
  playbook:
    description:
      - The playbook that runs.
    type: str
    default: release
  refused:
    description:
      - Whether the run ends before anything was changed.
    type: bool
    default: false
seealso:
  - module: slipway.go.run_stats
"""

EXAMPLES = r"""
- name: Tell others that the run waits
  slipway.go.notice:
    event: waiting
    text: the database administrator is to look at the migration.
  run_once: true

- name: Wait for somebody
  ansible.builtin.pause:
    prompt: Press Enter to go on
"""

RETURN = r"""
sent:
  description: Which notice was delivered to which place.
  returned: always
  type: list
  elements: str
  sample: [started to chat]
undelivered:
  description: What was not delivered, and why.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name of the entry.
      type: str
      sample: chat
    event:
      description: The event of the notice.
      type: str
      sample: started
    code:
      description: Why, in a word.
      type: str
      sample: status
    why:
      description: Why, in words. Neither the path of a URL nor an answer is in it.
      type: str
      sample: https://chat.example.com answered 500
  sample:
    - name: chat
      event: started
      code: status
      why: https://chat.example.com answered 500
would_send:
  description: What would have been sent.
  returned: in check mode
  type: list
  elements: str
  sample: [started to chat (webhook)]
notices:
  description: The notices as they were written.
  returned: when they could be written
  type: list
  elements: dict
  sample:
    - event: started
      text: "shop 2.0.0: the release begins on 3 hosts."
"""
