"""A small disk that can fill up and break: ext4 on a loop device over memory that can be sealed."""

import fcntl
import os
import subprocess
from pathlib import Path

_F_ADD_SEALS, _F_SEAL_WRITE = 1033, 0x0008
_MEBIBYTES = 16


class BreakableDisk:
    """A mounted file system; errors come from the kernel, as with a real disk."""

    def __init__(self, directory: Path) -> None:
        """Mount it over a directory, with the files that are there; nobody may be using them."""
        files = {path.name: path.read_bytes() for path in directory.iterdir()}
        self._directory = directory
        self._memory = os.memfd_create("disk", os.MFD_ALLOW_SEALING)
        os.ftruncate(self._memory, _MEBIBYTES << 20)
        device = f"/proc/{os.getpid()}/fd/{self._memory}"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", device], check=True)
        subprocess.run(["mount", "-o", "loop", device, directory], check=True)
        (directory / "lost+found").rmdir()
        for name, content in files.items():
            (directory / name).write_bytes(content)

    @property
    def _filler(self) -> Path:
        return self._directory / "filler"

    def fill(self) -> None:
        """Leave no room: writing fails with "No space left on device"."""
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 10):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def make_room(self) -> None:
        """Undo `fill`."""
        self._filler.unlink()

    def break_for_good(self) -> None:
        """Let all writes to the device fail: the next fsync says so."""
        fcntl.fcntl(self._memory, _F_ADD_SEALS, _F_SEAL_WRITE)

    def detach(self) -> None:
        """Unmount it as soon as nobody uses it."""
        subprocess.run(["umount", "--lazy", self._directory], check=True)
        os.close(self._memory)
