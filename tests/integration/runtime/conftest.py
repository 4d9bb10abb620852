"""Labs for the tests of drivers, and proof that each test leaves nothing behind.

Labs are kept for the whole run: trying a driver out costs more than most tests.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.runtime.labs import (
    REAL,
    SHIMS,
    Driver,
    Images,
    Lab,
    discard,
    new_lab,
    run,
    said,
    until,
)

__all__ = ["Driver", "Images", "Lab", "run", "said", "until"]
Labs = dict[str, Lab]


@pytest.fixture(scope="session")
def images_dir() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="swarm-test-images-"))
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="session")
def images(images_dir: Path) -> Images:
    return Images(images_dir)


@pytest.fixture(scope="session")
def labs() -> Iterator[Labs]:
    """The labs that were opened so far, by kind."""
    opened: Labs = {}
    yield opened
    traces = [asyncio.run(discard(lab)) for lab in opened.values()]
    assert not any(traces)


async def _shared(labs: Labs, kind: str, images: Images) -> AsyncIterator[Lab]:
    if kind not in labs:
        labs[kind] = new_lab(kind, images)
        await labs[kind].open()
    yield labs[kind]
    assert await labs[kind].tidy() == []


@pytest.fixture(params=REAL)
async def lab(request: pytest.FixtureRequest, labs: Labs, images: Images) -> AsyncIterator[Lab]:
    """With every driver that runs programs."""
    async for lab in _shared(labs, request.param, images):
        yield lab


@pytest.fixture(params=["fake", *REAL])
async def any_lab(request: pytest.FixtureRequest, labs: Labs, images: Images) -> AsyncIterator[Lab]:
    """With every driver."""
    async for lab in _shared(labs, request.param, images):
        yield lab


@pytest.fixture(params=["oci-crun", "oci-runc", "oci-starter"])
async def oci_lab(request: pytest.FixtureRequest, labs: Labs, images: Images) -> AsyncIterator[Lab]:
    async for lab in _shared(labs, request.param, images):
        yield lab


@pytest.fixture
async def process_lab(labs: Labs, images: Images) -> AsyncIterator[Lab]:
    async for lab in _shared(labs, "process", images):
        yield lab


@pytest.fixture(params=SHIMS)
async def shim_lab(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Lab]:
    """A lab of the test's own, of a driver with shims, for what is done to its files."""
    lab = new_lab(request.param, images)
    await lab.open()
    yield lab
    assert not await discard(lab)


@pytest.fixture(params=["oci-crun", "oci-runc", "oci-starter"])
async def new_oci_lab(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Lab]:
    """A lab in which nothing was tried out yet."""
    lab = new_lab(request.param, images)
    yield lab
    assert not await discard(lab)


@pytest.fixture
async def docker_lab(labs: Labs, images: Images) -> AsyncIterator[Lab]:
    async for lab in _shared(labs, "docker", images):
        yield lab
