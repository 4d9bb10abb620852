"""Options of `container run` and `container create`: those of services that say what a container is, under
the names that `docker run` gives them, and what only a container of its own has."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from swarm.api.v1.plain_pb2 import CreateContainer, PlainRestart, PlainSpec
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import BlockLimit, Device, Mount, PortConfig, ResourceRequirements
from swarm.cli import container_options, health_options, parse
from swarm.cli.log_options import log_options
from swarm.cli.plain_networks import put_networks
from swarm.cli.service_lists import LISTS, add_lists, many
from swarm.cli.service_options import apply_single
from swarm.errors import InvalidArgument
from swarm.model.devices import parse_gpus
from swarm.model.image_changes import ports_of
from swarm.model.units import parse_bytes

Given = dict[str, Any]

RESTART = {
    "no": PlainRestart.CONDITION_NO,
    "on-failure": PlainRestart.CONDITION_ON_FAILURE,
    "always": PlainRestart.CONDITION_ALWAYS,
    "unless-stopped": PlainRestart.CONDITION_UNLESS_STOPPED,
}

PROTOCOLS = {"tcp": PortConfig.PROTOCOL_TCP, "udp": PortConfig.PROTOCOL_UDP} | {
    "sctp": PortConfig.PROTOCOL_SCTP
}
PULLS = {
    "always": CreateContainer.PULL_ALWAYS,
    "missing": CreateContainer.PULL_MISSING,
    "never": CreateContainer.PULL_NEVER,
}

_RESOURCES = (
    click.option("--cpus", "--limit-cpu", "limit_cpu", help="Most CPUs to use, e.g. 0.5."),
    click.option("-m", "--memory", "--limit-memory", "limit_memory", help="Most memory to use, e.g. 64m."),
    click.option(
        "--memory-reservation", "reserve_memory", help="Memory that it keeps when there is little."
    ),
    click.option(
        "--pids-limit", "--limit-pids", "limit_pids", type=click.IntRange(min=-1), help="Most processes."
    ),
)
_SINGLE = (
    click.option("--name", default="", help="Its name (default: made up)."),
    click.option("--node", default="", help="Node to be on (default: one of those with the fewest tasks)."),
    click.option("-i", "--interactive", is_flag=True, help="Keep its standard input open."),
    click.option("-t", "--tty", is_flag=True, help="Give it a terminal."),
    click.option("--rm", "auto_remove", is_flag=True, help="Remove it when it has ended."),
    click.option(
        "--restart", default="no", show_default=True, help="no, on-failure[:MAX], always, unless-stopped."
    ),
    click.option("--ip", default="", help="Its address in the network, of IPv4."),
    click.option("--ip6", default="", help="Its address in the network, of IPv6."),
    click.option("--mac-address", default="", help="Hardware address of its interface in the network."),
    click.option("-h", "--hostname", help="Host name inside."),
    click.option("-u", "--user", help="User (and group) of the process: NAME|UID[:GROUP|GID]."),
    click.option("-w", "--workdir", help="Working directory inside."),
    click.option("--entrypoint", help="Replaces the image's entrypoint."),
    click.option("--init/--no-init", default=None, help="Run a small init that reaps zombies."),
    click.option("--read-only/--no-read-only", default=None, help="Root file system read only."),
    *_RESOURCES,
    click.option("--cidfile", default="", metavar="FILE", help="File to write its id to; not there yet."),
    click.option("--volume-driver", default="", help="Driver of the volumes of -v that have a name."),
    click.option("--stop-signal", help="Signal that asks it to stop."),
    click.option("--domainname", default="", help="Domain that its host name is in."),
    click.option(
        "--gpus", default="", help="GPUs to use, with others: all, or device=ID,ID; ,kind=VENDOR/CLASS."
    ),
    click.option(
        "--pull",
        type=click.Choice([*PULLS]),
        default="missing",
        show_default=True,
        help="Ask the image's registry always, or never; what was loaded into the cluster wins.",
    ),
    click.option("-P", "--publish-all", is_flag=True, help="Publish all exposed ports, on any of the node."),
    click.option("--stop-timeout", type=click.FloatRange(min=0), help="Seconds from that to the kill."),
    click.option("-q", "--quiet", is_flag=True, help="Show no progress, and not which node it is on."),
    *health_options.OPTIONS,
    *container_options.SINGLE,
    log_options,
)
_LISTS = (
    (
        "--network|--net|network",
        "Network to be in: NAME[,alias=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=MAC]; bridge (default), "
        "host, none.",
    ),
    ("--network-alias|--net-alias|network_alias", "One more name for it in its network."),
    ("-e|--env", "KEY=VALUE, or KEY to pass on your own value."),
    ("--env-file", "File with a KEY=VALUE in each line."),
    ("-l|--label", "Label, KEY=VALUE."),
    ("--annotation", "KEY=VALUE for the runtime that runs it."),
    ("--label-file", "File with a KEY=VALUE in each line."),
    (
        "-v|--volume",
        "NAME|/PATH:/TARGET[:ro]: a volume or a path of the node; /TARGET: a volume of its own.",
    ),
    ("-a|--attach", "stdin, stdout or stderr: be attached to these only (default: all)."),
    ("--mount", "type=volume|bind|tmpfs,src=NAME|PATH,dst=PATH[,readonly]."),
    ("--tmpfs", "/TARGET[:size=64m,mode=1777]: memory as a file system."),
    ("--expose", "Port to be published by -P beside those of the image: PORT[-PORT][/udp]."),
    ("--volumes-from", "CONTAINER[:ro]: mount the volumes and paths that another one on its node has."),
    ("-p|--publish", "Publish a port on the node: [HOST:]CONTAINER[/udp]."),
    ("--constraint", "Which nodes it may be made on, e.g. node.labels.zone==a."),
    ("--device", "Device of the node: HOST[:CONTAINER[:rwm]] or VENDOR/CLASS=NAME (CDI)."),
    ("--group-add|--group|group", "One more group of the process, by name or number."),
    ("--blkio-weight-device", "Share of one disk, PATH:WEIGHT, 10 to 1000."),
    ("--device-read-bps", "Most bytes to read of one disk in a second, PATH:SIZE, e.g. /dev/sda:10mb."),
    ("--device-write-bps", "Most bytes to write to one disk in a second, PATH:SIZE."),
    ("--device-read-iops", "Most reads of one disk in a second, PATH:NUMBER."),
    ("--device-write-iops", "Most writes to one disk in a second, PATH:NUMBER."),
    ("--add-host|--host|host", "Line of /etc/hosts, NAME:ADDRESS."),
    ("--dns-option|--dns-opt|dns_option", "Option of resolv.conf, e.g. ndots:2."),
    *(one for one in container_options.LISTS if one[0] not in {"--group", "--host", "--dns-option"}),
    *container_options.CAPABILITIES,
)
# `network` is read here, not as the networks of a service.
_ABSENT: Given = {flags.split("--")[-1].replace("-", "_"): () for flags, _ in LISTS}
_VOLUME_MODES = {
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "rprivate",
    "private",
    "rshared",
    "shared",
    "rslave",
    "slave",
}


def plain_options(command: Any) -> Any:
    """Add all of them to a command."""
    command = many(*_LISTS)(command)
    for option in reversed(_SINGLE):
        command = option(command)
    return command


def resource_options(command: Any) -> Any:
    """Add those that a container may be given while it runs."""
    for option in reversed((*_RESOURCES, *container_options.RESOURCES)):
        command = option(command)
    return command


def changed_resources(now: ResourceRequirements, given: Given) -> ResourceRequirements:
    """Return the resources of a container with what the options change of them; raises InvalidArgument."""
    spec = ServiceSpec()
    spec.task.resources.CopyFrom(now)
    apply_single(spec, given)
    return spec.task.resources


def plain_spec(image: str, args: tuple[str, ...], given: Given) -> PlainSpec:
    """Return what the options ask for; raises InvalidArgument."""
    from swarm.cli.made_up import made_up_name

    service = _as_service(image, args, given)
    spec = PlainSpec(
        name=given["name"] or made_up_name(),
        auto_remove=given["auto_remove"],
        open_stdin=given["interactive"],
        publish_all=given["publish_all"],
    )
    spec.exposed.extend(_exposed(given["expose"]))
    put_networks(spec, given)
    spec.container.CopyFrom(service.task.container)
    if service.task.HasField("resources"):
        spec.resources.CopyFrom(service.task.resources)
    if service.task.placement.constraints:
        spec.placement.constraints.extend(service.task.placement.constraints)
    for port in service.endpoint.ports:
        port.publish_mode = PortConfig.PUBLISH_MODE_HOST
        spec.ports.append(port)
    if given["restart"] != "no":
        spec.restart.CopyFrom(restart_policy(given["restart"]))
    return spec


def _exposed(texts: tuple[str, ...]) -> Iterator[PortConfig]:
    for text in texts:
        try:
            ports = ports_of(text)
        except ValueError as error:
            raise InvalidArgument(f"--expose: {error}") from None
        for port, _, protocol in (one.partition("/") for one in ports):
            yield PortConfig(target_port=int(port), protocol=PROTOCOLS[protocol])


def _gpus(text: str) -> Iterator[Device]:
    """Return the devices that `--gpus` names: nobody counts them for a container of no service."""
    wanted = parse_gpus(text)
    if wanted.count:
        raise InvalidArgument(
            f"--gpus {text}: a container of no service shares its GPUs: say all or device=ID, or create a "
            "service to have some alone"
        )
    for one in ["all"] if wanted.all else wanted.names:
        yield Device(cdi_name=f"{wanted.kind}={one}")


def restart_policy(text: str) -> PlainRestart:
    """Return `no`, `on-failure[:MAX]`, `always` or `unless-stopped`; raises InvalidArgument."""
    word, colon, count = text.partition(":")
    if word not in RESTART or (colon and (word != "on-failure" or not count.isdecimal())):
        raise InvalidArgument(f"--restart {text}: write no, on-failure[:MAX], always or unless-stopped")
    return PlainRestart(condition=RESTART[word], max_retries=int(count or 0))


def _as_service(image: str, args: tuple[str, ...], given: Given) -> ServiceSpec:
    """Return the service whose tasks would be such containers: one way to read options."""
    spec = ServiceSpec()
    spec.task.container.image = image
    if given["entrypoint"] == "":  # neither that of the image counts then, nor its command
        if not args:
            raise InvalidArgument('--entrypoint "": say which command is to run in place of the image\'s')
        given = {**given, "entrypoint": None}
        spec.task.container.command.append(args[0])
        args = args[1:]
    spec.task.container.args.extend(args)
    if given["tty"]:
        spec.task.container.tty = True
    if given["stop_timeout"] is not None:
        spec.task.container.stop_grace_period_ns = round(given["stop_timeout"] * 1e9)
    apply_single(spec, {**given, "tty": None, "gpus": None})
    if given["domainname"]:
        spec.task.container.sysctls["kernel.domainname"] = given["domainname"]
    if given["gpus"]:
        spec.task.container.devices.extend(_gpus(given["gpus"]))
    own = {
        "label": (),
        "container_label": (*parse.file_lines(given["label_file"], "--label-file"), *given["label"]),
    }
    add_lists(spec, {**_ABSENT, **given, **own, "network": ()}, "")
    mounts = [*map(_volume, given["volume"]), *map(_tmpfs, given["tmpfs"])]
    for mount in mounts:
        if mount.type == Mount.TYPE_VOLUME and mount.source:
            mount.volume.driver = given["volume_driver"]
    spec.task.container.mounts.extend(mounts)
    if limits := _block_limits(given):
        spec.task.resources.block_limits.extend(limits)
    spec.task.container.annotations.update(parse.key_values(given["annotation"], "--annotation"))
    return spec


_BLOCK: tuple[tuple[str, str, Callable[[str], int]], ...] = (
    ("blkio_weight_device", "weight", int),
    ("device_read_bps", "read_bps", parse_bytes),
    ("device_write_bps", "write_bps", parse_bytes),
    ("device_read_iops", "read_iops", int),
    ("device_write_iops", "write_iops", int),
)


def _block_limits(given: Given) -> list[BlockLimit]:
    """Return the limits of single disks, each disk once; raises InvalidArgument."""
    found: dict[str, BlockLimit] = {}
    for option, field, read in _BLOCK:
        for text in given[option]:
            device, _, value = text.rpartition(":")
            try:
                number = read(value)
            except ValueError:
                number = 0
            if not device.startswith("/") or number <= 0:
                flag = f"--{option.replace('_', '-')}"
                raise InvalidArgument(f'{flag} "{text}": write the path of the disk, a colon and a number')
            setattr(found.setdefault(device, BlockLimit(device=device)), field, number)
    return list(found.values())


def _volume(text: str) -> Mount:
    parts = text.split(":")
    if len(parts) == 1:
        parts = ["", *parts]
    if re.match(r"\.{1,2}(/|$)", parts[0]):
        parts[0] = os.path.normpath(Path.cwd() / parts[0])  # as it is called here
    if len(parts) > 3 or not parts[1].startswith("/") or (parts[0] and parts[0][0] in "~."):
        raise InvalidArgument(f'--volume "{text}": write NAME:/TARGET[:ro], /PATH:/TARGET[:ro] or /TARGET')
    modes = set(parts[2].split(",")) if len(parts) == 3 else set()
    if unknown := modes - _VOLUME_MODES:
        raise InvalidArgument(f'--volume "{text}": "{min(unknown)}" is not ro, rw or nocopy')
    bind = parts[0].startswith("/")
    mount = Mount(
        type=Mount.TYPE_BIND if bind else Mount.TYPE_VOLUME,
        source=parts[0],
        target=parts[1],
        read_only="ro" in modes,
    )
    if bind:
        mount.bind.create_source = True  # as with docker run
        for mode in modes & {"rprivate", "private", "rshared", "shared", "rslave", "slave"}:
            mount.bind.propagation = mode
        for mode in modes & {"z", "Z"}:
            mount.bind.selinux = mode
    elif "nocopy" in modes:
        mount.volume.no_copy = True
    return mount


def _tmpfs(text: str) -> Mount:
    target, _, options = text.partition(":")
    mount = Mount(type=Mount.TYPE_TMPFS, target=target)
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            mount.tmpfs.size_bytes = parse_bytes(value)
        elif key == "mode" and re.fullmatch(r"[0-7]{1,4}", value):
            mount.tmpfs.mode = int(value, 8)
        elif key == "ro":
            mount.read_only = True
        elif key not in {"rw", "noexec", "nosuid", "nodev"}:
            raise InvalidArgument(f'--tmpfs "{text}": "{option}" is not size=SIZE, mode=OCTAL or ro')
    return mount
