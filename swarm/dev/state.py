"""Which dev clusters are there? One small file each, written before anything else of the cluster is made."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import IO, Any

from swarm.dev.plan import Folders, Plan
from swarm.errors import FailedPrecondition

FILE = "cluster.json"
LOCK = ".lock"


def load(folders: Folders, name: str) -> Plan | None:
    """Return the plan of the cluster, None when there is none or its file cannot be read."""
    try:
        data = json.loads((folders.data / name / FILE).read_text())
        return _decode(folders, name, data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(plan: Plan) -> None:
    """Write the plan down; a reader sees all of it or nothing."""
    plan.data.mkdir(parents=True, exist_ok=True)
    plan.data.chmod(0o700)
    draft = plan.data / f"{FILE}.new"
    draft.write_text(json.dumps(_encode(plan), indent=1))
    draft.replace(plan.data / FILE)


def names(folders: Folders) -> Sequence[str]:
    """Return the names of all clusters, also of those of which only folders are left."""
    found = {path.name for folder in (folders.data, folders.run) for path in _folders_in(folder)}
    return sorted(found)


@contextmanager
def lock(folders: Folders) -> Iterator[None]:
    """Let only one process at a time choose subnets and change what clusters share."""
    file = _locked(folders)
    while file is None:
        file = _locked(folders)
    with file:
        yield


def _locked(folders: Folders) -> IO[str] | None:
    """Return the locked file; None when whoever took the last cluster down removed it under our hands."""
    folders.run.mkdir(parents=True, exist_ok=True, mode=0o755 if os.geteuid() == 0 else 0o700)
    if folders.run.lstat().st_uid != os.geteuid():
        raise FailedPrecondition(
            f"{folders.run} belongs to somebody else; set XDG_RUNTIME_DIR to a folder of yours"
        )
    path = folders.run / LOCK
    try:
        file = path.open("w")
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    file.close()
    return None


def _folders_in(folder: Path) -> Sequence[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _encode(plan: Plan) -> dict[str, Any]:
    return {
        "isolated": plan.isolated,
        "subnet": str(plan.subnet),
        "managers": plan.managers,
        "workers": plan.workers,
    }


def _decode(folders: Folders, name: str, data: dict[str, Any]) -> Plan:
    return Plan(
        name=name,
        isolated=bool(data["isolated"]),
        subnet=IPv4Network(data["subnet"]),
        managers=int(data["managers"]),
        workers=int(data["workers"]),
        folders=folders,
    )
