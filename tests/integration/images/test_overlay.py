"""What the unpacker writes is what overlayfs understands: layers of an image, mounted by the kernel."""

import ctypes
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarm.runtime.images.store import LocalImageStore
from tests.unit.images.building import FakeSource, image, tar

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount"),
]

REFERENCE = "127.0.0.1:1/web:1"
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def mounted(lower: list[Path], target: Path) -> Iterator[Path]:
    """Mount an overlay without an upper folder: only reading is wanted."""
    target.mkdir()
    # The kernel wants two folders where nothing may be written.
    (target.parent / "nothing").mkdir(exist_ok=True)
    options = f"lowerdir={':'.join(map(str, [*lower, target.parent / 'nothing']))}"
    result = _libc.mount(b"overlay", bytes(target), b"overlay", ctypes.c_ulong(0), options.encode())
    assert result == 0, os.strerror(ctypes.get_errno())
    try:
        yield target
    finally:
        _libc.umount2(bytes(target), 2)


def with_folder(name: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO(tar(files))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
    return buffer.getvalue()


async def test_layers_add_replace_and_remove(tmp_path: Path) -> None:
    content = image(
        tar(
            {
                "keep": b"1",
                "gone": b"1",
                "dir/gone": b"1",
                "dir/keep": b"1",
                "opaque/old": b"1",
                "anew/old": b"1",
            }
        ),
        tar(
            {
                ".wh.gone": b"",
                "dir/.wh.gone": b"",
                "opaque/.wh..wh..opq": b"",
                "opaque/new": b"2",
                "keep": b"2",
            }
        ),
        with_folder("anew", {".wh.anew": b""}),
    )
    store = LocalImageStore(tmp_path / "images")
    await store.ensure(REFERENCE, "", None, FakeSource({REFERENCE: content}))
    with mounted(store.lower_dirs(content.top), tmp_path / "merged") as merged:
        seen = {str(path.relative_to(merged)): path for path in merged.rglob("*") if path.is_file()}
        assert sorted(seen) == ["dir/keep", "keep", "opaque/new"]
        assert seen["keep"].read_bytes() == b"2"
        assert list((merged / "anew").iterdir()) == []
    await store.close()


async def test_an_image_without_layers_and_one_with_a_repeated_layer_can_be_mounted(tmp_path: Path) -> None:
    twice = tar({"a": b"1"})
    content = image(twice, tar({".wh.a": b"", "b": b"1"}), twice)
    store = LocalImageStore(tmp_path / "images")
    await store.ensure(REFERENCE, "", None, FakeSource({REFERENCE: content}))
    with mounted(store.lower_dirs(content.top), tmp_path / "merged") as merged:
        assert sorted(path.name for path in merged.iterdir()) == ["a", "b"]
    await store.close()
