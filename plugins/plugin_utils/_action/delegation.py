# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action that has another one do a part of its work. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


def delegate(
    action: ActionBase, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None
) -> dict[str, Any]:
    """Run the action plugin of that name with these arguments, on the same host and as the same task."""
    task = action._task.copy()
    task.args = arguments
    other = action._shared_loader_obj.action_loader.get(
        name,
        task=task,
        connection=action._connection,
        play_context=action._play_context,
        loader=action._loader,
        templar=action._templar,
        shared_loader_obj=action._shared_loader_obj,
    )
    answer: dict[str, Any] = other.run(task_vars=task_vars)
    return answer
