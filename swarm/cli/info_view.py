"""What a node is and knows of its cluster, in Docker's words and for people. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.api.v1.control_pb2 import InfoResponse, ListNodesResponse, MachineInfo
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.cli.inspect_view import when
from swarm.cli.render import ordered
from swarm.cli.templates.values import Span
from swarm.model import defaults
from swarm.model.units import format_duration, format_size

View = dict[str, Any]

LOGGING_DRIVER = "json-file"  # as Docker calls files that `logs` reads
_WORDS = ("Running", "Paused", "Stopped")
NO_SPARE_MANAGER = (
    "WARNING: with two managers the loss of either stops all decisions: have one or three"
    " (swarmctl node promote)"
)


def info(answer: InfoResponse, cluster: Cluster | None, known: ListNodesResponse | None) -> View:
    """Return what `--format` sees; `cluster` and `known` are what only managers know."""
    compatibility = answer.compatibility
    state = InfoResponse.State.Name(answer.state).removeprefix("STATE_").lower()
    nodes = {node.id: node for node in known.nodes} if known is not None else {}
    node = nodes.get(answer.node_id, Node())
    return {
        "State": state,
        "NodeID": answer.node_id,
        "ClusterID": answer.cluster_id,
        "IsManager": answer.is_manager,
        "Connected": answer.connected,
        "Address": answer.addr,
        "DataPathAddress": answer.data_path_addr,
        "Leader": answer.leader_addr,
        "Managers": [peer.addr for peer in answer.managers],
        "Runtime": answer.runtime,
        "Version": answer.version,
        "Protocol": _range(compatibility.protocol_min, compatibility.protocol_max),
        "Levels": _range(compatibility.level_min, compatibility.level_max),
        "ClusterLevel": answer.level,
        "Error": answer.error,
        "Name": answer.hostname,
        "ServerVersion": answer.version,
        "ID": answer.node_id,
        **_machine(answer.machine if answer.HasField("machine") else _as_managers_know(node)),
        **_counts(answer.machine),
        "Labels": _labels(node),
        "Swarm": {
            "NodeID": answer.node_id,
            "NodeAddr": answer.addr.rpartition(":")[0].strip("[]"),
            "LocalNodeState": state,
            "ControlAvailable": answer.is_manager and state not in {"inactive", "locked"},
            "Error": answer.error,
            "RemoteManagers": [{"NodeID": peer.node_id, "Addr": peer.addr} for peer in answer.managers],
            "Nodes": len(nodes),
            "Managers": sum(node.HasField("manager_status") for node in nodes.values()),
            "Cluster": {"ID": answer.cluster_id} | (_cluster(cluster) if cluster is not None else {}),
        },
    }


def _as_managers_know(node: Node) -> MachineInfo:
    """Return what is known of the machine of a node whose own version does not tell it."""
    found = node.description
    return MachineInfo(
        cpus=found.resources.nano_cpus // 10**9,
        memory_bytes=found.resources.memory_bytes,
        os_type=found.platform.os,
        architecture=found.platform.architecture,
    )


def _machine(found: MachineInfo) -> View:
    return {
        "NCPU": found.cpus,
        "MemTotal": found.memory_bytes,
        "KernelVersion": found.kernel_version,
        "OperatingSystem": found.operating_system,
        "OSVersion": found.os_version,
        "OSType": found.os_type,
        "Architecture": found.architecture,
        "DockerRootDir": found.root_dir,
        "Driver": found.storage_driver,
        "LoggingDriver": LOGGING_DRIVER if found.kernel_version else "",
        "CgroupDriver": found.cgroup_driver,
        "CgroupVersion": found.cgroup_version,
    }


def _counts(found: MachineInfo) -> View:
    """Return how much the node has; None is what nobody can tell."""
    known, told = found.containers, found.HasField("containers")
    numbers = {
        "Containers": known.running + known.paused + known.stopped,
        "ContainersRunning": known.running,
        "ContainersPaused": known.paused,
        "ContainersStopped": known.stopped,
        "Images": known.images,
    }
    return {key: number if told else None for key, number in numbers.items()}


def _labels(node: Node) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(node.description.engine_labels.items())]


def _cluster(cluster: Cluster) -> View:
    from swarm.model.ipam import SUBNET_LENGTH
    from swarm.model.networks import pools_of

    spec = cluster.spec
    return {
        "Version": {"Index": cluster.meta.version.index},
        "CreatedAt": when(cluster.meta.created_at),
        "UpdatedAt": when(cluster.meta.updated_at),
        "Spec": {
            "Name": spec.annotations.name or "default",
            "Labels": ordered(spec.annotations.labels),
            "Orchestration": {"TaskHistoryRetentionLimit": defaults.task_history_limit(spec)},
            "Raft": {
                "SnapshotInterval": defaults.snapshot_interval(spec),
                "KeepOldSnapshots": spec.keep_old_snapshots,
            },
            "Dispatcher": {"HeartbeatPeriod": Span(defaults.heartbeat_period_ns(spec))},
            "CAConfig": {
                "NodeCertExpiry": Span(defaults.node_cert_expiry_ns(spec)),
                "ExternalCAs": [{"URL": one.url} for one in spec.external_cas],
            },
            "EncryptionConfig": {"AutoLockManagers": spec.autolock},
        },
        "TLSInfo": {"TrustRoot": cluster.root_ca.cert_pem.decode()},
        "RootRotationInProgress": cluster.root_ca.HasField("rotation"),
        "DefaultAddrPool": [str(pool.block) for pool in pools_of(cluster)],
        "SubnetSize": spec.subnet_length or SUBNET_LENGTH,
        "DataPathPort": spec.data_path_port or defaults.DATA_PATH_PORT,
    }


def lines(view: Mapping[str, Any]) -> Sequence[str]:
    """Return what people read; what is not known is left out."""
    swarm = view["Swarm"]
    counts = [] if view["Containers"] is None else [f"Containers: {view['Containers']}"]
    counts += [f" {word}: {view[f'Containers{word}']}" for word in _WORDS if counts]
    counts += [f"Images: {view['Images']}"] if counts else []
    of_node = [
        ("Server Version", view["Version"]),
        ("Runtime", view["Runtime"]),
        ("Storage Driver", view["Driver"]),
        ("Logging Driver", view["LoggingDriver"]),
        ("Cgroup Driver", view["CgroupDriver"]),
        ("Cgroup Version", view["CgroupVersion"]),
        ("Kernel Version", view["KernelVersion"]),
        ("Operating System", view["OperatingSystem"]),
        ("OSType", view["OSType"]),
        ("Protocol", view["Protocol"]),
        ("Levels", view["Levels"]),
        ("Architecture", view["Architecture"]),
        ("CPUs", view["NCPU"]),
        ("Total Memory", format_size(view["MemTotal"]) if view["MemTotal"] else ""),
    ]
    of_swarm = [
        ("NodeID", swarm["NodeID"]),
        ("Error", view["Error"]),
        ("Is Manager", str(view["IsManager"]).lower() if swarm["NodeID"] else ""),
        ("Connected", str(view["Connected"]).lower() if swarm["NodeID"] else ""),
        ("ClusterID", swarm["Cluster"]["ID"]),
        ("Cluster Level", view["ClusterLevel"]),
        ("Managers", swarm["Managers"]),
        ("Nodes", swarm["Nodes"]),
    ]
    cluster = _cluster_lines(swarm["Cluster"]) if "Spec" in swarm["Cluster"] else []
    where = [("Node Address", swarm["NodeAddr"]), ("Leader", view["Leader"])]
    peers = sorted(one["Addr"] for one in swarm["RemoteManagers"])
    return [
        *_told([("Name", view["Name"])], ""),
        *counts,
        *_told(of_node, ""),
        f"Swarm: {view['State']}",
        *_told(of_swarm, " "),
        *cluster,
        *_told(where, " "),
        *([" Manager Addresses:", *(f"  {addr}" for addr in peers)] if peers else []),
        *([NO_SPARE_MANAGER] if swarm["Managers"] == 2 else []),
    ]


def _cluster_lines(cluster: Mapping[str, Any]) -> list[str]:
    spec = cluster["Spec"]
    facts = [
        ("Default Address Pool", ", ".join(cluster["DefaultAddrPool"])),
        ("SubnetSize", cluster["SubnetSize"]),
        ("Data Path Port", cluster["DataPathPort"]),
        ("Task History Retention Limit", str(spec["Orchestration"]["TaskHistoryRetentionLimit"])),
        ("Snapshot Interval", spec["Raft"]["SnapshotInterval"]),
        ("Number of Old Snapshots to Retain", str(spec["Raft"]["KeepOldSnapshots"])),
        ("Heartbeat Period", format_duration(spec["Dispatcher"]["HeartbeatPeriod"])),
        ("Expiry Duration", format_duration(spec["CAConfig"]["NodeCertExpiry"])),
        ("Autolock Managers", str(spec["EncryptionConfig"]["AutoLockManagers"]).lower()),
        ("Root Rotation In Progress", str(cluster["RootRotationInProgress"]).lower()),
    ]
    return _told(facts, " ")


def _told(facts: Sequence[tuple[str, Any]], indent: str) -> list[str]:
    return [f"{indent}{key}: {value}" for key, value in facts if value]


def _range(lowest: int, highest: int) -> str:
    """Return the words for versions from one to another, none for those of a swarmd that does not tell."""
    return (f"{lowest}-{highest}" if lowest != highest else str(highest)) if highest else ""
