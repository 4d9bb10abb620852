"""Is the part of a spec valid that describes a container?"""

import re
import signal
from collections.abc import Callable, Iterator, Mapping

from swarm.api.v1.specs_pb2 import ContainerSpec, LogConfig
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import InvalidArgument
from swarm.model.cluster_volumes import cluster_mount_problems
from swarm.model.devices import device_problems
from swarm.model.file_references import reference_problems
from swarm.model.health import health_problems
from swarm.model.limits import (
    HOSTNAME_CHARACTERS,
    LOG_ATTRIBUTES,
    LOG_FILE_BYTES,
    LOG_FILES,
    TEXT_BYTES,
    shown,
)
from swarm.model.log_tags import tag_problems
from swarm.model.reference import parse_reference
from swarm.model.selinux import RELABELS
from swarm.model.validate_options import option_problems
from swarm.model.validate_templates import template_problems
from swarm.model.volumes import image_mount_problems, mount_problems

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
LOG_FILE_BYTES_MIN = 4096
HOSTNAME_LIMIT = HOSTNAME_CHARACTERS.value

_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def container_problems(spec: ContainerSpec) -> Iterator[str]:
    """Yield every problem of a container's spec."""
    if not spec.image:
        yield "it names no image"
    else:
        try:
            parse_reference(spec.image)
        except InvalidArgument as problem:
            yield str(problem)
    yield from _env_problems(spec)
    yield from template_problems(spec)
    # The agent fills in templates such as {{.Task.Slot}}; how long they become is judged there.
    hostname = _TEMPLATE.sub("x", spec.hostname)
    if hostname and (len(hostname) > HOSTNAME_LIMIT or not _HOSTNAME.fullmatch(hostname)):
        yield (
            f'the hostname "{shown(spec.hostname)}" is not 1 to {HOSTNAME_LIMIT} letters, digits, "-" '
            f'and "." ({HOSTNAME_CHARACTERS.name})'
        )
    if spec.dir and not spec.dir.startswith("/"):
        yield f'the working directory "{spec.dir}" is not an absolute path'
    if spec.stop_signal and not _is_signal(spec.stop_signal):
        yield f'"{spec.stop_signal}" is not a signal, such as SIGTERM or 15'
    if any("\0" in text for text in (*spec.command, *spec.args, spec.user, spec.dir)):
        yield "the command, user or working directory holds a NUL character"
    yield from negative(("the stop grace period", spec.stop_grace_period_ns))
    targets: set[str] = set()
    for mount in spec.mounts:
        yield from _mount_problems(mount)
        target = mount.target.rstrip("/")
        if target in targets:
            yield f"two mounts have the target {target}"
        targets.add(target)
    yield from device_problems(spec)
    yield from health_problems(spec.healthcheck)
    yield from _log_problems(spec.log)
    yield from option_problems(spec)
    yield from reference_problems(spec)


def _log_problems(log: LogConfig) -> Iterator[str]:
    if log.HasField("max_size_bytes") and log.max_size_bytes < LOG_FILE_BYTES_MIN:
        yield f"log max-size of {log.max_size_bytes} bytes: the least is {LOG_FILE_BYTES_MIN}"
    if log.HasField("max_files") and not log.max_files:
        yield "log max-file of 0: the least is 1"
    yield from LOG_FILE_BYTES.exceeded("log max-size", log.max_size_bytes)
    yield from LOG_FILES.exceeded("log max-file", log.max_files)
    yield from LOG_ATTRIBUTES.exceeded("log labels", len(log.labels))
    yield from LOG_ATTRIBUTES.exceeded("log env", len(log.env))
    yield from TEXT_BYTES.exceeded("log tag", len(log.tag.encode()))
    yield from tag_problems(log.tag)


def negative(*named: tuple[str, int]) -> Iterator[str]:
    """Yield a problem for each of the named values that is below zero."""
    for name, value in named:
        if value < 0:
            yield f"{name} is negative"


def _env_problems(spec: ContainerSpec) -> Iterator[str]:
    for variable in spec.env:
        key = variable.partition("=")[0]
        if not key:
            # Without the value: it may be a secret.
            yield "an environment variable has no name; write KEY=VALUE or KEY"
        elif "\0" in variable:
            yield f"the environment variable {key!r} holds a NUL character"


def _mount_problems(mount: Mount) -> Iterator[str]:
    where = f'the mount at "{mount.target}"'
    if mount.type not in _MOUNTS:
        yield f"{where} has a type that is none of bind, tmpfs, volume, image and cluster"
        return
    if not mount.target.startswith("/") or ".." in mount.target.split("/") or not mount.target.strip("/"):
        yield f"{where} needs an absolute target below /"
    if mount.HasField("volume") and mount.type != Mount.TYPE_VOLUME:
        yield f"{where} has options of volumes, and is none"
    if mount.HasField("image") and mount.type != Mount.TYPE_IMAGE:
        yield f"{where} has options of images, and is none"
    yield from _MOUNTS[mount.type](mount)


def _bind_problems(mount: Mount) -> Iterator[str]:
    where = f'the mount at "{mount.target}"'
    if not mount.source.startswith("/"):
        yield f'{where} has the source "{mount.source}", which is not an absolute path of the node'
    if mount.HasField("tmpfs"):
        yield f"{where} is a bind mount with options of tmpfs"
    if mount.bind.propagation and mount.bind.propagation not in PROPAGATIONS:
        allowed = ", ".join(PROPAGATIONS)
        yield f'{where} has the propagation "{mount.bind.propagation}", not one of {allowed}'
    if mount.bind.HasField("selinux") and mount.bind.selinux not in RELABELS:
        yield f'{where} has the SELinux option "{shown(mount.bind.selinux)}", which is neither z nor Z'


def _tmpfs_problems(mount: Mount) -> Iterator[str]:
    where = f'the mount at "{mount.target}"'
    if mount.source:
        yield f"{where} is a tmpfs, which has no source"
    if mount.HasField("bind"):
        yield f"{where} is a tmpfs with options of bind"
    yield from negative((f"the size of {where}", mount.tmpfs.size_bytes))
    if mount.tmpfs.mode > 0o7777:
        yield f"{where} has the mode {mount.tmpfs.mode:o}, and the largest is 7777"


_MOUNTS: Mapping[int, Callable[[Mount], Iterator[str]]] = {
    Mount.TYPE_BIND: _bind_problems,
    Mount.TYPE_TMPFS: _tmpfs_problems,
    Mount.TYPE_VOLUME: mount_problems,
    Mount.TYPE_IMAGE: image_mount_problems,
    Mount.TYPE_CLUSTER: cluster_mount_problems,
}


def _is_signal(text: str) -> bool:
    if re.fullmatch("[0-9]{1,3}", text):
        return 1 <= int(text) <= signal.SIGRTMAX
    name = text.upper().removeprefix("SIG")
    return (
        f"SIG{name}" in signal.Signals.__members__ or re.fullmatch(r"RTM(IN\+|AX-)\d{1,2}", name) is not None
    )
