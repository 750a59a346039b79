# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directives of a service's section, and the role's variable that one comes from. PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Sequence

# Those of systemd 257. An older one ignores what it does not know yet, with a warning.
_NAMES = """
    AllowedCPUs AllowedMemoryNodes AmbientCapabilities AppArmorProfile BPFProgram BindLogSockets BindPaths
    BindReadOnlyPaths BlockIOAccounting BlockIODeviceWeight BlockIOReadBandwidth BlockIOWeight
    BlockIOWriteBandwidth BusName BusPolicy CPUAccounting CPUAffinity CPUQuota CPUQuotaPeriodSec
    CPUSchedulingPolicy CPUSchedulingPriority CPUSchedulingResetOnFork CPUShares CPUWeight CacheDirectory
    CacheDirectoryMode Capabilities CapabilityBoundingSet ConfigurationDirectory ConfigurationDirectoryMode
    CoredumpFilter CoredumpReceive DefaultMemoryLow DefaultMemoryMin DefaultStartupMemoryLow Delegate
    DelegateSubgroup DeviceAllow DevicePolicy DisableControllers DynamicUser Environment EnvironmentFile
    ExecCondition ExecPaths ExecReload ExecSearchPath ExecStart ExecStartPost ExecStartPre ExecStop ExecStopPost
    ExitType ExtensionDirectories ExtensionImagePolicy ExtensionImages FailureAction FileDescriptorStoreMax
    FileDescriptorStorePreserve FinalKillSignal Group GuessMainPID IOAccounting IODeviceLatencyTargetSec
    IODeviceWeight IOReadBandwidthMax IOReadIOPSMax IOSchedulingClass IOSchedulingPriority IOWeight
    IOWriteBandwidthMax IOWriteIOPSMax IPAccounting IPAddressAllow IPAddressDeny IPCNamespacePath
    IPEgressFilterPath IPIngressFilterPath IgnoreSIGPIPE ImportCredential InaccessibleDirectories
    InaccessiblePaths KeyringMode KillMode KillSignal LimitAS LimitCORE LimitCPU LimitDATA LimitFSIZE LimitLOCKS
    LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO LimitRTTIME LimitSIGPENDING
    LimitSTACK LoadCredential LoadCredentialEncrypted LockPersonality LogExtraFields LogFilterPatterns
    LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec LogsDirectory LogsDirectoryMode
    ManagedOOMMemoryPressure ManagedOOMMemoryPressureDurationSec ManagedOOMMemoryPressureLimit
    ManagedOOMPreference ManagedOOMSwap MemoryAccounting MemoryDenyWriteExecute MemoryHigh MemoryKSM MemoryLimit
    MemoryLow MemoryMax MemoryMin MemoryPressureThresholdSec MemoryPressureWatch MemorySwapMax MemoryZSwapMax
    MemoryZSwapWriteback MountAPIVFS MountFlags MountImagePolicy MountImages NFTSet NUMAMask NUMAPolicy NetClass
    NetworkNamespacePath Nice NoExecPaths NoNewPrivileges NonBlocking NotifyAccess OOMPolicy OOMScoreAdjust
    OpenFile PAMName PIDFile PassEnvironment PermissionsStartOnly Personality PrivateDevices PrivateIPC
    PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp PrivateUsers ProcSubset ProtectClock
    ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules
    ProtectKernelTunables ProtectProc ProtectSystem ReadOnlyDirectories ReadOnlyPaths ReadWriteDirectories
    ReadWritePaths RebootArgument ReloadSignal RemainAfterExit RemoveIPC Restart RestartForceExitStatus
    RestartKillSignal RestartMaxDelaySec RestartMode RestartPreventExitStatus RestartSec RestartSteps
    RestrictAddressFamilies RestrictFileSystems RestrictNamespaces RestrictNetworkInterfaces RestrictRealtime
    RestrictSUIDSGID RootDirectory RootDirectoryStartOnly RootEphemeral RootHash RootHashSignature RootImage
    RootImageOptions RootImagePolicy RootVerity RuntimeDirectory RuntimeDirectoryMode RuntimeDirectoryPreserve
    RuntimeMaxSec RuntimeRandomizedExtraSec SELinuxContext SecureBits SendSIGHUP SendSIGKILL SetCredential
    SetCredentialEncrypted SetLoginEnvironment Slice SmackProcessLabel SocketBindAllow SocketBindDeny Sockets
    StandardError StandardInput StandardInputData StandardInputText StandardOutput StartLimitAction
    StartLimitBurst StartLimitInterval StartupAllowedCPUs StartupAllowedMemoryNodes StartupBlockIOWeight
    StartupCPUShares StartupCPUWeight StartupIOWeight StartupMemoryHigh StartupMemoryLow StartupMemoryMax
    StartupMemorySwapMax StartupMemoryZSwapMax StateDirectory StateDirectoryMode SuccessExitStatus
    SupplementaryGroups SysVStartPriority SyslogFacility SyslogIdentifier SyslogLevel SyslogLevelPrefix
    SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog TTYColumns TTYPath TTYReset
    TTYRows TTYVHangup TTYVTDisallocate TasksAccounting TasksMax TemporaryFileSystem TimeoutAbortSec
    TimeoutCleanSec TimeoutSec TimeoutStartFailureMode TimeoutStartSec TimeoutStopFailureMode TimeoutStopSec
    TimerSlackNSec Type UMask USBFunctionDescriptors USBFunctionStrings UnsetEnvironment User UtmpIdentifier
    UtmpMode WatchdogSec WatchdogSignal WorkingDirectory
    """
KNOWN = frozenset(_NAMES.split())
# What the role service writes itself, by the variable that decides it.
_WRITTEN = {
    "service_arguments": ("ExecStart",),
    "service_backlog": ("Backlog",),
    "service_credentials": ("LoadCredential",),
    "service_description": ("Description",),
    "service_drain_timeout": ("TimeoutStopSec",),
    "service_group": ("Group", "SocketGroup"),
    "service_listen": ("ListenStream",),
    "service_rehearsal_limit": ("RuntimeMaxSec",),
    "service_restart": ("Restart",),
    "service_restart_delay": ("RestartSec",),
    "service_root": ("WorkingDirectory",),
    "service_start_timeout": ("TimeoutStartSec",),
    "service_type": ("Type",),
    "service_user": ("User", "SocketUser"),
}
_WRITERS = {name: variable for variable, names in _WRITTEN.items() for name in names}
_ALIKE = 0.8


def nearest(name: str) -> str:
    """The directive that a misspelt one is most like; empty where systemd knows it, or none is like it."""
    import difflib  # only the controller asks this, and the tool on the host is to start fast

    if name in KNOWN or name.startswith("X-"):
        return ""
    same = next((one for one in KNOWN if one.lower() == name.lower()), "")
    return same or next(iter(difflib.get_close_matches(name, sorted(KNOWN), 1, _ALIKE)), "")


def name_of(line: str) -> str:
    """The directive of a unit's line."""
    found = re.match(r"\s*([A-Za-z0-9-]+)\s*=", line)
    return found.group(1) if found else ""


def variable_of(name: str, given: Mapping[str, Sequence[str]]) -> Optional[str]:
    """The role's variable that has brought a directive. given: the directives of each variable, the first one wins."""
    return next((variable for variable, names in given.items() if name in names), _WRITERS.get(name))
