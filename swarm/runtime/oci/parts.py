"""Images, and parts of volumes, as directories or files that can be bound into a container. Blocks.

What is to be mounted is found by the kernel inside its root, and the mount is made of that very file: nobody
can put a link in its place in between. It stands below the container's own folder, and goes with it.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, ImageMount, TmpfsMount, is_partial
from swarm.runtime.oci.overlay import bind, mount_layers, unmount
from swarm.runtime.oci.rootfs import open_part


def with_parts(
    config: ContainerConfig, images: Mapping[str, Sequence[Path]], folder: Path, label: str = ""
) -> ContainerConfig:
    """Return a config of whole binds only: with every image and every part of a volume mounted in `folder`.

    `images` has the layers of each image, top layer first; `label` is the SELinux label of their files.
    Raises OSError, TaskRejected where nothing is.
    """
    mounts = [
        _whole(one, images, folder / str(number), label) if is_partial(one) else one
        for number, one in enumerate(config.mounts)
    ]
    return replace(config, mounts=tuple(mounts))


def _whole(
    mount: BindMount | TmpfsMount | ImageMount, images: Mapping[str, Sequence[Path]], place: Path, label: str
) -> BindMount:
    assert not isinstance(mount, TmpfsMount)
    place.mkdir(parents=True, mode=0o755)
    if isinstance(mount, ImageMount):
        root, nothing = place / "image", place / "nothing"
        for path in (root, nothing):
            path.mkdir(mode=0o755)
        mount_layers([*images[mount.image_digest], nothing], root, label)
        source = _part(root, mount.subpath, place, f"the image mounted at {mount.target}")
        return BindMount(source=str(source), target=mount.target, read_only=True)
    source = _part(Path(mount.source), mount.subpath, place, f"the volume mounted at {mount.target}")
    return replace(mount, source=str(source), subpath="")


def _part(root: Path, subpath: str, place: Path, what: str) -> Path:
    if not subpath:
        return root
    try:
        found = open_part(root, subpath)
    except OSError as error:
        raise TaskRejected(f"{what} has no {subpath}: {error.strerror}") from error
    try:
        kind = os.fstat(found).st_mode
        part = place / "part"
        if stat.S_ISDIR(kind):
            part.mkdir(mode=0o755)
        elif stat.S_ISREG(kind):
            part.touch(mode=0o600)
        else:
            raise TaskRejected(f"{what} has neither a directory nor a file at {subpath}")
        bind(f"/proc/self/fd/{found}", part)
    finally:
        os.close(found)
    return part


def remove_parts(folder: Path) -> None:
    """Unmount and remove what `with_parts` made in `folder`; raises OSError when something stays mounted.

    One by one, never as a tree: that would reach through a mount that stayed, into the volume.
    """
    if not folder.exists():
        return
    for place in folder.iterdir():
        for name in ("part", "image", "nothing"):
            path = place / name
            while unmount(path):
                pass
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        place.rmdir()
    folder.rmdir()
