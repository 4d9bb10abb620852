"""Install swarm on this machine, for `bootstrap.py install`: a release of its own, a service, two commands.

    /opt/swarm/releases/VERSION-DIGEST   a Python environment with this source in it, owned by root
    /opt/swarm/current                   → the release in use
    /usr/local/bin/{swarmd,swarmctl}     → the programs of that release
    /usr/local/share/man/man1            → its manual pages
    /etc/systemd/system/swarmd.service   the node as a service

The same source installed again changes nothing. A cut at any moment leaves the release of before in use, and
the next run goes on from there.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path("/opt/swarm")
RELEASES = PREFIX / "releases"
CURRENT = PREFIX / "current"
COMPLETE = ".complete"
PROGRAMS = {Path("/usr/local/bin") / name: CURRENT / "bin" / name for name in ("swarmd", "swarmctl")}
MANUAL = Path("/usr/local/share/man/man1")
UNIT = Path("/etc/systemd/system/swarmd.service")
PACKAGED = Path("/usr/share/swarmd/release")  # of deploy/debian: only one keeps a machine
RELEASES_KEPT = 3  # the one in use, and two to go back to

Run = Callable[..., int]
Say = Callable[[str], None]


def install(run: Run, say: Say, make_environment: Callable[[Path], None]) -> None:
    """Install this source and start it; raises RuntimeError, OSError or CalledProcessError."""
    if os.geteuid() != 0:
        raise RuntimeError("only root can install swarm on this machine")
    os.umask(0o022)
    with installing():
        check_programs()
        release = RELEASES / release_name()
        if not (release / COMPLETE).exists():
            say(f"building {release}")
            shutil.rmtree(release, ignore_errors=True)  # what a cut has left
            make_environment(release)
            run(release / "bin" / "python", "-m", "pip", "install", "-q", ROOT)
            pages = ("-m", "swarm.cli.man_pages", release / "share" / "man")
            run(release / "bin" / "python", *pages)
            os.sync()
            (release / COMPLETE).touch()
        changed = [link(CURRENT, release), install_unit(), *(link(*pair) for pair in PROGRAMS.items())]
        link_manual()
        prune()
        start(run, say, changed=any(changed))


@contextmanager
def installing() -> Iterator[None]:
    """Let nobody else install at the same time."""
    RELEASES.mkdir(parents=True, exist_ok=True)
    with (PREFIX / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def release_name() -> str:
    """Return the version with a digest of everything that goes into a release."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    digest = hashlib.sha256(sys.version.encode())
    files = [path for path in (ROOT / "swarm").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    for path in (ROOT / "pyproject.toml", *sorted(files)):
        digest.update(f"\n{path.relative_to(ROOT)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return f"{version}-{digest.hexdigest()[:8]}"


def check_programs() -> None:
    """Refuse to replace programs that somebody else put where ours are to be."""
    if PACKAGED.exists():
        raise RuntimeError("the Debian package swarmd is installed: upgrade that, or remove it first")
    for path, target in PROGRAMS.items():
        if os.path.lexists(path) and not (path.is_symlink() and path.readlink() == target):
            raise RuntimeError(f"{path} is not a link to {target}: move it away, then install again")


def link(path: Path, target: Path) -> bool:
    """Let `path` be a link to `target`, from one moment to the next; tell whether it was not."""
    if path.is_symlink() and path.readlink() == target:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(path)
    return True


def link_manual() -> None:
    """Let `man` find the pages of the release in use, and none of commands that are gone."""
    pages = CURRENT / "share" / "man" / "man1"
    for page in sorted(pages.glob("*.1")):
        link(MANUAL / page.name, page)
    for found in MANUAL.glob("swarmctl*.1"):
        if found.is_symlink() and found.readlink().parent == pages and not found.exists():
            found.unlink()


def install_unit() -> bool:
    """Write the service; tell whether it was another one before."""
    wanted = (ROOT / "deploy" / "systemd" / UNIT.name).read_bytes()
    if UNIT.exists() and UNIT.read_bytes() == wanted:
        return False
    UNIT.parent.mkdir(parents=True, exist_ok=True)
    beside = UNIT.with_name(f".{UNIT.name}.new")
    beside.write_bytes(wanted)
    beside.replace(UNIT)
    return True


def prune() -> None:
    """Remove the oldest releases."""
    current = CURRENT.resolve()
    others = [path for path in RELEASES.iterdir() if path != current]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[RELEASES_KEPT - 1 :]:
        shutil.rmtree(path)


def start(run: Run, say: Say, *, changed: bool) -> None:
    """Have the service run from now on and after every boot; containers live through its restart."""
    release = CURRENT.resolve().name
    if shutil.which("systemctl") is None:
        say(f"{release} is installed; there is no systemd here: have swarmd started with the machine")
        return
    run("systemctl", "enable", "-q", UNIT.name)
    if not Path("/run/systemd/system").is_dir():
        say(f"{release} is installed and starts with the machine")
        return
    run("systemctl", "daemon-reload")
    run("systemctl", "restart" if changed else "start", UNIT.name)
    say(f"{release} is installed and runs")
