"""Containers as `inspect` shows them: in the words of Docker, which scripts have learned. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from google.protobuf.json_format import MessageToDict

from swarm.api.v1 import types_pb2 as t
from swarm.api.v1.containers_pb2 import (
    ContainerDetails,
    ContainerOutput,
    ContainerPlaces,
    ContainerSummary,
    ImageDefaults,
)
from swarm.api.v1.plain_pb2 import PlainContainer, PlainRestart
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.cli import names
from swarm.cli.container_filters import labels_of
from swarm.cli.container_table import ALIVE
from swarm.cli.inspect_view import when
from swarm.cli.render import ordered
from swarm.model.hardware_addresses import mac_in_force
from swarm.model.health import WORDS
from swarm.model.networks import BRIDGE
from swarm.model.volumes import anonymous_name

View = dict[str, Any]

_BOUND = frozenset({t.Mount.TYPE_BIND, t.Mount.TYPE_VOLUME})
_RATES = {
    "BlkioDeviceReadBps": "read_bps",
    "BlkioDeviceReadIOps": "read_iops",
    "BlkioDeviceWriteBps": "write_bps",
    "BlkioDeviceWriteIOps": "write_iops",
}
NEVER = "0001-01-01T00:00:00Z"  # what Docker writes for a moment that did not come


def details_view(found: ContainerDetails, node_id: str, node_names: Mapping[str, str]) -> View:
    """Return what `container inspect` prints; what Docker has no words for stands at the end."""
    one, spec = found.summary, found.spec
    plain = found.plain if one.plain else PlainContainer()
    labels = ordered(labels_of(ContainerOutput(node_id=node_id, container=one)))
    view: View = {
        "Id": one.id,
        "Created": when(plain.created_at if one.plain else one.created_at),
        "Path": next(iter(one.command), ""),
        "Args": list(one.command[1:]),
        "State": _state(one),
        "Image": plain.image_digest or spec.image_digest or one.image,
        "Name": f"/{one.name}",
        "RestartCount": plain.restarts,
        "Platform": "linux",
        "HostConfig": _host_config(spec, found.resources, plain),
        "Mounts": [mount_view(mount, one.id, found.places.sources) for mount in spec.mounts],
        "Config": _config(spec, plain, one, found.image) | {"Labels": labels},
        "NetworkSettings": _network_settings(one, plain) | {"SandboxKey": found.places.network},
        "Warnings": list(found.warnings),
        "ID": one.id,
        "Node": {"ID": node_id, "Hostname": node_names.get(node_id, node_id)},
    }
    if found.HasField("places"):
        view |= _places(found.places)
        view["HostConfig"] |= {
            "MaskedPaths": list(found.places.masked_paths),
            "ReadonlyPaths": list(found.places.readonly_paths),
        }
    if one.HasField("written_bytes"):
        view |= {"SizeRw": one.written_bytes, "SizeRootFs": one.total_bytes}
    if not one.plain:
        view["Task"] = {"ID": one.task_id, "Service": {"ID": one.service_id, "Name": one.service_name}}
    if found.HasField("spec"):
        view["Spec"] = MessageToDict(spec)
        view["Resources"] = MessageToDict(found.resources)
    return view


def _places(found: ContainerPlaces) -> View:
    """Return where its node has what belongs to a container; layers of images are not told."""
    folders = {"MergedDir": found.merged, "UpperDir": found.upper, "WorkDir": found.work}
    return {
        "ResolvConfPath": found.resolv_conf,
        "HostnamePath": found.hostname,
        "HostsPath": found.hosts,
        "LogPath": found.log,
        "Driver": found.storage_driver,
        "MountLabel": found.mount_label,
        "ProcessLabel": found.process_label,
        "AppArmorProfile": found.apparmor,
        "GraphDriver": {"Name": found.storage_driver, "Data": folders if found.merged else None},
    }


def _state(one: ContainerSummary) -> View:
    view: View = {
        "Status": one.state,
        "Running": one.state in ALIVE,
        "Paused": one.state == "paused",
        "Restarting": one.state == "restarting",
        "OOMKilled": one.oom_killed,
        "Dead": False,
        "Pid": one.pid,
        "ExitCode": one.exit_code,
        "Error": one.error,
        "StartedAt": when(one.started_at) if one.HasField("started_at") else NEVER,
        "FinishedAt": when(one.finished_at) if one.HasField("finished_at") else NEVER,
    }
    if one.health.state in WORDS:
        view["Health"] = {
            "Status": WORDS[one.health.state],
            "FailingStreak": one.health.failing_streak,
            "Log": [_probe(probe) for probe in one.health.log],
        }
    return view


def _probe(probe: t.HealthProbe) -> View:
    return {
        "Start": when(probe.started_at),
        "End": when(probe.ended_at),
        "ExitCode": probe.exit_code,
        "Output": probe.output,
    }


def _host_config(spec: ContainerSpec, resources: t.ResourceRequirements, plain: PlainContainer) -> View:
    condition = PlainRestart.Condition.Name(plain.spec.restart.condition).removeprefix("CONDITION_")
    view: View = {
        "Binds": [_bind(one) for one in spec.mounts if one.type in _BOUND and one.source],
        "LogConfig": {"Type": "json-file", "Config": _log_options(spec)},
        "NetworkMode": plain.spec.network
        or next((one.network_name for one in plain.spec.networks), "bridge"),
        "PortBindings": _bindings(plain.spec.ports),
        "RestartPolicy": {
            "Name": condition.lower().replace("_", "-"),
            "MaximumRetryCount": plain.spec.restart.max_retries,
        },
        "AutoRemove": plain.spec.auto_remove,
        "PublishAllPorts": plain.spec.publish_all,
    }
    return view | _confinement(spec) | _limits(spec, resources)


def _log_options(spec: ContainerSpec) -> View:
    log = spec.log
    view: View = {
        "env": ",".join(log.env),
        "labels": ",".join(log.labels),
        "max-file": str(log.max_files or ""),
        "max-size": str(log.max_size_bytes or ""),
        "tag": log.tag,
    }
    return {key: value for key, value in view.items() if value}


def _confinement(spec: ContainerSpec) -> View:
    return {
        "CapAdd": list(spec.capability_add),
        "CapDrop": list(spec.capability_drop),
        "CgroupnsMode": spec.namespaces.cgroup or "private",
        "Dns": list(spec.dns.nameservers),
        "DnsOptions": list(spec.dns.options),
        "DnsSearch": list(spec.dns.search),
        "ExtraHosts": [f"{one.name}:{one.address}" for one in spec.hosts],
        "GroupAdd": list(spec.groups),
        "IpcMode": spec.namespaces.ipc or "private",
        "PidMode": spec.namespaces.pid,
        "UTSMode": spec.namespaces.uts,
        "UsernsMode": spec.namespaces.userns,
        "Privileged": spec.privileges.privileged,
        "SecurityOpt": _security(spec.privileges) or None,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "Sysctls": dict(sorted(spec.sysctls.items())),
        "Tmpfs": {one.target: "" for one in spec.mounts if one.type == t.Mount.TYPE_TMPFS},
        "Devices": [
            {
                "PathOnHost": one.host_path,
                "PathInContainer": one.container_path or one.host_path,
                "CgroupPermissions": one.permissions or "rwm",
            }
            for one in spec.devices
            if one.host_path
        ],
        "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in spec.ulimits],
    }


def _security(wanted: t.Privileges) -> list[str]:
    """Return what was asked for with --security-opt, in its words."""
    modes = t.Privileges.Seccomp
    own = wanted.seccomp.mode == modes.MODE_CUSTOM
    given = {
        "seccomp=unconfined": wanted.seccomp.mode == modes.MODE_UNCONFINED,
        f"seccomp={wanted.seccomp.profile.decode(errors='replace')}": own,
        f"apparmor={wanted.apparmor}": wanted.apparmor,
        "systempaths=unconfined": wanted.unmasked_paths,
        "label=disable": wanted.selinux_disabled,
        "label=nested": wanted.selinux.nested,
    }
    given |= {
        f"label={part}:{value}": value
        for part in ("user", "role", "type", "level")
        for value in [getattr(wanted.selinux, part)]
    }
    found = [text for text, is_given in given.items() if is_given]
    if wanted.HasField("no_new_privileges"):
        found.insert(0, f"no-new-privileges:{str(wanted.no_new_privileges).lower()}")
    return found


def _limits(spec: ContainerSpec, resources: t.ResourceRequirements) -> View:
    return {
        "Memory": resources.limits.memory_bytes,
        "MemoryReservation": resources.reservations.memory_bytes,
        "MemorySwap": resources.memory_swap_bytes,
        "MemorySwappiness": resources.memory_swappiness if resources.HasField("memory_swappiness") else None,
        "OomKillDisable": False,
        "NanoCpus": resources.limits.nano_cpus,
        "CpuShares": resources.cpu_shares,
        "CpuQuota": resources.cpu_quota_us,
        "CpuPeriod": resources.cpu_period_us,
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
        "BlkioWeight": resources.blkio_weight,
        **_block_limits(resources.block_limits),
        "PidsLimit": resources.limits.pids or None,
        "ShmSize": spec.shm_size_bytes or 64 << 20,
        "OomScoreAdj": spec.oom_score_adj,
        "CgroupParent": spec.cgroup_parent,
    }


def _block_limits(limits: Sequence[t.BlockLimit]) -> View:
    """Return the weights and bounds of single disks."""
    view: View = {
        "BlkioWeightDevice": [{"Path": one.device, "Weight": one.weight} for one in limits if one.weight]
    }
    for key, part in _RATES.items():
        rates = ((one.device, getattr(one, part)) for one in limits)
        view[key] = [{"Path": path, "Rate": rate} for path, rate in rates if rate]
    return view


def _config(spec: ContainerSpec, plain: PlainContainer, one: ContainerSummary, image: ImageDefaults) -> View:
    command = list(spec.args) or ([] if spec.command else list(image.command))
    view: View = {
        "Hostname": spec.hostname or one.id[:12],
        "Domainname": spec.sysctls.get("kernel.domainname", ""),
        "User": spec.user or image.user,
        "Tty": spec.tty,
        "OpenStdin": plain.spec.open_stdin,
        "StdinOnce": plain.spec.stdin_once,
        "ExposedPorts": {_inside(port): {} for port in one.ports},
        "Env": _environment(spec.env, image.env),
        "Cmd": command,
        "Entrypoint": list(spec.command) or list(image.entrypoint) or None,
        "Image": one.image,
        "WorkingDir": spec.dir or image.dir,
        "Volumes": {mount.target: {} for mount in spec.mounts if _is_anonymous(mount)} or None,
    }
    if signal := spec.stop_signal or image.stop_signal:
        view["StopSignal"] = signal
    if spec.HasField("stop_grace_period_ns"):
        view["StopTimeout"] = spec.stop_grace_period_ns // 10**9
    check = plain.healthcheck if plain.HasField("healthcheck") else spec.healthcheck
    if check.test:
        view["Healthcheck"] = {
            "Test": list(check.test),
            "Interval": check.interval_ns,
            "Timeout": check.timeout_ns,
            "StartPeriod": check.start_period_ns,
            "Retries": check.retries,
        }
    return view


def _environment(own: Iterable[str], image: Iterable[str]) -> list[str]:
    """Return what is set: its own first, then what the image says beside that, as Docker lists them."""
    given = {one.partition("=")[0]: one for one in own}
    rest = (one for one in image if one.partition("=")[0] not in given)
    return [*(one for one in given.values() if "=" in one), *rest]  # a name alone takes it away


def _is_anonymous(mount: t.Mount) -> bool:
    return mount.type == t.Mount.TYPE_VOLUME and not mount.source


def mount_view(mount: t.Mount, container_id: str, sources: Mapping[str, str] = MappingProxyType({})) -> View:
    """Return a mount as a container has it; a volume without a name has that which its node gave it.

    `sources` are paths of the node, by target, as far as it tells them.
    """
    view: View = {"Type": names.MOUNT_TYPE.get(mount.type, str(mount.type))}
    if mount.type == t.Mount.TYPE_VOLUME:
        view |= {
            "Name": mount.source or anonymous_name(container_id, mount.target),
            "Driver": mount.volume.driver or "local",
        }
    return view | {
        "Source": sources.get(mount.target, mount.source),
        "Destination": mount.target,
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
        "Propagation": mount.bind.propagation or ("rprivate" if mount.type == t.Mount.TYPE_BIND else ""),
    }


def _bind(mount: t.Mount) -> str:
    return f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")


def _inside(port: t.PortConfig) -> str:
    return f"{port.target_port}/{names.PROTOCOL[port.protocol]}"


def _bindings(ports: Iterable[t.PortConfig]) -> View:
    view: View = {}
    for port in ports:
        number = str(port.published_port) if port.published_port else ""
        view.setdefault(_inside(port), []).append({"HostIp": port.host_ip, "HostPort": number})
    return view


def _network_settings(one: ContainerSummary, plain: PlainContainer) -> View:
    published: View = {}
    for port in plain.published or one.ports:
        outside = published.setdefault(_inside(port), [])
        if port.published_port:
            where = {"HostIp": port.host_ip or names.ANY_ADDRESS, "HostPort": str(port.published_port)}
            outside.append(where)
    return {
        "IPAddress": plain.address,
        "MacAddress": mac_in_force(plain.spec.mac_address, [plain.address]),
        "Ports": {inside: outside or None for inside, outside in published.items()},
        "Networks": _networks(plain),
    }


def _networks(plain: PlainContainer) -> View:
    """Return the networks that a container is in, by name; without one of the cluster, the node's own."""
    mode = plain.spec.network or BRIDGE
    own = t.NetworkAttachment(network_name=mode, mac_address=plain.spec.mac_address)
    if not plain.spec.networks:
        return {mode: _endpoint(own, [plain.address])} if plain.id else {}
    addresses = {one.network_id: tuple(one.addresses) for one in plain.addresses}
    return {
        one.network_name: _endpoint(own, [plain.address])
        if one.network_name == BRIDGE
        else _endpoint(one, addresses.get(one.network_id, ()))
        for one in plain.spec.networks
    }


def _endpoint(one: t.NetworkAttachment, addresses: Iterable[str]) -> View:
    known = [text for text in addresses if text]
    return {
        "NetworkID": one.network_id,
        "MacAddress": mac_in_force(one.mac_address, known),
        "IPAddress": next((text for text in known if ":" not in text), ""),
        "GlobalIPv6Address": next((text for text in known if ":" in text), ""),
        "IPAMConfig": {
            key: text
            for key, text in (("IPv4Address", one.ipv4_address), ("IPv6Address", one.ipv6_address))
            if text
        }
        or None,
        "DriverOpts": dict(one.driver_options) or None,
        "Aliases": list(one.aliases),
    }
