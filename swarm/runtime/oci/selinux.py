"""Which SELinux labels have a container's processes and files? The reading of files here blocks briefly.

A container without wishes has the policy's type for containers and two categories that no other one of this
node has: its processes reach its own files, and nobody else's.
"""

import random
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.base import ContainerConfig, SELinuxLabel

KERNEL = Path("/sys/fs/selinux")
SETTINGS = Path("/etc/selinux")
LEVEL_FILE = "selinux"  # in the directory of a container: its level, for as long as it exists
CATEGORIES = 1024
_TRIES = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What labels of containers are made of on this node."""

    process: str = "system_u:system_r:container_t:s0"
    file: str = "system_u:object_r:container_file_t:s0"
    enforcing: bool = True


@dataclass(frozen=True, slots=True)
class Labels:
    """Those of one container."""

    process: str
    mount: str  # of its files
    shared: str  # of files that all containers may use
    level: str = ""  # its own, to be written down
    nested: bool = False


def read_policy(kernel: Path = KERNEL, settings: Path = SETTINGS) -> Policy | None:
    """Return what the node's policy says of containers, None where the kernel has no SELinux."""
    try:
        enforcing = (kernel / "enforce").read_text("ascii").strip() == "1"
    except OSError:
        return None
    said = _contexts(settings)
    usual = Policy(enforcing=enforcing)
    return replace(usual, process=said.get("process", usual.process), file=said.get("file", usual.file))


def _contexts(settings: Path) -> dict[str, str]:
    """Return the entries of the file in which a policy says how containers are labelled."""
    try:
        lines = (settings / "config").read_text("utf-8").splitlines()
        kind = next((one.partition("=")[2].strip() for one in lines if one.startswith("SELINUXTYPE=")), "")
        text = (settings / (kind or "targeted") / "contexts/lxc_contexts").read_text("utf-8")
    except OSError:
        return {}
    entries = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {key.strip(): value.strip().strip('"') for key, _, value in entries if value}


def described(policy: Policy | None) -> str:
    """Return what people should know of a node's SELinux."""
    if policy is None:
        return "no"
    return "enforcing" if policy.enforcing else "permissive"


def is_labelled(config: ContainerConfig) -> bool:
    """Tell whether a container is confined by a label: not who has the run of the node or its processes."""
    opened = config.security.privileged or config.shared.pid or config.shared.ipc
    return not (opened or config.security.selinux.disabled)


def label_warnings(config: ContainerConfig, policy: Policy | None) -> Iterator[str]:
    """Yield a sentence when a label is asked for that the container does not get."""
    if config.security.selinux in (SELinuxLabel(), SELinuxLabel(disabled=True)):
        return
    if policy is None:
        yield "without the SELinux label that was asked for: this node has no SELinux"
    elif not is_labelled(config):
        yield "without an SELinux label: it is privileged, or shares processes or memory with the node"


def make_labels(wanted: SELinuxLabel, policy: Policy, level: str) -> Labels:
    """Return the labels of a container; `level` is its own, which counts where it wants no other."""
    level = wanted.level or level
    process = _with(policy.process, wanted.user, wanted.role, wanted.type, level)
    mount = _with(policy.file, wanted.user, "", "", level)
    return Labels(process, mount, policy.file, level, wanted.nested)


def _with(label: str, user: str, role: str, kind: str, level: str) -> str:
    """Return a label with other parts; a policy without levels has none to change."""
    parts = label.split(":", 3)
    wanted = (user, role, kind, level)
    return ":".join(new or old for old, new in zip(parts, wanted, strict=False))


def free_level(label: str, taken: Collection[str], choose: random.Random) -> str:
    """Return a level that nobody has, of two categories; empty where labels have no level.

    Raises TaskRejected when none is found.
    """
    parts = label.split(":", 3)
    if len(parts) < 4:
        return ""
    sensitivity = parts[3].partition(":")[0].partition("-")[0]
    for _ in range(_TRIES):
        low, high = sorted(choose.sample(range(CATEGORIES), 2))
        level = f"{sensitivity}:c{low},c{high}"
        if level not in taken:
            return level
    raise TaskRejected("no SELinux categories are free on this node: it has too many containers")


def check_label(label: str, kernel: Path = KERNEL) -> None:
    """Ask the kernel whether its policy knows a label; raises TaskRejected."""
    try:
        (kernel / "context").write_bytes(label.encode() + b"\0")
    except OSError as error:
        raise TaskRejected(
            f"the SELinux policy of this node has no label {label}: {error.strerror}"
        ) from error


class Levels:
    """The levels of one driver's containers. Used by several threads."""

    def __init__(self, directory: Path) -> None:
        """`directory` has one directory for each container, with what it has written down."""
        self._directory = directory
        self._taken: dict[str, str] = {}
        self._lock = threading.Lock()
        self._choose = random.SystemRandom()

    def take(self, config: ContainerConfig, policy: Policy | None, kernel: Path = KERNEL) -> Labels | None:
        """Return the labels of a container, None when it is to have none; raises TaskRejected."""
        if policy is None or not is_labelled(config):
            return None
        wanted = config.security.selinux
        level = "" if wanted.level else self._level(config.id, policy)
        labels = make_labels(wanted, policy, level)
        for label in (labels.process, labels.mount):
            check_label(label, kernel)
        return labels

    def give_back(self, container_id: str) -> None:
        """Let others have the level of a container that is gone."""
        with self._lock:
            self._taken.pop(container_id, None)

    def _level(self, container_id: str, policy: Policy) -> str:
        with self._lock:
            known = dict(self._written()) | self._taken
            if container_id not in known:  # else it is renewed: it keeps its files, and they their labels
                known[container_id] = free_level(policy.process, set(known.values()), self._choose)
            self._taken[container_id] = known[container_id]
            return known[container_id]

    def _written(self) -> Iterator[tuple[str, str]]:
        for path in self._directory.glob(f"*/{LEVEL_FILE}"):
            try:
                yield path.parent.name, path.read_text("ascii")
            except (OSError, ValueError):  # just removed
                continue
