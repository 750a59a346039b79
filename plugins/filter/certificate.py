# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate
short_description: What speaks against serving a certificate
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Judges a PEM file with a certificate, its chain and its private key on the controller, before a host has it.
  - Needs C(cryptography), which ansible-core brings.
options:
  _input:
    description: The text of the file.
    type: str
    required: true
  names:
    description: Host names that it has to be for. A pattern that no certificate can have is not compared.
    type: list
    elements: str
    default: []
  check_chain:
    description: Whether each certificate has to be issued by the one that follows, and a public authority's to follow.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Refuse a certificate that no client would take
  ansible.builtin.assert:
    that: certificate.problems == []
    fail_msg: "{{ certificate.problems | join('; ') }}"
  vars:
    certificate: "{{ lookup('ansible.builtin.file', 'shop.pem') | slipway.go.certificate(['shop.example.com']) }}"
"""

RETURN = r"""
_value:
  description:
    - C(problems), sentences without a full stop, empty where all is well.
    - C(days), until the first certificate of the file ends; V(null) where it cannot be read.
    - C(host), a host that the certificate is for; V(null) where it says none.
  type: dict
  sample:
    problems: [it ended on 2026-03-02 14:11 UTC]
    days: -3.1
    host: shop.example.com
"""

import datetime
from typing import Any, Callable, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._input.certificate import judge


def certificate(text: Any, names: Sequence[str] = (), check_chain: bool = True) -> dict[str, Any]:
    if not isinstance(text, str):
        raise AnsibleFilterError(f"a certificate must be the text of a PEM file, not {type(text).__name__}")
    now = datetime.datetime.now(datetime.timezone.utc)
    return judge(text.encode(errors="replace"), [str(name) for name in names], check_chain, now)._asdict()


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"certificate": certificate}
