"""Objects as `inspect` shows them: the names and nesting that Docker's users and scripts know."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import specs_pb2 as s
from swarm.api.v1 import types_pb2 as t
from swarm.cli import autoscale_view, data_view, names, network_view, placement_view
from swarm.cli.container_view import container_options, resource_options
from swarm.cli.dependency_options import shown_dependencies
from swarm.cli.health_options import shown_config, shown_health
from swarm.cli.log_options import DRIVERS, shown_log
from swarm.cli.published_ports import published
from swarm.cli.render import ordered
from swarm.model.in_force import in_force
from swarm.model.job import shown_desired
from swarm.model.revisions import number_of

View = dict[str, Any]


def when(stamp: Timestamp) -> str:
    """Return RFC 3339 with nanoseconds, as Docker prints it."""
    moment = datetime.fromtimestamp(stamp.seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp.nanos:09d}Z"


def table_time(stamp: Timestamp, *, exact: bool = False) -> str:
    """Return a moment as Docker's tables have it: 2026-01-31 12:00:00 +0000 UTC."""
    rest = f".{stamp.nanos:09d}".rstrip("0") if exact and stamp.nanos else ""
    return f"{datetime.fromtimestamp(stamp.seconds, UTC):%Y-%m-%d %H:%M:%S}{rest} +0000 UTC"


def meta(item: o.Node | o.Service | o.Task | o.Image | o.Secret | o.Config | o.Volume) -> View:
    """Return what every object has."""
    return {
        "ID": item.id,
        "Version": {"Index": item.meta.version.index},
        "CreatedAt": when(item.meta.created_at),
        "UpdatedAt": when(item.meta.updated_at),
    }


def node(item: o.Node) -> View:
    """Return a node as `node inspect` prints it."""
    view = meta(item) | {
        "Spec": {
            "Name": item.spec.annotations.name,
            "Labels": ordered(item.spec.annotations.labels),
            "Role": names.word(names.ROLE, item.spec.desired_role),
            "Availability": names.word(names.AVAILABILITY, item.spec.availability),
        },
        "Description": _description(item.description),
        "Status": {
            "State": names.word(names.NODE_STATE, item.status.state),
            "Message": item.status.message,
            "Addr": item.status.addr,
            "Conditions": [{"Type": one.type, "Reason": one.reason} for one in item.description.conditions],
            "Warnings": [{"Type": one.type, "Reason": one.reason} for one in item.description.warnings],
        },
        "Role": names.word(names.ROLE, item.role),
    }
    if item.HasField("certificate_expires_at"):
        view["CertificateExpiresAt"] = when(item.certificate_expires_at)
    if item.HasField("manager_status"):
        status = item.manager_status
        view["ManagerStatus"] = {
            "Leader": status.leader,
            "Reachability": names.REACHABILITY[status.reachability].lower(),
            "Addr": status.addr,
        }
    return view


def _description(item: t.NodeDescription) -> View:
    return {
        "Hostname": item.hostname,
        "Platform": {"Architecture": item.platform.architecture, "OS": item.platform.os},
        "Resources": {"NanoCPUs": item.resources.nano_cpus, "MemoryBytes": item.resources.memory_bytes}
        | placement_view.generic_resources(item.resources.generic),
        **placement_view.node_devices(item.devices),
        **_csi_plugins(item),
        "Engine": {"EngineVersion": item.engine_version, "Labels": ordered(item.engine_labels)},
        "Runtime": {"Name": item.runtime, **ordered(item.runtime_info)},
        **({"DataPathAddr": item.data_path_addr} if item.data_path_addr else {}),
        **({"TunnelKey": b64encode(item.tunnel_key).decode()} if item.tunnel_key else {}),
    }


def service(item: o.Service) -> View:
    """Return a service as `service inspect` prints it: with the defaults in force, as Docker does."""
    view = meta(item) | {"Revision": number_of(item), "Spec": service_spec(in_force(item.spec))}
    if item.HasField("previous_spec"):
        view["PreviousSpec"] = service_spec(in_force(item.previous_spec))
    view["Endpoint"] = {"Spec": endpoint(item.spec.endpoint), "Ports": list(map(port, published(item)))}
    view["Endpoint"] |= network_view.virtual(item)
    if item.HasField("job_status"):
        view["JobStatus"] = _job_status(item)
    if item.HasField("update_status"):
        status = item.update_status
        view["UpdateStatus"] = {
            "State": names.word(names.UPDATE_STATE, status.state),
            "StartedAt": when(status.started_at),
            "Message": status.message,
        }
        if status.HasField("completed_at"):
            view["UpdateStatus"]["CompletedAt"] = when(status.completed_at)
        if status.HasField("resumed_at"):
            view["UpdateStatus"]["ResumedAt"] = when(status.resumed_at)
        if item.spec.update.canary:
            view["UpdateStatus"]["Promoted"] = status.promoted
    if item.HasField("rebalance"):
        view["Rebalance"] = _rebalance(item.rebalance)
    if item.HasField("autoscale_status"):
        view["AutoscaleStatus"] = autoscale_view.shown_status(item.autoscale_status, when)
    return view


def _job_status(item: o.Service) -> View:
    status = item.job_status
    # Docker counts the runs from 0.
    view: View = {"JobIteration": {"Index": max(0, status.iteration - 1)}}
    if status.HasField("last_execution"):
        view["LastExecution"] = when(status.last_execution)
    for key in ("next_run", "last_run", "last_skipped"):
        if status.HasField(key):
            view[key.title().replace("_", "")] = when(getattr(status, key))
    if status.skipped:
        view |= {"Skipped": status.skipped, "SkipReason": status.skip_reason}
    return view


def _rebalance(item: o.Rebalance) -> View:
    view: View = {
        "State": names.word(names.REBALANCE_STATE, item.state),
        "StartedAt": when(item.started_at),
        "Message": item.message,
    }
    if item.HasField("completed_at"):
        view["CompletedAt"] = when(item.completed_at)
    if item.moves:
        view["Moves"] = [
            {"TaskID": move.task_id, "FromNodeID": move.from_node_id, "ToNodeID": move.to_node_id}
            for move in item.moves
        ]
    return view


def service_spec(spec: s.ServiceSpec) -> View:
    """Return a service's spec; what the user did not say is absent."""
    view: View = {
        "Name": spec.annotations.name,
        "Labels": ordered(spec.annotations.labels),
        "TaskTemplate": task_spec(spec.task),
        "Mode": _mode(spec),
    }
    if spec.depends_on:
        view["DependsOn"] = shown_dependencies(spec)
    if spec.HasField("rebalance"):
        view["Rebalance"] = names.word(names.REBALANCE, spec.rebalance)
    if spec.HasField("autoscale"):
        view["Autoscale"] = autoscale_view.shown_autoscale(spec.autoscale)
    for key, config in (("UpdateConfig", "update"), ("RollbackConfig", "rollback")):
        if spec.HasField(config):
            view[key] = _update_config(getattr(spec, config))
    if spec.HasField("endpoint"):
        view["EndpointSpec"] = endpoint(spec.endpoint)
    return view


def _mode(spec: s.ServiceSpec) -> View:
    if spec.HasField("global"):
        return {"Global": {}}
    if spec.HasField("global_job"):
        return {"GlobalJob": {}}
    if spec.HasField("replicated_job"):
        return {"ReplicatedJob": _completions(spec.replicated_job)}
    if spec.HasField("cron"):
        return {"Cron": _cron(spec.cron)}
    replicated = spec.replicated
    return {"Replicated": {"Replicas": replicated.replicas} if replicated.HasField("replicas") else {}}


def _completions(job: s.ReplicatedJob | s.CronJob) -> View:
    return _present(job, MaxConcurrent="max_concurrent", TotalCompletions="total_completions")


def _cron(job: s.CronJob) -> View:
    view: View = {"Schedule": job.schedule, "Timezone": job.timezone or "UTC"}
    view["ConcurrencyPolicy"] = names.word(names.CONCURRENCY_POLICY, job.concurrency_policy)
    optional = _present(job, History="history", StartingDeadline="starting_deadline_ns")
    return view | optional | _completions(job)


def _present(message: Any, **fields: Any) -> View:
    """Return {Key: value} for the optional fields (Key=field name) that are set in `message`."""
    return {key: getattr(message, name) for key, name in fields.items() if message.HasField(name)}


def task_spec(spec: s.TaskSpec) -> View:
    """Return a task's spec."""
    view: View = {"ContainerSpec": _container(spec.container)} | network_view.spec_networks(spec)
    if spec.HasField("resources"):
        limits, reserved = spec.resources.limits, spec.resources.reservations
        view["Resources"] = {
            "Limits": {
                "NanoCPUs": limits.nano_cpus,
                "MemoryBytes": limits.memory_bytes,
                "Pids": limits.pids,
            },
            "Reservations": {"NanoCPUs": reserved.nano_cpus, "MemoryBytes": reserved.memory_bytes}
            | placement_view.generic_resources(reserved.generic),
        } | resource_options(spec.resources)
    if spec.HasField("restart"):
        policy = spec.restart
        view["RestartPolicy"] = _present(
            policy, Delay="delay_ns", MaxAttempts="max_attempts", Window="window_ns", MaxDelay="max_delay_ns"
        )
        if policy.HasField("condition"):
            view["RestartPolicy"]["Condition"] = names.word(names.RESTART_CONDITION, policy.condition)
    if spec.HasField("placement"):
        view["Placement"] = {
            "Constraints": list(spec.placement.constraints),
            "Preferences": [{"Spread": {"SpreadDescriptor": p.spread}} for p in spec.placement.preferences],
            "MaxReplicas": spec.placement.max_replicas_per_node,
        } | placement_view.more_placement(spec.placement)
    view |= placement_view.priority(spec)
    if spec.container.HasField("log"):
        view["LogDriver"] = {"Name": DRIVERS[0], "Options": shown_log(spec.container.log)}
    view["ForceUpdate"] = spec.force_update
    return view


def _container(spec: s.ContainerSpec) -> View:
    view: View = {"Image": f"{spec.image}@{spec.image_digest}" if spec.image_digest else spec.image}
    plural: View = {"Labels": ordered(spec.labels), "Command": list(spec.command), "Args": list(spec.args)}
    plural |= {"Env": list(spec.env), "Mounts": [_mount(mount) for mount in spec.mounts]}
    view |= {key: value for key, value in plural.items() if value} | placement_view.devices(spec)
    if spec.HasField("healthcheck"):
        view["Healthcheck"] = shown_config(spec.healthcheck)
    return (
        view
        | data_view.references(spec)
        | container_options(spec)
        | _present(
            spec,
            Hostname="hostname",
            Dir="dir",
            User="user",
            StopSignal="stop_signal",
            StopGracePeriod="stop_grace_period_ns",
            ReadOnly="read_only",
            Init="init",
            TTY="tty",
            Sticky="sticky",
        )
    )


def _csi_plugins(item: t.NodeDescription) -> View:
    if not item.csi_plugins:
        return {}
    return {
        "CSIInfo": [
            {
                "PluginName": one.name,
                "NodeID": one.node_id,
                "MaxVolumesPerNode": one.volumes_max,
                "AccessibleTopology": {"Segments": ordered(one.topology)},
                "Controller": one.controls,
            }
            for one in item.csi_plugins
        ]
    }


def _mount(item: t.Mount) -> View:
    view: View = {"Type": names.MOUNT_TYPE[item.type], "Source": item.source, "Target": item.target}
    view["ReadOnly"] = item.read_only
    if item.HasField("bind"):
        view["BindOptions"] = _present(
            item.bind, Propagation="propagation", CreateMountpoint="create_source", SELinux="selinux"
        )
    if item.HasField("tmpfs"):
        view["TmpfsOptions"] = _present(item.tmpfs, SizeBytes="size_bytes", Mode="mode")
    if item.HasField("volume"):
        given = item.volume
        view["VolumeOptions"] = {"NoCopy": given.no_copy, "Labels": ordered(given.labels)}
        if given.driver or given.driver_options:
            driver = {"Name": given.driver or "local", "Options": ordered(given.driver_options)}
            view["VolumeOptions"]["DriverConfig"] = driver
        if given.subpath:
            view["VolumeOptions"]["Subpath"] = given.subpath
    if item.HasField("image"):
        view["ImageOptions"] = {"Subpath": item.image.subpath}
    return view


def _update_config(config: t.UpdateConfig) -> View:
    view = _present(
        config,
        Parallelism="parallelism",
        Delay="delay_ns",
        Monitor="monitor_ns",
        MaxFailureRatio="max_failure_ratio",
        Canary="canary",
    )
    if config.HasField("failure_action"):
        view["FailureAction"] = names.word(names.FAILURE_ACTION, config.failure_action)
    if config.HasField("order"):
        view["Order"] = names.word(names.ORDER, config.order)
    return view


def endpoint(spec: t.EndpointSpec) -> View:
    """Return an endpoint spec with its ports."""
    mode: View = {"Mode": names.word(names.ENDPOINT_MODE, spec.mode)}
    if spec.affinity:
        mode["Affinity"] = names.word(names.ENDPOINT_AFFINITY, spec.affinity)
    if spec.HasField("drain_ns"):
        mode["Drain"] = spec.drain_ns
    if spec.snat:
        mode["SNAT"] = True
    if spec.routes:
        mode["Routes"] = [route(item) for item in spec.routes]
    return mode | {"Ports": [port(item) for item in spec.ports]}


def route(item: t.HttpRoute) -> View:
    """Return which HTTP requests are brought to a service, and how; what was not said is left out."""
    told: View = {"Host": item.host, "Path": item.path, "Port": item.port}
    if item.protocol:
        told["Protocol"] = t.HttpRoute.Protocol.Name(item.protocol).removeprefix("PROTOCOL_").lower()
    if item.tls_secret_name or item.tls_secret_id:
        told["TLS"] = {"SecretName": item.tls_secret_name, "SecretID": item.tls_secret_id}
    for name, value in (
        ("RedirectToHTTPS", item.https_only),
        ("StripPrefix", item.strip_prefix),
        ("Sticky", item.sticky),
    ):
        if value:
            told[name] = value
    if item.HasField("timeout_ns"):
        told["Timeout"] = item.timeout_ns
    if item.HasField("max_body_bytes"):
        told["MaxBodyBytes"] = item.max_body_bytes
    return told


def port(item: t.PortConfig) -> View:
    """Return one published port."""
    return {
        "Protocol": names.PROTOCOL[item.protocol],
        "TargetPort": item.target_port,
        "PublishedPort": item.published_port,
        "PublishMode": names.PUBLISH_MODE[item.publish_mode],
        **({"HostIP": item.host_ip} if item.host_ip else {}),
    }


def task(item: o.Task) -> View:
    """Return a task as `task inspect` prints it."""
    status: View = {
        "Timestamp": when(item.status.timestamp),
        "State": names.word(names.TASK_STATE, item.status.state),
        "Message": item.status.message,
        "Err": item.status.err,
        "Address": item.status.address,
        "PortStatus": {"Ports": [port(found) for found in item.status.ports]},
    }
    if item.status.HasField("container"):
        container = item.status.container
        status["ContainerStatus"] = {
            "ContainerID": container.container_id,
            "PID": container.pid,
            "ExitCode": container.exit_code,
            "OOMKilled": container.oom_killed,
        }
        if container.HasField("health"):
            status["ContainerStatus"]["Health"] = shown_health(container.health)
    run: View = {"JobIteration": {"Index": item.job_iteration - 1}} if item.job_iteration else {}
    if item.HasField("run_for"):
        run["RunFor"] = when(item.run_for)
    return meta(item) | {
        "Spec": task_spec(item.spec),
        "SpecVersion": item.spec_version,
        "ServiceID": item.service_id,
        "Slot": item.slot,
        "NodeID": item.node_id,
        "Status": status,
        "DesiredState": names.word(names.TASK_STATE, shown_desired(item)),
        **run,
        **placement_view.generic_resources(item.assigned_generic, "AssignedGenericResources"),
        **placement_view.generic_resources(item.shared_devices, "SharedDevices"),
        **placement_view.preemption(item),
        **network_view.attachments(item),
    }


def image(item: o.Image) -> View:
    """Return an image of the cluster."""
    return meta(item) | {
        "Reference": item.annotations.name,
        "Digest": item.digest,
        "Size": item.size_bytes,
        "Blobs": list(item.blobs),
        "Holders": list(item.holders),
    }
