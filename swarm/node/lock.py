"""One daemon per folder and per socket."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from swarm.errors import FailedPrecondition
from swarm.file_lock import lock_alone


@contextlib.contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Hold the lock file within the block; raises FailedPrecondition while another process holds it.

    The kernel lets go of the lock when the process ends, however it ends.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FailedPrecondition(f"cannot open {path}: {error.strerror}") from error
    try:
        try:
            lock_alone(descriptor)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise FailedPrecondition(f"another swarmd (process {owner}) runs with {path.parent}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def remove_stale_socket(path: Path) -> None:
    """Remove the socket of a daemon that died; raises FailedPrecondition when somebody listens on it."""
    if not path.is_socket():
        if path.exists():
            raise FailedPrecondition(f"{path} exists and is no socket")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise FailedPrecondition(f"another daemon listens on {path}: choose another socket or run_dir")
