"""A store with a neighbourhood that must not change, whatever is brought to the store."""

import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swarm.model.registries import RegistryRules
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.store import LocalImageStore

CANARY = "canary"


def everything(root: Path) -> dict[str, tuple[object, ...]]:
    """What there is below a folder: kind, mode, owner, number of names, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        at = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(at.st_mode) else None
        links = at.st_nlink if content is not None else 0
        found[str(path.relative_to(root))] = (at.st_mode, at.st_uid, at.st_gid, links, content)
    return found


@contextmanager
def neighbourhood(place: Path) -> Iterator[Path]:
    """A folder for a store; what lies beside it must be the same afterwards, and nothing new be mounted."""
    outside = place / "outside"
    outside.mkdir()
    (outside / CANARY).write_text("untouched")
    (outside / CANARY).chmod(0o640)
    before, mounts = everything(outside), Path("/proc/self/mounts").read_text()
    inside = place / "store"
    try:
        yield inside
    finally:
        # What pytest does itself later fails where folders are nested deeper than Python recurses.
        subprocess.run(["mv", str(inside / "layers"), str(place / "deep")], check=False)
        subprocess.run(["rm", "-rf", str(place / "deep")], check=False)
    assert everything(outside) == before
    assert sorted(path.name for path in place.iterdir()) == ["outside", "store"]
    assert Path("/proc/self/mounts").read_text().count(str(place)) == mounts.count(str(place))


def assert_nothing_is_left(folder: Path, *, broken_transfers: bool = False) -> None:
    """Nothing that is half and no name is there; whole blobs with the right digest may be."""
    assert names(folder / "unpacking") == []
    assert names(folder / "layers") == ["0"]
    assert names(folder / "layers" / "0") == []
    assert names(folder / "leases") == []
    assert broken_transfers or names(folder / "blobs" / "partial") == []


async def assert_all_is_collected(store: LocalImageStore, folder: Path, now_ns: int) -> None:
    """What is left is garbage: nothing keeps it."""
    await store.gc(now_ns)
    assert names(folder / "blobs" / "sha256") == []


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def opened(folder: Path, limits: Limits | None = None) -> LocalImageStore:
    """A store that asks no registry but those of this machine."""
    return LocalImageStore(folder, limits=limits, registry_rules=RegistryRules(blocked=("*.invalid",)))


def assert_is_one_clear_line(said: str) -> None:
    """An error is for people: one line that any terminal and any message can show."""
    assert said.isprintable(), ascii(said)
    assert len(said) < 1000
    for word in ("Traceback", "Error:", "Error(", "object at 0x"):
        assert word not in said
