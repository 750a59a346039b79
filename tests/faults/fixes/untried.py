"""Codes without a row, each with the reason why a lab host cannot have the failure.

A simulated host has nothing between such a failure and its fix that is the collection's own: the row would only hear
what it says itself.
"""

from __future__ import annotations


def _each(reason: str, codes: str) -> dict[str, str]:
    return dict.fromkeys(codes.split(), reason)


CANNOT: dict[str, str] = {
    **_each(
        "the fix asks for another build where the host's processor lacks something, which this one may have.",
        "cpu_level",
    ),
    **_each("the fix is another kernel, and a container has the kernel of its machine.", "kernel_too_old page_size"),
    **_each(
        "a container of the lab has no limit of memory or threads that the kernel keeps.",
        "out_of_memory host_memory_low no_threads",
    ),
    **_each("a container has the clock of its machine.", "clock_not_synchronised"),
    **_each("a container has no policy of SELinux or AppArmor of its own.", "access_denied"),
    **_each("it needs a network file system whose server hangs, which a container cannot mount.", "silent_disk"),
    **_each("it is a defect of the collection, and the fix asks for a report.", "defect"),
    **_each("the fix is another host.", "no_systemd no_timer"),
    **_each("the fix is another SSH server than the one that the lab logs in to.", "no_openssh no_sshd"),
    **_each("it needs a directory service.", "not_local"),
    **_each("the lab's controller is root, who may read every file.", "unreadable_artefact"),
    **_each(
        "the argument specification of the module refuses the value first; only other code of the collection meets it.",
        "invalid_proto invalid_inconclusive invalid_strategy invalid_stage invalid_account",
    ),
    **_each("the module would have to be called by other means than a task.", "not_rendered"),
    **_each("the collection would have to be installed without its source.", "no_source"),
    **_each("the module brings the tool before it asks for it.", "no_tool"),
    **_each("no supported distribution has an OpenSSH of that age.", "no_ssh_keygen"),
}
