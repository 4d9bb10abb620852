"""The packages: the wheel in an environment of its own, the Debian package on a machine with systemd."""

import gzip
import io
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarm.machine.bundle import file_digest
from tests.integration.machine.farm import Farm, Machine
from tests.integration.operator import ROOT, wait_until

NEXT = "9.8.7"
BROKEN_WITHIN_S = "2"
RUN = "systemctl show -p InvocationID -p ActiveState swarmd"
RELEASES = "/opt/swarm/releases"


@dataclass(frozen=True)
class Fault:
    """What an upgrade finds: lines of the service, what is said of the release, and of the way back."""

    lines: tuple[str, ...]
    why: str
    back: str = ""
    untouched: bool = False  # the daemon that ran runs on


# The last ones hold for the release of before too: whoever asks that daemon is answered all the time.
FAULTS = (
    Fault((f'ExecStartPre=/bin/sh -c "! readlink /opt/swarm/current | grep -q {NEXT}"',), "does not answer"),
    Fault(("ExecStart=",), "is not run by systemd", ", which is not run by systemd, too", untouched=True),
    Fault(("KillMode=control-group",), "would end all containers", ", which would end", untouched=True),
)


def test_the_wheel_has_every_file_and_runs_in_an_environment_of_its_own(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    build = (
        "wheel",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    )
    subprocess.run([*pip, *build], check=True, timeout=200)
    (wheel,) = tmp_path.glob("swarm-*.whl")
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "swarm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert sources - packed == set()

    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    (library,) = home.glob("lib/python3*/site-packages")
    # What it needs is here already; itself it has from the wheel alone.
    ours = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for path in ours.iterdir():
        if not path.name.startswith(("swarm", "_editable_impl_swarm", "pip")):
            (library / path.name).symlink_to(path)
    install = ("install", "-q", "--no-index", "--no-deps", str(wheel))
    subprocess.run([*pip, "--python", str(home / "bin/python"), *install], check=True, timeout=200)
    where = "import swarm.cli.main as m; print(m.__file__)"
    for command, told in (
        (["bin/swarmctl", "--version"], "swarmctl, version"),
        (["bin/swarmd", "--help"], "--advertise-addr"),
        (["bin/python", "-I", "-c", where], str(library)),
    ):
        done = subprocess.run(
            [str(home / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert told in done.stdout


def build(folder: Path) -> Path:
    """Make the Debian package of this source."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.deb", str(folder)],
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def later(package: Path, folder: Path) -> Path:
    """Make the package of a later version out of one: the same program, which says another number."""
    tree = folder / "later"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control, share = tree / "DEBIAN/control", tree / "usr/share/swarmd"
    control.write_text(re.sub(r"(?m)^Version: [^+]*", f"Version: {NEXT}", control.read_text()))
    unit = tree / "lib/systemd/system/swarmd.service"
    unit.write_text(f"{unit.read_text()}# {NEXT}\n")
    old, archive = share / "release.tar.gz", share / "release.tar.gz.new"
    with (
        tarfile.open(old) as source,
        gzip.open(archive, "wb", 0) as packed,  # nobody is sent it
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as target,
    ):
        for item in source:
            content = source.extractfile(item).read()  # type: ignore[union-attr]
            if re.search(r"/swarm-[^/]*\.dist-info/METADATA$", item.name):
                content = re.sub(rb"(?m)^Version: .*$", f"Version: {NEXT}".encode(), content)
                item.name = re.sub(r"/swarm-[^/]*\.dist-info", f"/swarm-{NEXT}.dist-info", item.name)
            if item.name.endswith("/swarm/machine/swarmd.service"):
                content += f"# {NEXT}\n".encode()
            item.size = len(content)
            target.addfile(item, io.BytesIO(content))
    archive.replace(old)
    (share / "release").write_text(f"{NEXT}-01234567\n")
    (share / "release.sha256").write_text(f"{file_digest(old)}\n")
    path = folder / f"swarmd_{NEXT}.deb"
    command = ("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, path)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package of this source, and that of a later version."""
    folder = tmp_path_factory.mktemp("packages")
    package = build(folder)
    return package, later(package, folder)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """One machine, without swarm."""
    farm = Farm(tmp_path_factory.mktemp("farm"))
    try:
        farm.wait(farm.add())
        yield farm
    finally:
        farm.down()


class Administrator:
    """Has a shell on the machine, as root."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self.machine: Machine = farm.machines[0]

    def __call__(self, script: str) -> str:
        return self.machine("sh", "-ec", f"export DEBIAN_FRONTEND=noninteractive\n{script}")

    def fails(self, script: str) -> str:
        """Run what must not succeed; return all that it said."""
        return self(f"if ( {script} ) 2>&1; then echo; echo IT SUCCEEDED; exit 1; fi")

    def copy(self, path: Path) -> str:
        """Put a file on the machine and return its path there."""
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        there = f"/root/{path.name}"
        done = self._farm.run(
            *("scp", "-q", *options, "-i", str(self._farm.key)),
            *(str(path), f"root@{self.machine.address}:{there}"),
        )
        assert done.returncode == 0, done.stderr
        return there

    def node_id(self) -> str:
        return self("swarmctl info --format '{{.NodeID}}'")

    def sleeper(self) -> str:
        """The process id of the task on this machine, seen from it; empty when there is none."""
        return self.machine("pgrep", "-fx", "/bin/busybox sleep 4711", check=False)


@pytest.mark.timeout(600)  # one machine, three installations: half a minute on a quiet machine
def test_the_debian_package_comes_is_upgraded_and_goes(
    farm: Farm, packages: tuple[Path, Path], tmp_path: Path
) -> None:
    root = Administrator(farm)
    image = tmp_path / "hello.tar"
    subprocess.run(
        [sys.executable, ROOT / "examples/hello/build.py", image], check=True, capture_output=True
    )
    first, second = map(root.copy, packages)

    comes(root, first)
    node_id, sleeper = a_cluster_runs_a_task(root, root.copy(image))
    for fault in FAULTS:
        a_release_that_does_not_run_is_gone_back_from(root, second, fault)
        assert (root.node_id(), root.sleeper()) == (node_id, sleeper)

    root("dpkg --configure swarmd")
    assert root("swarmctl --version").endswith(NEXT)
    assert (root.node_id(), root.sleeper()) == (node_id, sleeper)
    assert NEXT in root("/opt/swarm/current/bin/swarmctl version --format '{{.Server.Version}}'")

    root(f"cp -al {RELEASES} /root/releases")
    root("dpkg -r swarmd")
    assert root.sleeper() == ""
    assert root("ls /usr/bin/swarm* /opt/swarm /lib/systemd/system/swarmd* 2>/dev/null || :") == ""
    assert "process" in root("cat /etc/swarm/swarmd.toml")

    # What is unpacked already is not unpacked again: that was seen before, and takes long.
    root(f"mkdir /opt/swarm; mv /root/releases {RELEASES}")
    root(f"dpkg -i {second}")
    assert root.node_id() == node_id
    wait_until(root.sleeper, 90, "the task, begun anew")

    root("dpkg --purge swarmd")
    found = "find / -xdev -ignore_readdir_race -iname '*swarm*' ! -path '/proc/*' ! -path '/sys/*'"
    assert root(f"{found} ! -path '/root/*'") == ""
    assert root("dpkg -l | grep swarmd || :") == ""


def comes(root: Administrator, package: str) -> None:
    """The first time: the daemon runs and is a member of nothing."""
    root("ln -s /somewhere /usr/local/bin/swarmd; touch /somewhere")
    assert "already" in root.fails(f"dpkg -i {package}")
    root("rm /usr/local/bin/swarmd /somewhere")

    # The machines of these tests have a configuration of their own, which an administrator has written.
    root(f"dpkg --force-confold -i {package}")
    assert root("systemctl is-active swarmd; systemctl is-enabled swarmd").split() == ["active", "enabled"]
    assert root.node_id() == ""
    assert "0." in root("swarmctl --version")
    assert root("systemd-analyze verify /lib/systemd/system/swarmd.service 2>&1") == ""
    assert root("find /opt/swarm ! -user root; find /opt/swarm ! -type l -perm /022") == ""
    assert "usr" not in root("dpkg --verify swarmd")
    assert "swarmctl" in root("cat /usr/share/bash-completion/completions/swarmctl")


def a_cluster_runs_a_task(root: Administrator, image: str) -> tuple[str, str]:
    root("swarmctl init --advertise-addr 10.88.0.11")
    root(f"swarmctl image load -i {image}")
    nap = "--entrypoint '/bin/busybox sleep' hello:1 4711"
    root(f"swarmctl service create -d --name naps --restart-delay 0s --stop-grace-period 1s {nap}")
    return root.node_id(), wait_until(root.sleeper, 90, "the task")


def a_release_that_does_not_run_is_gone_back_from(root: Administrator, second: str, fault: Fault) -> None:
    good = root("basename $(readlink /opt/swarm/current)")
    lines = " ".join(f"'{line}'" for line in ("[Service]", *fault.lines))
    folder = "/run/systemd/system/swarmd.service.d"
    root(f"mkdir -p {folder}; printf '%s\\n' {lines} > {folder}/broken.conf")
    ran = root(RUN)
    upgrade = f"dpkg -i {second}" if fault is FAULTS[0] else "dpkg --configure swarmd"
    told = root.fails(f"SWARMD_HEALTHY_WITHIN_S={BROKEN_WITHIN_S} {upgrade}")
    for words in (f"release {NEXT}-01234567 {fault.why}", f"went back to {good}{fault.back}"):
        assert words in told, told
    assert root("basename $(readlink /opt/swarm/current)") == good
    assert NEXT not in root("cat /lib/systemd/system/swarmd.service")
    assert (root(RUN) == ran) == fault.untouched
    root(f"rm -r {folder}; systemctl daemon-reload")
    wait_until(lambda: "NodeID" in root("swarmctl info --format json || :"), 60, "the daemon")
