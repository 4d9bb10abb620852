#!/usr/bin/env python3
"""Run tests in a virtual machine that has only cgroup version 2, AppArmor, and Debian's own kernel.

`python tools/cgroup2/guest.py [--again] [--without-kvm] [PYTEST ARGUMENTS]`: builds the machine's disk from
Debian's packages the first time, boots it with the tree as it is now, runs pytest in it and returns its exit
code. Everything that is made stays in a cache directory (`$XDG_CACHE_HOME/swarm/cgroup2`). The machine has
no network. Needs root, qemu-system-x86_64, mmdebstrap and mke2fs. Standard library only.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The guest runs the packages of .venv with Debian's Python, which has to be of the same version.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    *("linux-image-amd64", "systemd-sysv", "dbus", "udev", "kmod", "apparmor", "python3", "procps"),
    *("crun", "runc", "conmon", "nftables", "iproute2", "iptables", "busybox-static", "tini", "tar"),
)
DISK = "6G"
# An emulated machine on a busy one misses ticks; the kernel is not to conclude that its timer is broken.
KERNEL_OPTIONS = "systemd.unified_cgroup_hierarchy=1 no_timer_check"
RESULT_BYTES = 32 * 1024 * 1024
# Only tools of developers; the guest would take half a minute more to unpack them.
LEFT_OUT = ("mypy", "mypyc", "ruff", "grpc_tools", "grimp", "importlinter", "pip", "librt", "bin")
SUITE = (
    *("tests/unit/runtime", "tests/integration/runtime"),
    # No engine is in the guest: it would take longer than all the rest.
    *("-k", "not docker"),
    *("-q", "-p", "no:cacheprovider", "--randomly-seed=1", "--timeout=300", "-rfEs"),
)
TIMEOUT_S = 7200


def main() -> int:
    """Build what is missing, boot, and return the exit code of the tests."""
    arguments = _arguments()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swarm" / "cgroup2"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once would be twice the work
        base = cache / _fingerprint()
        if arguments.again or not (base / "disk").exists():
            shutil.rmtree(base, ignore_errors=True)
            _build(base)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache) as scratch:
        return _run(base, Path(scratch), arguments.pytest or list(SUITE), arguments.without_kvm)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--again", action="store_true", help="build the disk anew, with today's packages")
    parser.add_argument("--without-kvm", action="store_true", help="emulate the processor: ten times slower")
    arguments, rest = parser.parse_known_args()
    arguments.pytest = [word for word in rest if word != "--"]
    return arguments


def _suite() -> str:
    version = sys.version_info[:2]
    if version not in SUITES:
        known = " or ".join(f"{major}.{minor}" for major, minor in SUITES)
        sys.exit(f"the guest runs this Python's packages and needs Python {known}; this is {version}")
    return SUITES[version]


def _fingerprint() -> str:
    made_of = [_suite(), DISK, *PACKAGES, *(path.read_text("utf-8") for path in _guest_files())]
    return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12]


def _guest_files() -> list[Path]:
    return [HERE / "run-suite.sh", HERE / "swarm-guest.service"]


def _build(base: Path) -> None:
    """Make `disk`, `vmlinuz` and `initrd` in the directory `base`."""
    _say(f"building the guest in {base} (some minutes, once)")
    base.mkdir(parents=True)
    tree = base / "tree"
    try:
        _run_or_exit(
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *([f"--keyring={KEYRING}"] if KEYRING.exists() else []),
            # Clocks of virtual machines are what they are.
            *("--aptopt=Acquire::Check-Valid-Until false", "--aptopt=Acquire::Check-Date false"),
            *(_suite(), str(tree), MIRROR),
        )
        _furnish(tree)
        for kind, name in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")):
            shutil.copy(max((tree / "boot").glob(f"{kind}-*")), base / name)
        _run_or_exit("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(base / "disk.new"), DISK)
        (base / "disk.new").rename(base / "disk")
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def _furnish(tree: Path) -> None:
    script, unit = _guest_files()
    place = tree / "usr/local/lib/swarm-guest"
    place.mkdir(parents=True)
    shutil.copy(script, place)
    shutil.copy(unit, tree / "etc/systemd/system")
    wants = tree / "etc/systemd/system/default.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / unit.name).symlink_to(f"/etc/systemd/system/{unit.name}")
    (tree / "etc/hostname").write_text("guest\n", "ascii")
    (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n", "ascii")


def _run(base: Path, scratch: Path, pytest: Sequence[str], without_kvm: bool) -> int:
    _pack(scratch / "project", pytest)
    with (scratch / "result").open("wb") as result:
        result.truncate(RESULT_BYTES)
    started = time.monotonic()
    _boot(base, scratch, without_kvm)
    code, log = 1, ""
    with suppress(tarfile.TarError), tarfile.open(scratch / "result") as archive:
        code = int(_member(archive, "code") or 1)
        log = _member(archive, "log")
    (base.parent / "last.log").write_text(log, "utf-8")
    if not log:
        _say("the guest did not get to the tests: see its console above")
    _say(f"exit code {code} after {time.monotonic() - started:.0f} s; log: {base.parent / 'last.log'}")
    return code


def _member(archive: tarfile.TarFile, name: str) -> str:
    try:
        file = archive.extractfile(name)
    except KeyError:
        return ""
    return file.read().decode("utf-8", "replace").strip() if file else ""


def _pack(disk: Path, pytest: Sequence[str]) -> None:
    """Write the tree, the packages that it needs and the command into a tar file, which is a disk."""
    packages = Path(sys.prefix) / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    command = disk.with_name("command")
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in pytest)
    command.write_text(f"exec /usr/bin/python3 -B -m pytest {quoted}\n", "utf-8")
    with tarfile.open(disk, "w") as archive:
        archive.add(command, "command")
        for name in _files_of_the_tree():
            archive.add(ROOT / name, f"tree/{name}")
        for entry in sorted(packages.iterdir()):
            if entry.name not in LEFT_OUT and entry.suffix != ".pth":
                archive.add(entry, f"site-packages/{entry.name}", filter=_without_bytecode)


def _files_of_the_tree() -> Iterator[str]:
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return (name for name in names.split("\0") if name and (ROOT / name).exists())


def _without_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("__pycache__") else member


def _boot(base: Path, scratch: Path, without_kvm: bool) -> None:
    fast = not without_kvm and _has_kvm()
    _say(f"booting ({'KVM' if fast else 'no KVM: the processor is emulated'})")
    command = [
        *("qemu-system-x86_64", "-m", "3072", "-smp", "2", "-no-reboot"),
        *(("-enable-kvm", "-cpu", "host") if fast else ("-accel", "tcg,thread=multi", "-cpu", "max")),
        *("-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"),
        *("-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd")),
        *("-append", f"root=/dev/vda rw console=ttyS0 quiet panic=-1 {KERNEL_OPTIONS}"),
        # What the guest writes is thrown away with it.
        *("-drive", f"file={base / 'disk'},if=virtio,format=raw,snapshot=on"),
        *("-drive", f"file={scratch / 'project'},if=virtio,format=raw,readonly=on"),
        *("-drive", f"file={scratch / 'result'},if=virtio,format=raw"),
    ]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=TIMEOUT_S)
    except FileNotFoundError:
        sys.exit("qemu-system-x86_64 is not installed: apt-get install qemu-system-x86 mmdebstrap")
    except subprocess.TimeoutExpired:
        _say(f"the guest did not switch itself off in {TIMEOUT_S} s")
    except subprocess.CalledProcessError as error:
        sys.exit(f"qemu failed with {error.returncode}")


def _has_kvm() -> bool:
    """Whether the processor can run the guest: a /dev/kvm without its help may be there and not work."""
    flags = Path("/proc/cpuinfo").read_text("ascii", "replace").split()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and bool({"vmx", "svm"} & set(flags))


def _run_or_exit(*command: str) -> None:
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed: apt-get install qemu-system-x86 mmdebstrap e2fsprogs")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{command[0]} failed with {error.returncode}")


def _say(text: str) -> None:
    sys.stdout.write(f"cgroup2: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
