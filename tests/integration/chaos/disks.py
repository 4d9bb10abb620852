"""Disks of managers: file systems on block devices that lose their power, and disks that are slow or bad.

    state of a manager (ext4) ── loop device ── its image, a file ── file system of all images ── loop device

What a machine keeps through a power cut is what its block device was given. Freezing the file system with
the images stops all devices at one moment, in the middle of whatever the managers do and without telling
them; copies of the images made then are what a cut at that moment leaves.
"""

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swarm.dev.plan import Node, Plan
from tests.integration.chaos.disk_faults.sitecustomize import FOLDER

_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_IMAGE_MIB = 512  # sparse: only what is used takes room
_HERE = Path(__file__).parent


def _run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)


def _make(image: Path, mebibytes: int) -> None:
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", image)


class Disks:
    """One disk a manager, mounted where its state is."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._shelf = folder / "shelf"  # where the images are
        self._copies = folder / "copies"
        self._all = folder / "shelf.img"
        self._restored = 0

    def attach(self) -> None:
        """Make the disks and mount them; before the cluster is started."""
        for path in (self._shelf, self._copies):
            path.mkdir()
        _make(self._all, _IMAGE_MIB * (len(self._plan.nodes) + 1))
        _run("mount", "-o", "loop", self._all, self._shelf)
        for node in self._plan.nodes:
            _make(self._image(node), _IMAGE_MIB)
            node.state_dir.mkdir(parents=True, exist_ok=True)
            self._mount(node)

    def cut(self) -> None:
        """Copy what all devices hold at one moment of this call."""
        descriptor = os.open(self._shelf, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _FIFREEZE, 0)
            try:
                for node in self._plan.nodes:
                    _run("cp", "--sparse=always", self._image(node), self._copies)
            finally:
                fcntl.ioctl(descriptor, _FITHAW, 0)
        finally:
            os.close(descriptor)

    def restore(self) -> None:
        """Put in the copies of the last cut; nobody may be using the disks.

        Each in a file of its own: a file system that was mounted from a file goes on as long as any mount
        namespace of the machine has it, and whoever mounts that file again gets it as it was before the cut.
        """
        before = {node.name: self._image(node) for node in self._plan.nodes}
        self._restored += 1
        for node in self._plan.nodes:
            _run("umount", node.state_dir)
            before[node.name].unlink()
            copy = self._copies / before[node.name].name
            _run("cp", "--sparse=always", copy, self._image(node))
            copy.unlink()
            self._mount(node)

    def detach(self) -> None:
        """Unmount whatever is mounted; what another mount namespace still has goes with that."""
        for path in (*(node.state_dir for node in self._plan.nodes), self._shelf):
            while path.is_mount():
                _run("umount", "--lazy", path)

    def _image(self, node: Node) -> Path:
        return self._shelf / f"{node.name}-{self._restored}.img"

    def _mount(self, node: Node) -> None:
        _run("mount", "-o", "loop", self._image(node), node.state_dir)


@contextlib.contextmanager
def disks(plan: Plan) -> Iterator[Disks]:
    """Give every node of a cluster a disk of its own; its daemons must have ended at the end."""
    with tempfile.TemporaryDirectory(prefix="swarm-disks-", dir="/var/tmp") as folder:
        made = Disks(plan, Path(folder))
        try:
            made.attach()
            yield made
        finally:
            made.detach()


class BadDisks:
    """Tells daemons that were started under `bad_disks` what syncing does from now on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def order(self, node: Node, what: str) -> None:
        """Let the log of a node's disk be `sleep SECONDS`, `skip`, `fail ERRNO`, or good (empty)."""
        draft = self._folder / f".{node.name}"
        draft.write_text(what)
        draft.replace(self._folder / node.name)


@contextlib.contextmanager
def bad_disks() -> Iterator[BadDisks]:
    """Daemons started meanwhile do with their disk as they are told."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", FOLDER)}
    with tempfile.TemporaryDirectory(prefix="swarm-bad-disks-") as folder:
        path = [str(_HERE / "disk_faults"), *filter(None, [before["PYTHONPATH"]])]
        os.environ.update({"PYTHONPATH": os.pathsep.join(path), FOLDER: folder})
        try:
            yield BadDisks(Path(folder))
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
