import io
import tarfile
from pathlib import Path

import pytest

from swarm.errors import InvalidArgument
from swarm.machine import bundle
from swarm.machine.archive import read_archive
from swarm.machine.errors import PreCheckFailed
from swarm.machine.provision import named_release

NAME = "0.2.0-1a2b3c4d.tar.gz"


def write(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            item = tarfile.TarInfo(name)
            item.size = 3
            archive.addfile(item, io.BytesIO(b"abc"))
    return path


def test_a_release_says_its_name_python_and_service(tmp_path: Path) -> None:
    service = tmp_path / "service"
    service.write_bytes(b"abc")
    path = write(tmp_path / NAME, "lib/python3.11/site-packages/swarm/machine/swarmd.service")
    found = read_archive(path)
    assert (found.release, found.python, found.path) == ("0.2.0-1a2b3c4d", "3.11", path)
    assert found.unit == bundle.file_digest(service)


@pytest.mark.parametrize(
    "name", ["swarm.tar.gz", "0.2.0.tar.gz", "0.2.0-1a2b3c4d.zip", "..-1a2b3c4d.tar.gz"]
)
def test_a_file_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"VERSION-DIGEST\.tar\.gz"):
        read_archive(write(tmp_path / name, "x"))


def test_other_archives_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="holds no release"):
        read_archive(write(tmp_path / NAME, "lib/python3.11/site-packages/other.py"))
    (tmp_path / NAME).write_bytes(b"no archive")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_archive(tmp_path / NAME)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_archive(tmp_path / "0.2.0-00000000.tar.gz")


def test_a_version_names_the_only_release_of_it() -> None:
    there = ("0.1.0-aaaaaaaa", "0.2.0-bbbbbbbb", "0.2.0-cccccccc")
    assert named_release("0.1.0", there) == "0.1.0-aaaaaaaa"
    assert named_release("0.2.0-cccccccc", there) == "0.2.0-cccccccc"
    with pytest.raises(PreCheckFailed, match="several of its releases"):
        named_release("0.2.0", there)
    with pytest.raises(PreCheckFailed, match=r"has no release 0\.3\.0; it has: 0\.1\.0"):
        named_release("0.3.0", there)
    with pytest.raises(PreCheckFailed, match="it has: none"):
        named_release("0.3.0", ())
