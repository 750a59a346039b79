"""Codes without a row: those that cannot be tried on a lab host, and those that nobody has tried, with reasons."""

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
    **_each("the lab's ssh would have to be one that does not know `ssh -G`.", "unknown_host"),
    **_each("the module brings the tool before it asks for it.", "no_tool"),
    **_each("no supported distribution has an OpenSSH of that age.", "no_ssh_keygen"),
}
_ACCESS = (
    "it needs a change of access that is armed or interrupted; `make lockout` makes such failures without their fix."
)
_NETWORK = "it needs a network that is cut; `make fleet` cuts it and compares the next run without the fix's text."
_BUILD = "it needs modules of others, keys, or a source that is made for it."
_PROXY = "it needs HAProxy and users' requests."
_SWAP = "it needs a release that fails in a phase of its own; `make faults` makes such failures without their fix."
_STRATEGY = "it needs a service of another strategy."
_ROLE = "it needs a playbook of its own."
_DIAGNOSIS = "`make diagnosis` makes most of these failures without their fix."

NOT_YET: dict[str, str] = {
    **_each(
        _ACCESS,
        "changed_meanwhile already_armed invalid_argument invalid_argv invalid_seconds login_failed no_administrator"
        " no_sudo not_armed not_confirmed not_reverted not_ssh"
        " reverted overridden not_in_force other_firewall unknown_zone not_asked",
    ),
    **_each(_NETWORK, "no_answer unreachable unconfirmed too_late taken_back not_waiting"),
    **_each(
        _BUILD,
        "build_not_reproducible build_not_signed build_offline build_outside_source packed",
    ),
    **_each(
        _PROXY,
        "canary_failed front_failed inconclusive no_slot not_proxied other_front probe_failed proxy_unexpected"
        " proxy_unreachable proxy_down",
    ),
    **_each(
        _SWAP,
        "config_changed crashed interrupted not_answered not_committed not_proven not_purged not_removed not_started"
        " not_utf8 refused smoke_failed rollback_failed socket_not_inherited start_timeout still_running"
        " unhealthy unhealthy_in_soak units_not_restored release_in_flight command_failed command_timeout os_error",
    ),
    **_each(
        "it needs a command that is run once; `make faults-simulated` breaks it at every effect.",
        "once_failed once_not_run once_unknown",
    ),
    **_each(
        _STRATEGY,
        "not_handed_over no_handover no_listen_fds no_notify_socket restart_ahead units_missing",
    ),
    **_each(
        _ROLE,
        "damaged_record missing_tasks no_verify no_group no_last_good no_release stale_configuration",
    ),
    **_each(
        _DIAGNOSIS,
        "dependency_certificate dependency_not_asked disk_almost_full health_warns no_descriptors not_ready_yet"
        " not_running port_closed start_failed",
    ),
    **_each(
        "the diagnosis names the end for some minutes more after the repair, and a row would have to wait for that.",
        "not_executed process_exited process_failed process_killed start_timed_out stop_timed_out watchdog_missed",
    ),
    **_each("it needs a service that is removed.", "archive_exists invalid_archive_path"),
    **_each(
        "nobody has written the row.",
        "policy_denied_licence vulnerability_database_too_large no_artefact_for_host invalid_src"
        " policy_prerelease lower_version invalid_provenance missing_provenance policy_provenance wrong_provenance",
    ),
}
