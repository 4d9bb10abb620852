"""A copy of an OCI runtime that nobody can change, so that it need not copy itself at each start.

A container that gets hold of the runtime's program through /proc/self/exe must not be able to write to it.
So runc and crun make a copy first and start themselves again from that: for each container and each command.
They leave it when they find that they are such a copy already: a sealed file in memory.
"""

import fcntl
import os
import shutil
from pathlib import Path

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SealedProgram:
    """The copy of one program; it is there as long as this object is not closed."""

    def __init__(self, program: str) -> None:
        """Copy the program; where that does not work, its own path stays good. Blocks for a millisecond."""
        self.path = program
        self._fd = -1
        try:
            self._fd = _copied(program)
            path = f"/proc/{os.getpid()}/fd/{self._fd}"
            if os.access(path, os.X_OK):  # a kernel may be told to run nothing from memory
                self.path = path
        except OSError:
            self.close()

    def close(self) -> None:
        """Let go of the copy; programs that run from it are not disturbed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _copied(program: str) -> int:
    fd = os.memfd_create(f"sealed:{Path(program).name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(program, "rb") as original, open(fd, "wb", closefd=False) as copy:  # noqa: PTH123
            shutil.copyfileobj(original, copy)
        os.fchmod(fd, 0o700)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
