"""Where are an image's files on a node without containers? Layers laid over each other with symbolic links.

A directory that only one layer has becomes a link to it; one that several have becomes a real directory with
the entries of all. Nothing is copied, so what a process writes there is written into the image.
"""

import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_LINKS = 40  # as many as the kernel follows


def build_view(layers: Sequence[Path], view: Path) -> None:
    """Make the new directory `view` show the merged layers (top layer first); blocks."""
    view.mkdir()
    _merge([layer for layer in layers if layer.is_dir()], view)


def _merge(layers: Sequence[Path], target: Path) -> None:
    hidden: set[str] = set()
    found: dict[str, list[Path]] = {}
    for layer in layers:
        entries = {entry.name: entry for entry in layer.iterdir()}
        for name, entry in entries.items():
            if name not in hidden and not name.startswith(_WHITEOUT) and not _is_whiteout(entry):
                found.setdefault(name, []).append(entry)
        hidden |= _hides(entries)
        if _OPAQUE in entries:
            break
    for name, places in found.items():
        if len(places) > 1:  # all of them directories: anything else would have hidden the next
            (target / name).mkdir()
            _merge(places, target / name)
        else:
            (target / name).symlink_to(places[0])


def _hides(entries: dict[str, Path]) -> set[str]:
    """Return the names that a layer hides in the layers below: what it removed, and what is no directory."""
    removed = {name.removeprefix(_WHITEOUT) for name in entries if name.startswith(_WHITEOUT)}
    return removed | {name for name, entry in entries.items() if not _is_directory(entry)}


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def resolve_inside(view: Path, name: str) -> Path | None:
    """Return where a path of the image is on the node, None when the image has none.

    The image's links are followed as they would be inside a container: never out of the image.
    """
    inner: list[str] = []
    left = list(PurePosixPath("/", name).parts[1:])
    links = 0
    while left:
        part = left.pop(0)
        if part == "..":
            inner = inner[:-1]
            continue
        path = view.joinpath(*inner, part)
        target = _link_of_image(path, view)
        if target is None:
            if not path.exists():
                return None
            inner.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if target.is_absolute():
            inner = []
        left = [*(part for part in target.parts if part != "/"), *left]
    return view.joinpath(*inner)


def _link_of_image(path: Path, view: Path) -> PurePosixPath | None:
    """Return the target if a path is a symbolic link of the image itself, not one of the view's into a
    layer."""
    if not path.is_symlink():
        return None
    target = path.readlink()
    if path.parent.resolve().is_relative_to(view.resolve()):  # the view's own; what is it a link to?
        return PurePosixPath(target.readlink()) if target.is_symlink() else None
    return PurePosixPath(target)


def find_program(name: str, search_path: str, view: Path) -> Path | None:
    """Return the program that a container would run: the image's, else the node's; None when there is none.

    `search_path` is the container's PATH; a name with a slash is a path inside the image.
    """
    places = [name] if "/" in name else [f"{directory}/{name}" for directory in search_path.split(":")]
    for place in places:
        inside = resolve_inside(view, place)
        if inside is not None and _is_runnable(inside):
            return inside
    return next(
        (Path(place) for place in places if place.startswith("/") and _is_runnable(Path(place))), None
    )


def _is_runnable(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)
