"""Builds the Debian package: `python -m tools.deb [--python 3.13 --arch aarch64 --glibc 2.41] [FOLDER]`.

It carries the very archive that `swarmctl machine create` sends to machines, and the script that unpacks it.
Which Python and processor it is for is in its dependencies; packages for others than this machine's are
fetched from pip's index. The same source makes the same bytes. Needs dpkg-deb.
"""

import argparse
import gzip
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from swarm.errors import SwarmError
from swarm.machine import bundle

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "deploy" / "debian"
NAME = "swarmd"  # Debian has another program named swarm
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/swarmctl",
    "zsh": "usr/share/zsh/vendor-completions/_swarmctl",
    "fish": "usr/share/fish/vendor_completions.d/swarmctl.fish",
}
BUILT_AT = "1704067200"  # every file's time is this one at the latest, so that the same makes the same


def main() -> int:
    """Build the package; print its path, return the exit code."""
    given = _arguments()
    os.umask(0o022)  # what is packed is for everybody to read, whoever packs it
    target = bundle.Target(given.python, given.arch, given.glibc)
    try:
        print(build(target, given.folder))  # noqa: T201
    except (SwarmError, subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(f"deb: {error}\n")
        return 1
    return 0


def build(target: bundle.Target, folder: Path) -> Path:
    """Return the package for a target, made in `folder`; raises SwarmError, CalledProcessError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    version = f"{bundle.content().versions[bundle.PROJECT]}+py{target.python}"
    path = folder / f"{NAME}_{version}_{ARCHITECTURES[target.arch]}.deb"
    with tempfile.TemporaryDirectory(prefix="deb-") as scratch:
        tree = Path(scratch) / "tree"
        archive = bundle.build(target, Path(scratch) / "bundles")
        _lay_out(tree, archive)
        _describe(tree, archive, target, version)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", BUILT_AT)}
        # What is in it is packed already: to pack it again would only take time.
        command = ("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(path))
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return path


def _lay_out(tree: Path, archive: Path) -> None:
    share = tree / "usr/share" / NAME
    _write(share / "release", f"{archive.name.removesuffix('.tar.gz')}\n")
    _write(share / "release.sha256", f"{bundle.file_digest(archive)}\n")
    shutil.copyfile(archive, share / "release.tar.gz")
    scripts = ROOT / "swarm" / "machine" / "scripts"
    _write(share / "unpack.sh", (scripts / "unpack.sh").read_text())
    for program in ("swarmd", "swarmctl"):
        link = tree / "usr/bin" / program
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/opt/swarm/current/bin/{program}")
    unit = (ROOT / "deploy/systemd/swarmd.service").read_text()
    _write(tree / "lib/systemd/system/swarmd.service", unit.replace("/usr/local/bin/", "/usr/bin/"))
    _write(tree / "etc/swarm/swarmd.toml", (SCRIPTS / "swarmd.toml").read_text())
    for shell, place in COMPLETIONS.items():
        command = (sys.executable, "-m", "swarm.cli.main", "completion", shell)
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        _write(tree / place, done.stdout)
    changes = gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0)
    _write(tree / "usr/share/doc" / NAME / "changelog.gz", changes)
    with tempfile.TemporaryDirectory(prefix="man-") as pages:
        write = (sys.executable, "-m", "swarm.cli.man_pages", pages)
        subprocess.run(write, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        for page in Path(pages).rglob("*.[1-8]"):
            place = tree / "usr/share/man" / f"man{page.suffix[1:]}" / f"{page.name}.gz"
            _write(place, gzip.compress(page.read_bytes(), mtime=0))


def _describe(tree: Path, archive: Path, target: bundle.Target, version: str) -> None:
    with tarfile.open(archive) as packed:
        unpacked = sum(item.size for item in packed)
    major, minor = target.python.split(".")
    values = {
        "NAME": NAME,
        "VERSION": version,
        "ARCHITECTURE": ARCHITECTURES[target.arch],
        "INSTALLED_KB": str((unpacked + archive.stat().st_size) // 1024),
        "PYTHON": target.python,
        "NEXT_PYTHON": f"{major}.{int(minor) + 1}",
        "GLIBC": ".".join(map(str, target.glibc)),
    }
    text = (SCRIPTS / "control").read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    _write(tree / "DEBIAN/control", text)
    _write(tree / "DEBIAN/conffiles", "/etc/swarm/swarmd.toml\n")
    for script in ("preinst", "postinst", "prerm", "postrm"):
        _write(tree / "DEBIAN" / script, (SCRIPTS / script).read_text(), 0o755)


def _write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)


def _glibc(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--python", default=here, help=f"of the machines, such as 3.13; default: {here}")
    parser.add_argument("--arch", default=platform.machine(), choices=sorted(ARCHITECTURES))
    parser.add_argument("--glibc", type=_glibc, default=platform.libc_ver()[1], help="their C library")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
