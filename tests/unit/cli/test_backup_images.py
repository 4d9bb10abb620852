"""Images in a backup: which archives they make, and how they come back."""

from collections.abc import Iterator
from typing import Any

import pytest

from swarm.api.v1 import backup_pb2 as b
from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.store_pb2 import SnapshotRecord, StoreObject
from swarm.cli import backup_images
from swarm.cli.backup_images import HeldImages, archives, load, saved
from swarm.cli.connect import Connection

MOVED = "docker.io/library/web@sha256:" + "a" * 64


def image(name: str, size_bytes: int = 10) -> Image:
    one = Image(id=f"id of {name}", size_bytes=size_bytes)
    one.annotations.name = name
    return one


WEB, DB, OLD = image("docker.io/library/web:1"), image("docker.io/library/db:1"), image(MOVED)


class Manager:
    """Keeps what is loaded; reads `enough` chunks of each archive."""

    def __init__(self, *held: Image, enough: int = 1000) -> None:
        self.held = {one.id: one for one in held}
        self.enough = enough
        self.loaded: list[tuple[str, list[bytes]]] = []

    def ListImages(self, request: c.ListImagesRequest) -> c.ListImagesResponse:
        return c.ListImagesResponse(images=self.held.values())

    def SaveImages(self, request: c.SaveImagesRequest, timeout: None) -> Iterator[c.SaveImagesResponse]:
        for ref in request.refs:
            yield c.SaveImagesResponse(chunk=ref.encode())

    def LoadImage(self, requests: Iterator[c.LoadImageRequest], timeout: None) -> c.LoadImageResponse:
        read = [request for request, _ in zip(requests, range(self.enough), strict=False)]
        self.loaded.append((read[0].reference, [request.chunk for request in read]))
        return c.LoadImageResponse()


def reached(manager: Manager) -> Connection:
    return Connection(control=manager, local=None)


def names(made: list[tuple[b.BackupArchive, list[str]]]) -> list[list[str]]:
    return [list(archive.names) for archive, _ in made]


def test_images_share_an_archive_and_one_without_a_name_has_its_own() -> None:
    made = archives([OLD, WEB, DB])
    assert names(made) == [[DB.annotations.name, WEB.annotations.name], [MOVED]]
    assert [archive.reference for archive, _ in made] == ["", MOVED]
    assert made[0][1] == [DB.id, WEB.id]


def test_two_without_names_do_not_share_one() -> None:
    other = image(MOVED.replace("a" * 64, "b" * 64))
    assert len(archives([OLD, other])) == 2


def test_an_archive_is_never_larger_than_a_manager_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_images, "ARCHIVE_BYTES_MAX", 25)
    assert list(map(len, names(archives(image(f"docker.io/library/web:{n}") for n in range(5))))) == [
        2,
        2,
        1,
    ]
    monkeypatch.setattr(backup_images, "ARCHIVE_IMAGES_MAX", 1)
    assert list(map(len, names(archives([WEB, DB])))) == [1, 1]


def test_the_images_of_the_state_are_seen_as_it_passes() -> None:
    records = [
        SnapshotRecord(object=StoreObject(image=WEB)).SerializeToString(),
        SnapshotRecord(object=StoreObject(node={"id": "n1"})).SerializeToString(),
    ]
    parts = [
        b.BackupPart(records=b.BackupRecords(records=records)),
        b.BackupPart(end=b.BackupEnd(records=2)),
    ]
    held = HeldImages()
    assert list(held.watch(parts)) == parts
    assert held.images == [WEB]


def test_an_image_that_was_removed_meanwhile_is_left_out_and_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = list(saved(reached(Manager(WEB)), [WEB, DB]))
    assert [part.archive.names for part in parts if part.HasField("archive")] == [[WEB.annotations.name]]
    assert DB.annotations.name in capsys.readouterr().err


@pytest.mark.parametrize("enough", [1, 2, 1000])
def test_what_was_saved_is_loaded_though_the_manager_has_enough_before_the_end(enough: int) -> None:
    parts: list[Any] = list(saved(reached(Manager(WEB, DB, OLD)), [WEB, DB, OLD]))
    manager = Manager(enough=enough)
    assert load(reached(manager), parts) == [DB.annotations.name, WEB.annotations.name, MOVED]
    assert manager.loaded == [
        ("", [DB.id.encode(), WEB.id.encode()][:enough]),
        (MOVED, [OLD.id.encode()]),
    ]


def test_the_state_before_the_archives_is_not_theirs() -> None:
    state = [b.BackupPart(header=b.BackupHeader()), b.BackupPart(end=b.BackupEnd())]
    manager = Manager()
    assert load(reached(manager), state) == []
    assert manager.loaded == []
