"""Mount namespaces like ours in which one mount is covered, for programs that must not see it. Blocks."""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from swarm.runtime.oci.overlay import mount

_NEWNS = 0x00020000
_RECURSIVELY, _SLAVE = 1 << 14, 1 << 19

_libc = ctypes.CDLL(None, use_errno=True)


class PrivateMounts:
    """Makes such namespaces, each of the mounts that are there at that moment."""

    def __init__(self, mount_point: str) -> None:
        """An empty directory covers what is mounted there: taking it away would wait for all processors."""
        self._mount_point = Path(mount_point)
        self._maker = _thread()
        self._closer = _thread()

    @contextmanager
    def namespace(self) -> Iterator[int]:
        """Yield a descriptor of a new namespace; raises OSError.

        Nobody is in it: it lasts as long as the descriptor, or what enters it. `unshare` and `mount` would
        be two programs to start.
        """
        try:
            namespace = self._maker.submit(self._made).result()
        except OSError:
            self._maker.shutdown(wait=False)
            self._maker = _thread()  # nobody knows where the old one is
            raise
        try:
            yield namespace
        finally:
            # The kernel waits for all processors before it lets go of the mounts; nobody else has to.
            self._closer.submit(os.close, namespace)

    def _made(self) -> int:
        # In a thread of its own, which the kernel gives a place of its own at the first time.
        home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)  # where the other threads are
        try:
            _check(_libc.unshare(_NEWNS))
            mount("none", Path("/"), "", _RECURSIVELY | _SLAVE)
            mount("none", self._mount_point, "tmpfs", options="size=64k,mode=755")
            namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            _check(_libc.setns(home, _NEWNS))
        finally:
            os.close(home)
        return namespace

    def close(self) -> None:
        """End the threads."""
        for thread in (self._maker, self._closer):
            thread.shutdown()


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="private mounts")


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot leave the node's mounts: {os.strerror(error)}")
