"""Codes without a row, and fixes of other codes that no row has, each with the reason why none can be had.

A simulated host has nothing between such a failure and its fix that is the collection's own: the row would only hear
what it says itself.
"""

from __future__ import annotations


def _each(reason: str, codes: str) -> dict[str, str]:
    return dict.fromkeys(codes.split(), reason)


CANNOT: dict[str, str] = {
    **_each(
        "a container of the lab has no limit of memory or threads that the kernel keeps.",
        "out_of_memory host_memory_low no_threads",
    ),
    **_each("a container has the clock of its machine.", "clock_not_synchronised"),
    **_each("a container has no policy of SELinux or AppArmor of its own.", "access_denied"),
    **_each("it needs a network file system whose server hangs, which a container cannot mount.", "silent_disk"),
    **_each("it is a defect of the collection, and the fix asks for a report.", "defect"),
    **_each("the fix is another host.", "no_systemd no_timer"),
    **_each(
        "the argument specification of the module refuses the value first; only other code of the collection meets it.",
        "invalid_proto invalid_inconclusive invalid_strategy invalid_stage invalid_account",
    ),
    **_each("the module would have to be called by other means than a task.", "not_rendered"),
    **_each("the collection would have to be installed without its source.", "no_source"),
}

# Fixes, as table.texts() has them, of codes whose rows have other fixes.
TEXTS: dict[str, str] = {
    "use a host that runs systemd": CANNOT["no_systemd"],
    "repair the server or the disk behind {}": CANNOT["silent_disk"],
}


def reason(text: str, codes: set[str]) -> str:
    """Why no row has this fix; empty where none is given."""
    of_codes = dict.fromkeys(CANNOT.get(code, "") for code in sorted(codes))
    return TEXTS.get(text) or (" ".join(of_codes) if all(of_codes) else "")
