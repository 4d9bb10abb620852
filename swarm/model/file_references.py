"""Where are the secrets and configs that a container refers to, and are the references valid?"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarm.api.v1.specs_pb2 import ConfigReference, ContainerSpec, SecretReference
from swarm.model.limits import TEXT_BYTES, shown

SECRETS_DIR = "/run/secrets"
MODE = 0o444  # Docker's
MODE_MAX = 0o7777
ID_MAX = 0xFFFF_FFFE  # the greatest number stands for "leave it"


@dataclass(frozen=True, slots=True)
class FileReference:
    """One secret or config in a container."""

    kind: str  # secret or config
    id: str
    name: str  # of the object
    target: str  # absolute path in the container; empty: only the id is known yet
    uid: int
    gid: int
    mode: int

    def __str__(self) -> str:
        """Return it as people call it."""
        return f"{self.kind} {shown(self.name or self.id)}"


def file_references(spec: ContainerSpec) -> tuple[FileReference, ...]:
    """Return what a container refers to, secrets first."""
    return (*map(_of_secret, spec.secrets), *map(_of_config, spec.configs))


def data_ids(spec: ContainerSpec) -> frozenset[str]:
    """Return the ids of all secrets and configs that a container refers to."""
    return frozenset((*(one.secret_id for one in spec.secrets), *(one.config_id for one in spec.configs)))


def reference_problems(spec: ContainerSpec) -> Iterator[str]:
    """Yield every problem of a container's references, also with its mounts."""
    taken = {_normal(mount.target): f"the mount at {shown(mount.target)}" for mount in spec.mounts}
    files: dict[PurePosixPath, FileReference] = {}
    for one in file_references(spec):
        problem = _problem(one)
        if problem:
            yield problem
        if problem or not one.target:
            continue
        target = PurePosixPath(_normal(one.target))
        if str(target) in taken:
            yield f"{one} has the target {shown(one.target)}, and so has {taken[str(target)]}"
        taken[str(target)] = str(one)
        files[target] = one
    for target, one in files.items():
        for parent in target.parents:
            if parent in files:
                yield f"the target {target} of {one} lies below that of {files[parent]}, which is a file"


def _problem(one: FileReference) -> str:
    if not one.id and not one.name:
        return f"a reference to a {one.kind} names none"
    target = one.target or "/unknown"
    if ".." in target.split("/") or "\0" in target or not target.strip("/") or target.endswith("/"):
        return f'{one} has the target "{shown(target)}", which is not the path of a file without ".."'
    if len(target.encode()) > TEXT_BYTES.value:
        return f"{one} has a target of more than {TEXT_BYTES.value} bytes ({TEXT_BYTES.name})"
    if one.mode > MODE_MAX:
        return f"{one} has the mode {one.mode:o}, and the largest is {MODE_MAX:o}"
    if max(one.uid, one.gid) > ID_MAX:
        return f"{one} has the user or group id {max(one.uid, one.gid)}, and the largest is {ID_MAX}"
    return ""


def _normal(target: str) -> str:
    return str(PurePosixPath("/", target.lstrip("/")))


def _of_secret(one: SecretReference) -> FileReference:
    return _reference("secret", one.secret_id, one.secret_name, one, SECRETS_DIR)


def _of_config(one: ConfigReference) -> FileReference:
    return _reference("config", one.config_id, one.config_name, one, "")


def _reference(
    kind: str, data_id: str, name: str, one: SecretReference | ConfigReference, folder: str
) -> FileReference:
    target = one.target.name or name
    mode = one.target.mode if one.target.HasField("mode") else MODE
    path = target if target.startswith("/") or not target else f"{folder}/{target}"
    return FileReference(kind, data_id, name, path, one.target.uid, one.target.gid, mode)
