# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A filter refuses as the modules do, with a cause and a fix. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError


@contextlib.contextmanager
def refusal() -> Iterator[None]:
    try:
        yield
    except SlipwayError as error:
        raise AnsibleFilterError(str(error)) from None
