"""Killed at any moment, the store shows whole content or none, and the next start goes on from there."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swarm.runtime.images.store import LocalImageStore
from tests.unit.images.building import Content, FakeSource, digest, image, tar

pytestmark = pytest.mark.integration

REFERENCE = "127.0.0.1:1/web:1"
ROOT = Path(__file__).resolve().parents[3]

# A node that pulls and loads the images of the test over and over, saying what it has acknowledged.
NODE = """
import asyncio, json, sys
from pathlib import Path
from swarm.runtime.images.store import LocalImageStore
from tests.unit.images.building import Content, FakeSource, pieces, tar

async def main(folder, images):
    store = LocalImageStore(Path(folder), keep_recent_s=0)
    for number, (top, blobs) in enumerate(images):
        content = Content(top, {key: bytes.fromhex(value) for key, value in blobs.items()})
        name = f"127.0.0.1:1/web:{number}"
        if number % 2:
            await store.load((piece async for piece in pieces(tar(content.layout()), 50_000)), name)
        await store.ensure(name, "", None, FakeSource({name: content}))
        store.lease(f"task{number}", top)
        print(number, flush=True)
        await store.gc(2_000_000_000 * 1_000_000_000)

asyncio.run(main(sys.argv[1], json.loads(sys.stdin.read())))
"""


def make_images(count: int) -> list[Content]:
    shared = tar({f"shared{n}": os.urandom(3000) for n in range(50)})
    return [image(shared, tar({f"own{n}-{i}": os.urandom(2000) for i in range(100)})) for n in range(count)]


def run_and_kill(folder: Path, images: list[Content], after_s: float) -> list[int]:
    """Run the node, kill it after a while, and return which images it had acknowledged."""
    given = json.dumps([(one.top, {key: blob.hex() for key, blob in one.blobs.items()}) for one in images])
    with subprocess.Popen(
        [sys.executable, "-c", NODE, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(given)
        process.stdin.close()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split()
    return [int(line) for line in lines if line.isdecimal()]


@pytest.mark.parametrize("seed", range(5))
async def test_a_killed_node_shows_whole_images_or_none(tmp_path: Path, seed: int) -> None:
    images = make_images(6)
    # Start-up takes about half a second; the kill then falls anywhere in the work.
    acknowledged = run_and_kill(tmp_path, images, 0.5 + random.Random(seed).random() * 1.2)
    for blob in (tmp_path / "blobs" / "sha256").glob("*"):
        assert digest(blob.read_bytes()) == f"sha256:{blob.name}"
    store = LocalImageStore(tmp_path, keep_recent_s=0)
    for number in acknowledged:
        assert store.leases()[f"task{number}"] == images[number].top
        own = max(store.lower_dirs(images[number].top), key=lambda path: not (path / "shared0").exists())
        assert len(list(own.iterdir())) == 100
    for number, content in enumerate(images):
        name = f"127.0.0.1:1/web:{number}"
        await store.ensure(name, "", None, FakeSource({name: content}))
        assert sum(len(list(path.iterdir())) for path in store.lower_dirs(content.top)) == 150
        store.release(f"task{number}")
        await store.remove(name)
    await store.gc(time.time_ns() + 10**18)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["0"]
    assert list((tmp_path / "unpacking").iterdir()) == []
    await store.close()


def _confined_below(folder: Path) -> list[int]:
    """Return the processes that see nothing but something below a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/root"):
        with contextlib.suppress(OSError):  # it has ended
            if link.readlink().is_relative_to(folder):
                found.append(int(link.parent.name))
    return found


def _caught_unpacking(folder: Path, content: Content) -> subprocess.Popen[bytes] | None:
    """Return a node whose unpacker was stopped in the middle of its work; None when it was done before."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for name, blob in content.blobs.items():
        (folder / "blobs" / "sha256" / name[7:]).write_bytes(blob)
    script = f"""
import asyncio
from pathlib import Path
from swarm.runtime.images.store import LocalImageStore
async def main():
    await LocalImageStore(Path({str(folder)!r})).ensure({f"{REFERENCE}@{content.top}"!r}, "", None, None)
asyncio.run(main())
"""
    node = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    while node.poll() is None:
        for pid in _confined_below(folder / "unpacking"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        if _confined_below(folder / "unpacking"):
            return node
        time.sleep(0.005)
    assert node.returncode == 0
    return None


async def test_the_unpacker_dies_with_its_node(tmp_path: Path) -> None:
    content = image(tar({"zeros": bytes(200_000_000)}))
    folders = (tmp_path / str(number) for number in itertools.count())
    while (node := _caught_unpacking(folder := next(folders), content)) is None:
        pass
    node.kill()
    node.wait()
    deadline = time.monotonic() + 60
    while _confined_below(folder / "unpacking"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    assert list((folder / "layers").iterdir()) == [folder / "layers" / "0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_node_without_root_unpacks_too(tmp_path: Path) -> None:
    """The whole store as user nobody: no chroot, no devices, no owners."""
    script = f"""
import asyncio, os
from pathlib import Path
from examples.hello import build
from swarm.runtime.images.store import LocalImageStore

async def main():
    store = LocalImageStore(Path({str(tmp_path / "images")!r}))
    built = build.build(build.hello())
    async def archive():
        yield build.archive(built)
    await store.load(archive())
    config = await store.ensure("hello:1", "", None, None)
    lower = store.lower_dirs(config.digest)[0]
    assert (lower / "etc/passwd").stat().st_uid == os.geteuid() == 65534
    store.lease("task1", config.digest)
    await store.gc(10**19)
    assert (lower / "etc/passwd").exists()
    store.release("task1")
    await store.remove("hello:1")
    await store.gc(2 * 10**19)
    assert not lower.exists()
    await store.close()
    print("done")

asyncio.run(main())
"""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777 if folder == tmp_path else 0o755)
    # The interpreter may lie where nobody may read, so reading is all that this nobody may do more.
    readable = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    done = subprocess.run(
        [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            *readable,
            sys.executable,
            "-c",
            script,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr
