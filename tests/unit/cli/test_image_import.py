"""`swarmctl image import`: what the cluster is given of an archive."""

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Image
from swarm.cli import image, image_import


def an_archive() -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as tar:
        entry = tarfile.TarInfo("etc/hello")
        entry.size = 3_000_000
        tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return found.getvalue()


class Control:
    """A manager that takes one image."""

    def __init__(self) -> None:
        self.name, self.files = "", dict[str, bytes]()

    def LoadImage(self, requests: Iterator[c.LoadImageRequest], timeout: object) -> c.LoadImageResponse:
        taken = list(requests)
        self.name = taken[0].reference
        with tarfile.open(fileobj=io.BytesIO(b"".join(one.chunk for one in taken))) as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                assert content is not None
                self.files[entry.name] = content.read()
        return c.LoadImageResponse(images=[Image(digest="sha256:1")])

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        content = self.files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (
            descriptor["digest"].removeprefix("sha256:"),
            descriptor["size"],
        )
        return content


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    found = Control()
    connected = contextlib.nullcontext(SimpleNamespace(control=found))
    monkeypatch.setattr(image_import, "connect", lambda _: connected)
    return found


def run(*words: str, data: bytes = b"") -> Result:
    return CliRunner().invoke(image.image, ["import", *words], obj="", input=data)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_becomes_an_image_of_one_layer(
    control: Control, compress: Callable[[bytes], bytes]
) -> None:
    options = ("-c", "CMD serve -p", "-c", "ENV A=1", "-m", "by hand", "--platform", "linux/arm/v7")
    result = run(*options, "-", "shop/base:1", data=compress(an_archive()))
    assert (result.exit_code, result.output) == (0, "sha256:1\n")
    assert control.name == "docker.io/shop/base:1"
    (top,) = json.loads(control.files["index.json"])["manifests"]
    manifest = json.loads(control.blob(top))
    (layer,) = manifest["layers"]
    assert gzip.decompress(control.blob(layer)) == an_archive()
    about = json.loads(control.blob(manifest["config"]))
    assert about["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(an_archive()).hexdigest()}"]
    assert about["config"] == {"Cmd": ["/bin/sh", "-c", "serve -p"], "Env": ["A=1"]}
    assert (about["os"], about["architecture"], about["variant"]) == ("linux", "arm", "v7")
    assert about["history"][0]["comment"] == "by hand"


def test_what_is_no_archive_is_refused_before_the_cluster_hears_of_it(
    control: Control, tmp_path: Path
) -> None:
    cut = gzip.compress(an_archive())[:-20]
    for words, data, why in (
        (("-", "x:1"), b"hello", "no tar archive"),
        (("-", "x:1"), b"", "no tar archive"),
        (("-", "x:1"), cut, "cannot read the archive"),
        (("-",), an_archive(), "say which NAME"),
        (("http://a.example/x.tar", "x:1"), b"", "curl http://a.example/x.tar"),
        ((str(tmp_path / "no"), "x:1"), b"", "No such file"),
        (("-c", "RUN make", "-", "x:1"), an_archive(), "RUN is none of"),
    ):
        result = run(*words, data=data)
        assert why in str(result.exception), result.output
    assert control.files == {}


def test_an_archive_of_nothing_is_an_image(control: Control) -> None:
    assert run("-", "empty:1", data=b"\0" * 10240).exit_code == 0
    assert control.files
