"""Why commands and flags of Docker are not here, and what to do instead: for errors, and docs/docker.md."""

from collections.abc import Mapping

_RANGES = "addresses of a network are given by the cluster, so that no node needs a range of its own"

# command -> reason
ABSENT: Mapping[str, str] = {}

# "flag", or "command --flag" where the reason is another one there -> reason
REASONS: Mapping[str, str] = {
    "isolation": "of Windows containers",
    "credential-spec": "of Windows containers",
    "external-ca": "signing by another authority is for the `ca` command alone: `ca --rotate --external-ca`",
    "device-cgroup-rule": "name the devices with `--device`",
    "link": "links are Docker's network before there were names; give `--network` and an alias",
    "link-local-ip": "addresses are the cluster's to give",
    "oom-kill-disable": "not with cgroup version 2",
    "runtime": "a node has one runtime: `swarmd --runtime`",
    "storage-opt": "containers write to the node's file system; quotas are not per container",
    "checkpoint": "containers are not frozen to disk",
    "checkpoint-dir": "containers are not frozen to disk",
    "config-only": _RANGES,
    "config-from": _RANGES,
    "ipam-opt": "the cluster gives addresses, and has no such options",
    "gw-priority": "the default route is always that of the node's own network",
    "cache-from": "the builder keeps its own cache",
    "platform": "a node takes what fits it",
    "network create --ipam-driver": "addresses are the cluster's to give",
    "network create --scope": "networks are the cluster's",
}


def reason_for(command: str, flag: str) -> str | None:
    """Return why a flag is not here; None where nobody wrote it down."""
    return REASONS.get(f"{command} --{flag}", REASONS.get(flag))


_ROUTED = "each address is routed by itself, as /32: there is no bridge, subnet or endpoint at its end"
_UNKEPT = "what whoever started it was attached to is not kept"
_UNPACKED = "images are unpacked by nodes, not by the managers that tell of them"
_OF_CONTAINERS = (
    *("AttachStderr", "AttachStdin", "AttachStdout", "Domainname", "Hostname"),
    *("Image", "OpenStdin", "StdinOnce", "Tty"),
)
_NEVER = "of Windows containers, or given up by kernels"

# command -> what `inspect` of Docker has and this one has not -> reason
UNTOLD: Mapping[str, Mapping[str, str]] = {
    "container inspect": {
        "ExecIDs": "commands in a container have no id here; they are in `container top`, and in events",
        "GraphDriver.Data.LowerDir": "layers are shared by images of a node, which alone knows their places",
        "Config.AttachStdin": _UNKEPT,
        "Config.AttachStdout": _UNKEPT,
        "Config.AttachStderr": _UNKEPT,
        "Config.OnBuild": "containers build nothing; `image inspect` has what the image says",
        "HostConfig.Cgroup": _NEVER,
        "HostConfig.ConsoleSize": _UNKEPT,
        "HostConfig.ContainerIDFile": "it is a file of whoever ran `run`, and their affair",
        "HostConfig.CpuCount": _NEVER,
        "HostConfig.CpuPercent": _NEVER,
        "HostConfig.CpuRealtimePeriod": "there are no bounds of real time",
        "HostConfig.CpuRealtimeRuntime": "there are no bounds of real time",
        "HostConfig.DeviceCgroupRules": REASONS["device-cgroup-rule"],
        "HostConfig.DeviceRequests": "devices by name are in `.Spec`",
        "HostConfig.IOMaximumBandwidth": _NEVER,
        "HostConfig.IOMaximumIOps": _NEVER,
        "HostConfig.Isolation": _NEVER,
        "HostConfig.KernelMemory": _NEVER,
        "HostConfig.KernelMemoryTCP": _NEVER,
        "HostConfig.Links": REASONS["link"],
        "HostConfig.Runtime": f"{REASONS['runtime']}; `info` tells it",
        "HostConfig.VolumeDriver": "it stands with each volume in `.Mounts`",
        "HostConfig.VolumesFrom": "the mounts that it brought stand in `.Mounts`",
        "NetworkSettings.Bridge": _ROUTED,
        "NetworkSettings.EndpointID": _ROUTED,
        "NetworkSettings.Gateway": _ROUTED,
        "NetworkSettings.GlobalIPv6Address": "it is in `.NetworkSettings.Networks`",
        "NetworkSettings.GlobalIPv6PrefixLen": _ROUTED,
        "NetworkSettings.HairpinMode": _ROUTED,
        "NetworkSettings.IPPrefixLen": _ROUTED,
        "NetworkSettings.IPv6Gateway": _ROUTED,
        "NetworkSettings.LinkLocalIPv6Address": REASONS["link-local-ip"],
        "NetworkSettings.LinkLocalIPv6PrefixLen": REASONS["link-local-ip"],
        "NetworkSettings.Networks.NAME.EndpointID": _ROUTED,
        "NetworkSettings.Networks.NAME.Gateway": _ROUTED,
        "NetworkSettings.Networks.NAME.GlobalIPv6PrefixLen": _ROUTED,
        "NetworkSettings.Networks.NAME.IPPrefixLen": _ROUTED,
        "NetworkSettings.Networks.NAME.IPv6Gateway": _ROUTED,
        "NetworkSettings.Networks.NAME.Links": REASONS["link"],
        "NetworkSettings.SandboxID": "`.NetworkSettings.SandboxKey` is all that there is of it",
        "NetworkSettings.SecondaryIPAddresses": "there are none",
        "NetworkSettings.SecondaryIPv6Addresses": "there are none",
    },
    "image inspect": {
        **dict.fromkeys((f"Config.{part}" for part in _OF_CONTAINERS), "it is of containers, not of images"),
        "Container": "builders keep no container",
        "ContainerConfig": "builders keep no container",
        "GraphDriver.Data.MergedDir": _UNPACKED,
        "GraphDriver.Data.UpperDir": _UNPACKED,
        "GraphDriver.Data.WorkDir": _UNPACKED,
        "GraphDriver.Name": _UNPACKED,
        "Metadata": "when a name was given is in `.UpdatedAt`, with other changes",
        "Parent": "builders keep no images between",
        "VirtualSize": "it is `.Size`, the size of the content as it is sent",
    },
}
