#!/usr/bin/env python3
"""Install what is missing to run (`bootstrap.py run`) or to develop and test (`bootstrap.py test`).

Makes the virtual environment .venv with this project in it, and as root installs programs of the operating
system. `bootstrap.py install` installs swarm on this machine for good, as a service. Says what it does, does
nothing twice, and takes no time when nothing is missing. `bootstrap.py guest` installs what `make cgroup2`
needs besides, `bootstrap.py vagrant` what `make vagrant-e2e` does. Standard library only; Python 3.11
or newer.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)

# Program -> Debian package. Tests also use the second OCI runtime, Docker's engine, a registry, a firewall.
RUN_PROGRAMS = {
    "crun": "crun",
    "conmon": "conmon",
    "nft": "nftables",
    "busybox": "busybox-static",
    "tini-static": "tini",
    "haproxy": "haproxy",
}
TEST_PROGRAMS = {
    **RUN_PROGRAMS,
    "runc": "runc",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "dockerd": "docker.io",
    "curl": "curl",
    "ip": "iproute2",
    "iptables": "iptables",
    "firewall-cmd": "firewalld",
    "ufw": "ufw",
    "dbus-daemon": "dbus-daemon",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "vagrant": "vagrant",
    "ansible-playbook": "ansible-core",
    "pebble": "pebble",
    "wireguard-go": "wireguard-go",
    "zsh": "zsh",
    "fish": "fish",
    "less": "less",
    "mandoc": "mandoc",
}
SERVICES = {
    "docker-registry": ("docker-registry",),
    "haproxy": ("haproxy",),
    "docker.io": ("docker.service", "docker.socket", "containerd.service"),
    "firewalld": ("firewalld.service",),
    "libvirt-daemon-system": ("libvirtd.service", "libvirtd.socket", "libvirt-guests.service"),
}
# For the virtual machines of `make vagrant-e2e`.
VAGRANT_PROGRAMS = {
    "vagrant": "vagrant",
    "libvirtd": "libvirt-daemon-system vagrant-libvirt",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "dnsmasq": "dnsmasq-base",
    "tini-static": "tini",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
}
# For the virtual machine of `make cgroup2`.
GUEST_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
}
PROGRAMS = {
    "run": RUN_PROGRAMS,
    "test": TEST_PROGRAMS,
    "install": RUN_PROGRAMS,
    "guest": GUEST_PROGRAMS,
    "vagrant": VAGRANT_PROGRAMS,
}


def main() -> int:
    """Install for the level named on the command line; return the exit code."""
    level = sys.argv[1] if len(sys.argv) > 1 else ""
    if level not in PROGRAMS:
        sys.stderr.write(__doc__)
        return 2
    if sys.version_info < OLDEST:
        say(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; this is {sys.version}")
        return 1
    try:
        install_programs(PROGRAMS[level])
        if level == "install":
            install_service()
        elif level not in ("guest", "vagrant"):
            install_project(level)
    except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
        say(str(error))
        return 1
    return 0


def install_programs(programs: dict[str, str]) -> None:
    """Install missing programs of the operating system; without root only say which are missing."""
    missing = {name: package for name, package in programs.items() if find_program(name) is None}
    if not missing:
        return
    packages = sorted({package for names in missing.values() for package in names.split()})
    if os.geteuid() != 0:
        say(f"not root: running without {', '.join(sorted(missing))}; tasks will be plain processes")
        return
    # The packages start a registry, an engine and a firewall for everybody; the tests start their own.
    units = [unit for package in packages for unit in SERVICES.get(package, ())]
    if not units or not Path("/run/systemd/system").is_dir():
        apt_install(packages)
        return
    run("systemctl", "mask", "--runtime", *units, check=False)
    try:
        apt_install(packages)
    finally:
        run("systemctl", "unmask", "--runtime", *units, check=False)
    run("systemctl", "disable", "--now", *units, check=False)


def find_program(name: str) -> "str | None":
    """Return the path of a program, also where only root's PATH would find it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def apt_install(packages: "list[str]") -> None:
    """Install Debian packages; raises RuntimeError on a machine without apt."""
    if shutil.which("apt-get") is None:
        raise RuntimeError(f"install these with your package manager, then try again: {' '.join(packages)}")
    say(f"installing {', '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages)
    if (
        run(*install, check=False, quiet=True, env=environment) != 0
    ):  # perhaps only the lists are missing or old
        run("apt-get", "update", "-qq", env=environment)
        run(*install, env=environment)


def install_project(level: str) -> None:
    """Install the project into the virtual environment, unless the same is there already."""
    wanted = fingerprint(level)
    stamps = [VENV / f".installed-{name}" for name in ("run", "test")[("run", "test").index(level) :]]
    if PYTHON.exists() and any(read(stamp) == fingerprint(stamp.name[11:]) for stamp in stamps):
        return
    make_environment(VENV)
    say("installing Python packages")
    # pip knows dependency groups since 25.1; Debian 12 brings 23.0.
    run(PYTHON, "-m", "pip", "install", "-q", "--upgrade", "pip>=25.1")
    groups = ["--group", "dev"] if level == "test" else []
    run(PYTHON, "-m", "pip", "install", "-q", "--editable", ".", *groups, cwd=ROOT)
    (VENV / f".installed-{level}").write_text(wanted)


def fingerprint(level: str) -> str:
    """Return what the installation depends on: another one means to install again."""
    project = (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(project + f"{level} {sys.version} {ROOT}".encode()).hexdigest()


def install_service() -> None:
    """Install swarm on this machine."""
    sys.path.insert(0, str(ROOT / "deploy"))
    import install

    install.install(run, say, make_environment)


def make_environment(venv: Path) -> None:
    """Make a virtual environment with pip in it; replaces one whose Python is gone."""
    python = venv / "bin" / "python"
    if python.exists() and run(python, "-m", "pip", "--version", check=False, quiet=True) == 0:
        return
    say(f"making the virtual environment {venv.name}")
    shutil.rmtree(venv, ignore_errors=True)
    if importlib.util.find_spec("ensurepip") is None and os.geteuid() == 0:
        apt_install(["python3-venv"])
        importlib.invalidate_caches()
    if importlib.util.find_spec("ensurepip") is not None:
        run(sys.executable, "-m", "venv", venv)
        return
    # Debian keeps ensurepip in a package of its own, which only root can install.
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    fetch_pip(venv)


def fetch_pip(venv: Path) -> None:
    """Put pip into a virtual environment: with the system's pip, else from the package index itself."""
    python = venv / "bin" / "python"
    if run(sys.executable, "-m", "pip", "--version", check=False, quiet=True) == 0:
        run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "pip>=25.1")
        return
    sys.path.insert(0, str(ROOT / "deploy"))
    import pip_download

    wheel = pip_download.download(venv)
    run(python, f"{wheel}/pip", "install", "-q", "--no-index", wheel)
    wheel.unlink()


def run(*command: "str | Path", check: bool = True, quiet: bool = False, **options: object) -> int:
    """Run a program and return its exit code; with `check` raises CalledProcessError unless it is 0."""
    arguments = [str(part) for part in command]
    sink = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if quiet else {"stdout": sys.stderr}
    return subprocess.run(arguments, check=check, **sink, **options).returncode  # type: ignore[call-overload]


def read(path: Path) -> str:
    """Return the text of a file, empty when there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def say(text: str) -> None:
    """Tell what happens."""
    sys.stderr.write(f"bootstrap: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
