#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: confirm_login
short_description: Prove with fresh logins that a host can still be administered, and only then let a change stand
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Opens new SSH connections from the controller, with the host's own connection variables and never through a
    connection that is already open, and runs C(sudo) on each.
  - With O(token), the last login that has full sudo also confirms the change; if a login fails, the change is taken
    back over the connection that is still open, or by the host itself at its deadline.
  - Passwords of SSH are not used, so that the proof is one of keys. The user of the host's own connection may need a
    password for sudo, which is then C(ansible_become_password); every other user has to be allowed without one.
  - It works through jump hosts, with other ports, with keys in files and in an agent, and without a terminal.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
    details:
      - No login is made, because what it would prove is not there yet.
  diff_mode:
    support: none
options:
  name:
    description:
      - The name of the armed change.
    type: str
  token:
    description:
      - The token of the armed change. Without one, the logins are made and nothing is confirmed.
    type: str
  logins:
    description:
      - Who has to be able to log in. By default the user of the host's own connection.
    type: list
    elements: dict
    default: []
    suboptions:
      user:
        description:
          - The user.
        type: str
        required: true
      sudo:
        description:
          - What C(sudo) has to allow. V(full) is everything, V(limited) is what O(logins[].command) says, V(none) is
            a login without sudo. The user C(root) needs none.
        type: str
        choices: [full, limited, none]
        default: full
      command:
        description:
          - A command that C(sudo -l) must list, with V(limited).
        type: list
        elements: str
        default: []
  connection_user:
    description:
      - Whether the user of the host's own connection has to be able to log in and to become root, too. Where the
        inventory names none, it is the one that C(ssh_config) says.
    type: str
    choices: [never, unless_root, always]
    default: never
  administrator:
    description:
      - Whether one of the logins must be able to administer the host, which is root or has full sudo. With O(token) one
        always must.
    type: bool
    default: false
  port:
    description:
      - The port to prove. By default the one of the host's own connection.
    type: int
  same_key:
    description:
      - Whether the machine has to show the host key that C(known_hosts) has for the host's own port. With O(port), it
        is then no other machine behind the same port forward. A host without such a key is refused.
    type: bool
    default: false
  timeout:
    description:
      - Seconds within which every login must have worked. Failed ones are tried again, as sshd may be reloading.
        No connection is waited for any longer than this, or 10 seconds.
      - Keep it below the C(ControlPersist) of your C(ssh_args), which is 60 seconds by default. Ansible closes the open
        connection then, and only the host itself could take the change back.
    type: float
    default: 20
seealso:
  - module: slipway.go.deadman
"""

EXAMPLES = r"""
- name: Prove that deploy can log in and become root, and let the change of sshd stand
  slipway.go.confirm_login:
    name: ssh
    token: "{{ changed.token }}"
    port: 2222
    logins:
      - user: deploy
"""

RETURN = r"""
logins:
  description: The logins that were made.
  returned: success
  type: list
  elements: dict
  contains:
    user:
      description: The user.
      type: str
      sample: deploy
    sudo:
      description: What was proven of C(sudo).
      type: str
      sample: full
    seconds:
      description: How long it took.
      type: float
      sample: 0.31
  sample:
    - user: deploy
      sudo: full
      seconds: 0.31
connection_user:
  description: The user of the host's own connection.
  returned: success
  type: str
  sample: root
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: login_failed
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: install the key for deploy
reverted:
  description: Whether the change was taken back at once; otherwise the host does so at the deadline.
  returned: failure
  type: bool
  sample: true
"""

# The work is done by the action plugin of this name, on the controller.
