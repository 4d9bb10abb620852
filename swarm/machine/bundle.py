"""What is put on a machine? A tree with all that swarm needs but Python, assembled here.

The machine downloads and compiles nothing. It gets the very packages that this program runs on when they fit
its Python and processor; else wheels of the same versions are fetched here, from the package index of pip.
"""

import fcntl
import functools
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from swarm.errors import InvariantBroken
from swarm.machine.errors import PreCheckFailed
from swarm.machine.probe import Facts

PROJECT = "swarm"
PIP_TIMEOUT_S = 600
ARCHIVES_KEPT = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PLATFORM = re.compile(r"(?:many)?linux(?:_(\d+)_(\d+)|2014|2010|1)?_(\w+)")
_OLD_GLIBC = {"2014": (2, 17), "2010": (2, 12), "1": (2, 5)}
NEWEST_GLIBC_TRIED = 40


@dataclass(frozen=True, slots=True)
class Target:
    """What packages have to fit: Python `3.11`, the processor (`x86_64`), the C library (2, 36)."""

    python: str
    arch: str
    glibc: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Content:
    """What a release consists of: versions by package (swarm's own too), and the digest of our source."""

    versions: Mapping[str, str]
    source: str

    def release(self, target: Target) -> str:
        """Return the release's name for a target: the version, and a digest of all that goes into it."""
        lines = [f"{name}=={version}" for name, version in sorted(self.versions.items())]
        text = "\n".join([*lines, self.source, target.python, target.arch])
        return f"{self.versions[PROJECT]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def target_of(facts: Facts) -> Target:
    """Return what packages have to fit on a machine; raises PreCheckFailed when there are none."""
    if not facts.python:
        raise PreCheckFailed("there is no Python 3.11 or newer: install the package python3 there")
    if facts.python_bits != 64:
        raise PreCheckFailed(
            f"its Python is a {facts.python_bits}-bit program (processor {facts.arch}): packages are made "
            "for 64 bits; install a 64-bit system"
        )
    found = re.fullmatch(r"(\d+)\.(\d+).*", facts.glibc)
    if not found:
        raise PreCheckFailed("its C library is not glibc: packages for others (Alpine) are not made")
    return Target(facts.python, facts.arch, (int(found[1]), int(found[2])))


@functools.cache
def content() -> Content:
    """Return what this program consists of."""
    versions = {name: dist.version for name, dist in _closure().items()}
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(f"{path.relative_to(_package())}\0".encode() + path.read_bytes() + b"\0")
    return Content(versions, digest.hexdigest())


def build(target: Target, folder: Path) -> Path:
    """Return the archive of our release for a target, made in `folder` unless it is there already."""
    release = content().release(target)
    path = folder / f"{release}.tar.gz"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several machines want the same at once
        if not path.exists():
            files = dict(_files(target, folder / "wheels"))
            beside = folder / f".{release}.new"
            _write(files, PurePosixPath(f"lib/python{target.python}/site-packages"), beside)
            beside.replace(path)
            _prune(folder)
    return path


def _prune(folder: Path) -> None:
    """Keep the archives that were made last."""
    made = sorted(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    for path in made[:-ARCHIVES_KEPT]:
        path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unit_digest() -> str:
    """Return the SHA-256 of the service of our release."""
    return file_digest(_package() / "machine" / "swarmd.service")


def fits(tag: str, target: Target, here_glibc: tuple[int, int]) -> bool:
    """Return whether a wheel with `tag` (`cp311-cp311-manylinux_2_17_x86_64`) runs on a target."""
    python, abi, platform = tag.split("-", 2)
    minor = int(target.python.partition(".")[2])
    versions = {int(found) for found in re.findall(r"cp3(\d+)", python)}
    if abi == "abi3":
        right_python = any(version <= minor for version in versions)
    else:
        right_python = minor in versions or "py3" in python.split(".")
    return right_python and any(_fits_platform(one, target, here_glibc) for one in platform.split("."))


def _fits_platform(platform: str, target: Target, here_glibc: tuple[int, int]) -> bool:
    if platform == "any":
        return True
    found = _PLATFORM.fullmatch(platform)
    if found is None or found[3] != target.arch:
        return False
    if found[1]:
        return target.glibc >= (int(found[1]), int(found[2]))
    old = re.match(r"manylinux(2014|2010|1)_", platform)
    return target.glibc >= (_OLD_GLIBC[old[1]] if old else here_glibc)  # built here: needs what is here


def _files(target: Target, wheels: Path) -> Iterator[tuple[str, Path | bytes]]:
    """Yield (path below site-packages, file or its bytes) of all that goes into a release."""
    closure = _closure()
    for path in _sources():
        yield f"{PROJECT}/{path.relative_to(_package())}", path
    for name, version in ((PROJECT, closure.pop(PROJECT).version),):
        yield (
            f"{name}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        )
    glibc = _here_glibc()
    foreign = {name: dist.version for name, dist in closure.items() if not _suits(dist, target, glibc)}
    for name, dist in closure.items():
        if name not in foreign:
            yield from _installed_files(dist)
    for wheel in _fetch(foreign, target, wheels) if foreign else ():
        yield from _wheel_files(wheel)


def _suits(dist: metadata.Distribution, target: Target, glibc: tuple[int, int]) -> bool:
    tags = [
        line[5:].strip() for line in (dist.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")
    ]
    return any(fits(tag, target, glibc) for tag in tags)


def _installed_files(dist: metadata.Distribution) -> Iterator[tuple[str, Path | bytes]]:
    for file in dist.files or ():
        if file.parts[0] != ".." and "__pycache__" not in file.parts and file.suffix != ".pyc":
            path = Path(str(file.locate()))
            if path.is_file():
                yield file.as_posix(), path


def _wheel_files(wheel: Path) -> Iterator[tuple[str, Path | bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            parts = PurePosixPath(item.filename).parts
            if item.is_dir() or ".." in parts or item.filename.startswith("/"):
                continue
            if parts[0].endswith(".data"):
                if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
                    continue
                parts = parts[2:]
            yield "/".join(parts), archive.read(item)


def pip_arguments(versions: Mapping[str, str], target: Target, folder: Path) -> list[str]:
    """Return what to give to pip so that it fetches wheels for a target."""
    newest = min(target.glibc[1], NEWEST_GLIBC_TRIED)
    platforms = [f"manylinux_2_{minor}_{target.arch}" for minor in range(newest, 4, -1)]
    platforms += [f"manylinux2014_{target.arch}", "any"]
    return [
        *("download", "--quiet", "--only-binary=:all:", "--no-deps", "--dest", str(folder)),
        *("--implementation", "cp", "--python-version", target.python),
        *(word for platform in platforms for word in ("--platform", platform)),
        *(f"{name}=={version}" for name, version in sorted(versions.items())),
    ]


def _fetch(versions: Mapping[str, str], target: Target, folder: Path) -> list[Path]:
    digest = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()[:8]
    place = folder / f"{target.python}-{target.arch}-{digest}"
    place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", *pip_arguments(versions, target, place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise PreCheckFailed(f"fetching packages took longer than {PIP_TIMEOUT_S} s") from None
    found = sorted(place.glob("*.whl"))
    if done.returncode != 0 or len(found) < len(versions):
        words = (done.stderr.strip().splitlines() or ["pip found too few"])[-1]
        raise PreCheckFailed(
            f"no packages for Python {target.python} on {target.arch} (glibc "
            f"{target.glibc[0]}.{target.glibc[1]}) "
            f"could be fetched: {words}"
        )
    return found


def _write(files: Mapping[str, Path | bytes], prefix: PurePosixPath, path: Path) -> None:
    """Write an archive: the same files make the same bytes."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=5, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, source in sorted(files.items()):
            data = source if isinstance(source, bytes) else source.read_bytes()
            item = tarfile.TarInfo(str(prefix / name))
            item.size, item.mode = len(data), 0o644
            if (
                not isinstance(source, bytes)
                and os.access(source, os.X_OK)
                and source.stat().st_mode & 0o111
            ):
                item.mode = 0o755
            archive.addfile(item, io.BytesIO(data))
        raw.flush()


def _package() -> Path:
    return Path(__file__).resolve().parent.parent


def _sources() -> list[Path]:
    found = (path for path in _package().rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in found if path.is_file())


def _closure() -> dict[str, metadata.Distribution]:
    """Return the installed packages that swarm needs, itself first, without those of other platforms."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(PROJECT, True)]
    while waiting:
        name, needed = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if needed:
                raise InvariantBroken(f"the package {name} is needed, but not installed here") from None
            continue
        for requirement in found[name].requires or ():
            what, _, marker = requirement.partition(";")
            match = _NAME.match(what.strip())
            if match and "extra" not in marker:
                waiting.append((match[0].lower().replace("_", "-").replace(".", "-"), not marker))
    return found


def _here_glibc() -> tuple[int, int]:
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except ValueError:
        version = ""
    found = re.fullmatch(r"glibc (\d+)\.(\d+).*", version)
    return (int(found[1]), int(found[2])) if found else (999, 0)
