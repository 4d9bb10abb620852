import tarfile
import zipfile
from pathlib import Path

import pytest

from swarm.machine import bundle
from swarm.machine.bundle import Content, Target, fits
from swarm.machine.errors import PreCheckFailed
from swarm.machine.probe import Facts

DEBIAN = Target("3.11", "x86_64", (2, 36))
ARM = Target("3.13", "aarch64", (2, 41))


@pytest.mark.parametrize(
    ("tag", "debian", "arm"),
    [
        ("py3-none-any", True, True),
        ("py2.py3-none-any", True, True),
        ("cp311-cp311-manylinux_2_17_x86_64", True, False),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True, False),
        ("cp311-cp311-manylinux_2_39_x86_64", False, False),
        ("cp313-cp313-manylinux_2_28_aarch64", False, True),
        ("cp39-abi3-manylinux2014_x86_64", True, False),
        ("cp39-abi3-manylinux_2_34_aarch64", False, True),
        ("cp312-abi3-manylinux2014_x86_64", False, False),
        ("cp311-cp311-musllinux_1_2_x86_64", False, False),
        ("cp311-cp311-macosx_11_0_arm64", False, False),
        ("cp311-cp311-linux_x86_64", True, False),
    ],
)
def test_a_package_fits_python_processor_and_c_library(tag: str, debian: bool, arm: bool) -> None:
    assert fits(tag, DEBIAN, (2, 36)) is debian
    assert fits(tag, ARM, (2, 36)) is arm


def test_what_was_compiled_here_needs_a_c_library_as_new_as_here() -> None:
    assert not fits("cp311-cp311-linux_x86_64", DEBIAN, (2, 39))


def test_a_release_is_named_after_all_that_is_in_it() -> None:
    base = Content({"swarm": "1.0", "grpcio": "1.2"}, "source")
    names = {
        base.release(DEBIAN),
        base.release(ARM),
        Content({"swarm": "1.0", "grpcio": "1.3"}, "source").release(DEBIAN),
        Content({"swarm": "1.0", "grpcio": "1.2"}, "other").release(DEBIAN),
    }
    assert len(names) == 4
    assert all(name.startswith("1.0-") for name in names)
    assert base.release(DEBIAN) == Content({"grpcio": "1.2", "swarm": "1.0"}, "source").release(DEBIAN)


def test_a_machine_without_python_or_glibc_is_refused() -> None:
    facts = Facts(os="alpine", arch="x86_64", systemd=True, now_s=0)
    small = Facts(os="raspbian", arch="aarch64", systemd=True, now_s=0, python="3.11", python_bits=32)
    with pytest.raises(PreCheckFailed, match=r"32-bit program \(processor aarch64\)"):
        bundle.target_of(small)
    with pytest.raises(PreCheckFailed, match=r"Python 3\.11"):
        bundle.target_of(facts)
    with pytest.raises(PreCheckFailed, match="glibc"):
        bundle.target_of(Facts(os="alpine", arch="x86_64", systemd=True, now_s=0, python="3.12"))


def test_this_program_has_all_that_it_needs_and_nothing_for_developers() -> None:
    names = set(bundle.content().versions)
    assert {"swarm", "grpcio", "cryptography", "cffi", "anyio"} <= names
    assert not names & {"pytest", "mypy", "ruff", "pip", "grpcio-tools"}


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("y")
    (tmp_path / "b").chmod(0o755)
    files: dict[str, Path | bytes] = {"p/b": tmp_path / "b", "p/a": tmp_path / "a", "p/c": b"z"}
    for name in ("one", "two"):
        bundle._write(
            dict(sorted(files.items(), reverse=name == "two")), bundle.PurePosixPath("lib"), tmp_path / name
        )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        assert [(item.name, item.mode, item.uid) for item in archive] == [
            ("lib/p/a", 0o644, 0),
            ("lib/p/b", 0o755, 0),
            ("lib/p/c", 0o644, 0),
        ]


def test_a_wheel_puts_nothing_outside_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        for name in ("p/a.py", "../evil", "/evil", "p-1.data/purelib/q.py", "p-1.data/scripts/run", "p/"):
            wheel.writestr(name, name)
    found = {name for name, _ in bundle._wheel_files(tmp_path / "w.whl")}
    assert found == {"p/a.py", "q.py"}


def test_wheels_for_others_are_asked_for_in_the_same_versions(tmp_path: Path) -> None:
    words = bundle.pip_arguments({"grpcio": "1.2", "cffi": "3"}, ARM, tmp_path)
    assert words[-2:] == ["cffi==3", "grpcio==1.2"]
    assert "--only-binary=:all:" in words
    assert "manylinux_2_40_aarch64" in words
    assert "manylinux_2_41_aarch64" not in words
    assert words[words.index("--python-version") + 1] == "3.13"


def test_the_service_is_part_of_the_release() -> None:
    unit = Path(bundle.__file__).with_name("swarmd.service").read_text()
    assert "Type=notify" in unit
    assert len(bundle.unit_digest()) == 64
