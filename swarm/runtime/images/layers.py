"""Unpacked layers: each a folder with a short name, whole or not there.

A layer is unpacked in `unpacking/`, then renamed to `layers/<number>`. It is not synced before it is used:
the records remember the boot, and a layer that was not synced before the power failed is unpacked again.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from swarm.errors import InvalidArgument, Unavailable
from swarm.runtime.images.digests import short
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.unpack import Order, Outcome

# The child gets our search path and nothing else of our environment.
_CHILD = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); "
    "from swarm.runtime.images.unpack import main; main()"
)


class LayerDirectory:
    """The folders of unpacked layers."""

    def __init__(self, root: Path, limits: Limits, *, overlay: bool, parallel_max: int = 0) -> None:
        """Open or make the folders below `root`; `parallel_max` 0: as many unpackers as cores."""
        self._layers = root / "layers"
        self._unpacking = root / "unpacking"
        self._limits = limits
        self._overlay = overlay
        self._slots = asyncio.Semaphore(parallel_max or max(2, os.cpu_count() or 1))
        self._active: set[Path] = set()
        for folder in (self._layers, self._unpacking):
            # Images contain set-user-id programs and device nodes: nobody but us may reach them.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.empty().mkdir(mode=0o755, exist_ok=True)

    def path(self, number: int) -> Path:
        """Return the folder of a layer."""
        return self._layers / str(number)

    def numbers(self) -> list[int]:
        """Return the numbers of all layers that are here."""
        return [
            int(path.name) for path in self._layers.iterdir() if path.name.isdecimal() and path.name != "0"
        ]

    async def unpack(self, blob: Path, diff_id: str) -> tuple[Path, Outcome]:
        """Unpack `blob` and return the folder, not yet published, with what is in it.

        Raises InvalidArgument when the layer is bad, Unavailable when this node cannot unpack it now.
        """
        async with self._slots:
            target = self._new_folder()
            try:
                outcome = await self._run(blob, target)
                _check(outcome, diff_id)
            except BaseException:
                await asyncio.shield(self._discard(target))
                raise
            return target, outcome

    def publish(self, unpacked: Path, number: int) -> None:
        """Give an unpacked layer its place. The records make it visible after that."""
        unpacked.rename(self.path(number))
        self._active.discard(unpacked)

    def is_older(self, number: int, before_ns: int) -> bool:
        """Tell whether a layer came before `before_ns`; one that is missing did."""
        try:
            # Renaming sets it; the image decides about the time of modification.
            return self.path(number).stat().st_ctime_ns < before_ns
        except FileNotFoundError:
            return True

    def empty(self) -> Path:
        """Return an empty folder: an image without layers still needs something to mount."""
        return self.path(0)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a folder for the duration of a block; what is in it then goes with the leftovers."""
        folder = self._new_folder()
        try:
            yield folder
        finally:
            self._active.discard(folder)

    def withdraw(self, path: Path) -> None:
        """Take a layer or a file out of its place, to be deleted with the leftovers.

        No folder is made for it: that takes room, of which there may be none.
        """
        path.rename(self._unpacking / f"{path.name}.{secrets.token_hex(8)}")

    async def delete_leftovers(self) -> None:
        """Delete withdrawn layers and what killed unpackers left."""
        for path in await asyncio.to_thread(lambda: list(self._unpacking.iterdir())):
            if path not in self._active:
                await delete_tree(path)

    async def sync(self) -> None:
        """Bring all layers to the disk."""
        await asyncio.to_thread(_sync_file_system, self._layers)

    def _new_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self._unpacking))
        folder.chmod(0o755)  # what a layer's root is when the layer does not say
        self._active.add(folder)
        return folder

    async def _discard(self, target: Path) -> None:
        await delete_tree(target)
        self._active.discard(target)

    def _command(self, blob: Path, target: Path) -> list[str]:
        order = Order(
            target=str(target.absolute()),
            parent=os.getpid(),
            confine=self._overlay,
            overlay=self._overlay,
            entries_max=self._limits.entries_max,
            inflated_bytes_max=self._limits.inflated_bytes_max(blob.stat().st_size),
            name_bytes_max=self._limits.name_bytes_max,
        )
        search_path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
        return [sys.executable, "-I", "-X", "utf8", "-c", _CHILD, search_path, json.dumps(asdict(order))]

    async def _run(self, blob: Path, target: Path) -> Outcome:
        command = self._command(blob, target)
        with blob.open("rb") as source:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=source,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        try:
            answer, complaint = await child.communicate()
        except BaseException:
            child.kill()
            await asyncio.shield(child.wait())
            raise
        if child.returncode != 0:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            raise Unavailable(f"the unpacking process ended with {child.returncode}: {last}")
        return Outcome(**json.loads(answer))


def _check(outcome: Outcome, diff_id: str) -> None:
    if outcome.error:
        raise InvalidArgument(f"layer {short(diff_id)} cannot be unpacked: {outcome.error}")
    if outcome.diff_id != diff_id:
        raise InvalidArgument(f"layer {short(diff_id)} unpacks to {outcome.diff_id}")


async def delete_tree(path: Path) -> None:
    """Delete a folder of any depth; hostile layers nest deeper than Python can recurse."""
    child = await asyncio.create_subprocess_exec("rm", "-rf", "--one-file-system", "--", str(path))
    await child.wait()


def _sync_file_system(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(descriptor)
