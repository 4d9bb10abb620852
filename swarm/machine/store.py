"""What do we know of our machines? A folder for each: record, journal, pinned host keys, no secrets.

    $XDG_DATA_HOME/swarmctl/machines/NAME/{machine.json, journal.jsonl, known_hosts, lock}

What was made for one machine alone (`id_ed25519`, the SSH key of a cloud's machine) is there, too.

Whoever works on a machine holds its lock; files are replaced as a whole, so a cut leaves the one of before.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swarm.errors import InvalidArgument, NameConflict, NotFound
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError
from swarm.machine.host_keys import HostKey, known_hosts_text, parse_known_hosts

SCHEMA = 1
JOURNAL_LINES_MAX = 2000
NAME = re.compile(r"[a-z0-9A-Z][a-zA-Z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Record:
    """One machine. `state`: creating, failed or ready; ids and release are what was seen last.

    `labels` are to be on its node, `labelled` were put there. `begun`: somebody started to make it a member
    of the cluster, perhaps it is one. `made`: what its driver has to remember of it.
    """

    name: str
    driver: str
    endpoint: Endpoint
    cluster: str = "default"
    role: str = ""
    state: str = "creating"
    advertise_addr: str = ""
    data_path_addr: str = ""
    node_id: str = ""
    cluster_id: str = ""
    release: str = ""
    begun: bool = False
    created_ns: int = 0
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    labelled: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_somebody(self) -> bool:
        """Whether it was ready once, or may be a node: it is not taken away for a mere failure."""
        return self.state == "ready" or self.begun or bool(self.node_id)


class MachineStore:
    """The machines of this user."""

    def __init__(self, root: Path) -> None:
        """Use `root`, made when the first machine is."""
        self.root = root

    def names(self) -> list[str]:
        """Return the names of all machines, also of those whose record cannot be read."""
        with suppress(FileNotFoundError):
            return sorted(
                path.name for path in self.root.iterdir() if path.is_dir() and NAME.fullmatch(path.name)
            )
        return []

    def folder(self, name: str) -> Path:
        """Return where a machine is kept; raises InvalidArgument."""
        if not NAME.fullmatch(name):
            raise InvalidArgument(
                f'"{name}" cannot be the name of a machine: letters, digits, - _ . (63 at most)'
            )
        return self.root / name

    def load(self, name: str) -> Record:
        """Return a machine; raises NotFound, MachineError when its record is damaged."""
        path = self.folder(name) / "machine.json"
        try:
            return parse_record(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none yet"
            raise NotFound(f'there is no machine "{name}"; known: {known} (swarmctl machine ls)') from None
        except (ValueError, KeyError, TypeError) as error:
            raise MachineError(
                f"the record of machine {name} is damaged ({path}: {error}): swarmctl machine rm "
                f"--force {name}"
            ) from error

    def load_all(self, cluster: str = "") -> list[Record]:
        """Return all machines, or those of one cluster; damaged records are left out."""
        found = []
        for name in self.names():
            with suppress(MachineError, NotFound):
                record = self.load(name)
                if cluster in ("", record.cluster):
                    found.append(record)
        return found

    def add(self, record: Record) -> None:
        """Keep a new machine; raises NameConflict."""
        if (self.folder(record.name) / "machine.json").exists():
            raise NameConflict(
                f"there is a machine {record.name} already: swarmctl machine inspect {record.name}"
            )
        self.save(record)

    def save(self, record: Record) -> None:
        """Keep what is known now."""
        data = {"schema": SCHEMA, **asdict(record)}
        write_private(self.folder(record.name) / "machine.json", json.dumps(data, indent=2) + "\n")

    def remove(self, name: str) -> None:
        """Forget a machine, whatever its record looks like."""
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def host_keys(self, name: str) -> dict[str, tuple[HostKey, ...]]:
        """Return the pinned keys of a machine and of the hops to it."""
        with suppress(FileNotFoundError):
            return parse_known_hosts((self.folder(name) / "known_hosts").read_text("utf-8"))
        return {}

    def save_host_keys(self, name: str, keys: Mapping[str, tuple[HostKey, ...]]) -> None:
        """Pin keys."""
        text = known_hosts_text(keys)
        path = self.folder(name) / "known_hosts"
        with suppress(FileNotFoundError):
            if path.read_text("utf-8") == text:
                return
        write_private(path, text)

    def write_journal(self, name: str, entry: Mapping[str, Any]) -> None:
        """Add a line to what happened with a machine."""
        folder = self.folder(name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "journal.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def journal(self, name: str, last: int = JOURNAL_LINES_MAX) -> list[dict[str, Any]]:
        """Return what happened with a machine, the newest at the end."""
        found = []
        with suppress(FileNotFoundError):
            for line in (
                (self.folder(name) / "journal.jsonl").read_text("utf-8", "replace").splitlines()[-last:]
            ):
                with suppress(ValueError):  # a cut line
                    found.append(json.loads(line))
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Be the only one who works on a machine; raises MachineError when somebody else does."""
        folder = self.folder(name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MachineError(f"another swarmctl works on machine {name}: wait for it") from None
            yield

    @contextmanager
    def cluster_lock(self, cluster: str) -> Iterator[None]:
        """Be the only one who starts a cluster; raises MachineError when somebody else does."""
        folder = self.root.parent / "clusters"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / f"{self.folder(cluster).name}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MachineError(
                    f"another swarmctl starts the cluster {cluster}: run the same again"
                ) from None
            yield


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only; its folder is made when it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def parse_record(data: dict[str, Any]) -> Record:
    """Return the record of its JSON form; raises ValueError, KeyError or TypeError."""
    if data.pop("schema") != SCHEMA:
        raise ValueError("it was written by another version of swarmctl")
    reach = data.pop("endpoint")
    endpoint = Endpoint(Hop(**reach["hop"]), reach["key"], tuple(Hop(**hop) for hop in reach["jumps"]))
    return Record(endpoint=endpoint, **data)


def default_root() -> Path:
    """Return where the machines of this user are kept."""
    named = os.environ.get("SWARMCTL_MACHINES", "")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return Path(named) if named else data / "swarmctl" / "machines"


def cache_root() -> Path:
    """Return where bundles are kept, which can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swarmctl" / "bundles"
