# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module's work and turns every failure into fail_json. This file is PRIVATE to the collection."""

from __future__ import annotations

import traceback
from typing import Any, Callable, Dict

from ansible.module_utils.basic import AnsibleModule

from ._core.errors import SlipwayError

Work = Callable[[AnsibleModule], Dict[str, Any]]


def run(module: AnsibleModule, work: Work) -> None:
    """Exit the module with what work returns, or fail with a message and a code, never with a traceback."""
    try:
        result = work(module)
    except SlipwayError as error:
        module.fail_json(msg=str(error), code=error.code, fix=error.fix, **error.details)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        module.fail_json(msg=f"{error.strerror or error}{where}", code="os_error", fix="")
    except Exception as error:
        module.fail_json(
            msg=f"slipway.go has a defect: {type(error).__name__}: {error}",
            code="defect",
            fix="run again with -vvv, and report what it says",
            exception=traceback.format_exc(),
        )
    else:
        module.exit_json(**result)
