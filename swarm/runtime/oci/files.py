"""The files of a driver's containers: copied in and out, and what became of those of their images."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from pathlib import Path

from swarm.errors import FailedPrecondition
from swarm.runtime.changes import Change
from swarm.runtime.disk import tree_bytes
from swarm.runtime.oci import copying
from swarm.runtime.oci.overlay import mount_overlay
from swarm.runtime.oci.own_users import mount_root
from swarm.runtime.oci.tree_archive import DIRECTORY
from swarm.runtime.oci.user_ranges import UserRanges
from swarm.runtime.renewing_driver import RenewingDriver


class FilesDriver(RenewingDriver):
    """Adds what people do with files; for containers on an overlay of their image's layers."""

    _users: UserRanges
    _mount_points: Path

    async def path_kind(self, container_id: str, path: str) -> str:
        """Return what a path inside a container leads to."""
        with self._root(container_id) as root:
            return await copying.path_kind(root, path)

    async def copy_from(self, container_id: str, path: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield a tar archive of what is at a path."""
        with self._root(container_id) as root:
            users = self._users.of(container_id)
            async with aclosing(copying.copy_from(root, path, follow=follow, users=users)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def copy_to(
        self, container_id: str, path: str, archive: AsyncIterator[bytes], *, keep_owner: bool = False
    ) -> None:
        """Unpack a tar archive into a directory."""
        with self._root(container_id) as root:
            users = self._users.of(container_id)
            await copying.copy_to(root, path, archive, keep_owner=keep_owner, users=users)

    async def changes(self, container_id: str) -> AsyncIterator[Change]:
        """Yield the paths that are not as in the image."""
        async with (
            self._opened(container_id) as (root, upper),
            aclosing(copying.changes(root, upper, self._lowers(container_id))) as found,
        ):
            async for one in found:
                yield one

    async def export(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield a tar archive of all files, without what is mounted among them."""
        users = self._users.of(container_id)
        async with (
            self._opened(container_id) as (root, _),
            aclosing(copying.export(root, users)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def layer(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield what a container changed as a layer of an image."""
        users = self._users.of(container_id)
        async with (
            self._opened(container_id) as (root, upper),
            aclosing(copying.layer(root, upper, users)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def disk_bytes(self, container_id: str, *, output: bool = True) -> int:
        """Return what a container has written, and its log, on the disk."""
        if output:
            return await super().disk_bytes(container_id)
        return await self._in_thread(tree_bytes, self._container_dir(container_id) / "upper")

    def _root(self, container_id: str) -> AbstractContextManager[int]:
        return copying.root_of(self._get(container_id).record, self._container_dir(container_id) / "rootfs")

    def _lowers(self, container_id: str) -> list[Path]:
        image = self._layers.leases().get(container_id, "")
        return [*self._layers.lower_dirs(image), self._mount_points]

    def _mount_again(self, container_id: str) -> None:
        """Show the files of a container that ended before the node was restarted, as `renew` would."""
        self._get(container_id)
        directory = self._container_dir(container_id)
        if os.path.ismount(directory / "rootfs"):
            return
        lowers, users = self._lowers(container_id), self._users.of(container_id)
        try:
            if users is not None:
                mount_root(lowers, directory, users)
            else:
                mount_overlay(lowers, directory / "upper", directory / "work", directory / "rootfs")
        except OSError as error:
            raise _no_files(error) from error

    @asynccontextmanager
    async def _opened(self, container_id: str) -> AsyncIterator[tuple[int, int]]:
        """Open all files and the writable layer, as the node sees them: with nothing mounted among them.

        Whoever removes the container meanwhile does not wait for us.
        """
        directory = self._container_dir(container_id)
        found: list[int] = []
        try:
            async with self._turns.of(container_id):
                await self._in_thread(self._mount_again, container_id)
                try:
                    found.append(os.open(directory / "rootfs", DIRECTORY))
                    found.append(os.open(directory / "upper", DIRECTORY))
                except OSError as error:
                    raise _no_files(error) from error
            yield found[0], found[1]
        finally:
            for fd in found:
                os.close(fd)


def _no_files(error: OSError) -> FailedPrecondition:
    return FailedPrecondition(f"the container has no files any more: {error.strerror}")
