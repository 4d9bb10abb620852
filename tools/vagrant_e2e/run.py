#!/usr/bin/env python3
"""Bring up machines of the Vagrantfile for real, and a cluster on them: one manager, one worker.

`python tools/vagrant_e2e/run.py [--managers 1] [--workers 1] [--again]`: makes a box from Debian's packages
the first time, starts a libvirt of its own in namespaces, runs `vagrant up` as users do, then has a service
run on every node, and takes it all away. Ends with exit code 0 when all went well. Needs root and what
`bootstrap.py vagrant` installs; no Internet after the first time. Standard library only.
"""

import argparse
import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
SUITE = "bookworm"
PACKAGES = (
    *(
        "linux-image-cloud-amd64",
        "systemd-sysv",
        "dbus",
        "udev",
        "kmod",
        "procps",
        "python3",
        "openssh-server",
    ),
    *("sudo", "iproute2", "ifupdown", "isc-dhcp-client", "netbase", "ca-certificates"),
    # The machines cannot reach the Internet; these would be fetched otherwise.
    *("crun", "conmon", "nftables", "busybox-static", "tini"),
)
DISK_GB = 4
BOX = "swarm-e2e"
UP_TIMEOUT_S = 3 * 3600
COMMAND_TIMEOUT_S = 900
# $1 root file system: people who use Vagrant are `vagrant`, with a key that everybody has.
FURNISH = r"""
set -eu
echo vagrant-box >"$1/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 vagrant-box\n' >"$1/etc/hosts"
echo '/dev/vda / ext4 defaults 0 0' >"$1/etc/fstab"
printf 'auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n' >"$1/etc/network/interfaces"
chroot "$1" useradd -m -s /bin/bash vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/vagrant"
chmod 440 "$1/etc/sudoers.d/vagrant"
install -d -m 700 -o 1000 -g 1000 "$1/home/vagrant/.ssh"
install -m 600 -o 1000 -g 1000 "$2" "$1/home/vagrant/.ssh/authorized_keys"
"""
BOX_VAGRANTFILE = """
Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 1800
  config.ssh.insert_key = false
  config.vm.provider :libvirt do |machine|
    machine.driver = "{driver}"
    {cpu}
    machine.kernel = "{folder}/vmlinuz"
    machine.initrd = "{folder}/initrd"
    machine.cmd_line = "root=/dev/vda rw console=ttyS0 net.ifnames=0 no_timer_check"
    machine.graphics_type = "none"
    machine.video_type = "none"
  end
end
"""
EMULATED = 'machine.cpu_mode = "custom"; machine.cpu_model = "qemu64"'


def main() -> int:
    """Build what is missing, bring the machines up, and return the exit code."""
    given = _arguments()
    if given.inside:
        return _Cluster(given).prove()
    if os.geteuid() != 0:
        sys.exit("only root can have namespaces and bridges for machines")
    plugins = subprocess.run(("vagrant", "plugin", "list"), capture_output=True, check=False).stdout
    if b"vagrant-libvirt" not in plugins:
        sys.exit("Vagrant lacks its provider: apt-get install vagrant-libvirt")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swarm" / "vagrant"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = cache / hashlib.sha256("\0".join((SUITE, FURNISH, *PACKAGES)).encode()).hexdigest()[:12]
        if given.again or not (base / "disk").exists():
            shutil.rmtree(base, ignore_errors=True)
            _build(base)
        with tempfile.TemporaryDirectory(prefix="run-", dir=cache) as scratch:
            return _in_a_lab(given, base, Path(scratch), cache / "last.log")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--managers", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="build the box anew, with today's packages")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _build(base: Path) -> None:
    """Make `disk`, `vmlinuz` and `initrd` in the directory `base`."""
    _say(f"building the machines' disk in {base} (some minutes, once)")
    base.mkdir(parents=True)
    tree = base / "tree"
    key = Path(_vagrant_source()) / "keys" / "vagrant.pub"
    try:
        _run(
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *([f"--keyring={KEYRING}"] if KEYRING.exists() else []),
            *("--aptopt=Acquire::Check-Valid-Until false", "--aptopt=Acquire::Check-Date false"),
            *(SUITE, str(tree), MIRROR),
        )
        _run("sh", "-c", FURNISH, "sh", str(tree), str(key))
        for kind, name in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")):
            shutil.copy(max((tree / "boot").glob(f"{kind}-*")), base / name)
        _run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(base / "raw"), f"{DISK_GB}G")
        _run("qemu-img", "convert", "-O", "qcow2", str(base / "raw"), str(base / "disk.new"))
        (base / "disk.new").rename(base / "disk")
    finally:
        (base / "raw").unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)


def _vagrant_source() -> str:
    gem = ("ruby", "-e", 'print Gem::Specification.find_by_name("vagrant").gem_dir')
    return subprocess.run(gem, check=True, capture_output=True, text=True).stdout


def _in_a_lab(given: argparse.Namespace, base: Path, scratch: Path, log: Path) -> int:
    _write_box(base, scratch / f"{BOX}.box")
    counts = ("--managers", str(given.managers), "--workers", str(given.workers))
    command = (
        *("unshare", "--net", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"),
        # Somebody has to bury what libvirt's daemons leave behind.
        *("tini-static", "--", "bash", str(HERE / "lab.sh"), str(scratch / "libvirt")),
        *(sys.executable, __file__, "--inside", str(scratch), *counts),
    )
    environment = {**os.environ, "WITHOUT_KVM": "" if _has_kvm() else "yes"}
    started = time.monotonic()
    with log.open("wb") as file:
        running = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert running.stdout is not None
        for line in running.stdout:
            text = f"{time.monotonic() - started:6.0f} s  ".encode() + line
            file.write(text)
            file.flush()
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
    code = running.wait()
    _say(f"exit code {code} after {time.monotonic() - started:.0f} s; log: {log}")
    return code


def _write_box(base: Path, path: Path) -> None:
    fast = _has_kvm()
    vagrantfile = BOX_VAGRANTFILE.format(
        folder=base, driver="kvm" if fast else "qemu", cpu="" if fast else EMULATED
    )
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_GB}
    with tarfile.open(path, "w") as box:
        for name, text in (("metadata.json", json.dumps(about)), ("Vagrantfile", vagrantfile)):
            item = tarfile.TarInfo(name)
            item.size = len(text.encode())
            box.addfile(item, io.BytesIO(text.encode()))
        box.add(base / "disk", "box.img")


class _Cluster:
    """What users do, in the lab."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._folder: Path = given.inside
        self._nodes = given.managers + given.workers
        self._environment = {
            **os.environ,
            "SWARM_MANAGERS": str(given.managers),
            "SWARM_WORKERS": str(given.workers),
            "SWARM_BOX": BOX,
            "VAGRANT_HOME": str(self._folder / "home"),
            "VAGRANT_DOTFILE_PATH": str(self._folder / "dotfile"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        }

    def prove(self) -> int:
        """Bring a cluster up, have it run a service, take it away; return the exit code."""
        try:
            self._vagrant("box", "add", "--force", "--name", BOX, str(self._folder / f"{BOX}.box"))
            self._vagrant("up", timeout_s=UP_TIMEOUT_S)
            self._on_manager("sudo swarmctl node ls")
            if not _has_kvm():
                # However long an emulated machine is silent, it is not lost.
                self._on_manager("sudo swarmctl update --dispatcher-heartbeat 1m")
            self._run_a_service()
            self._vagrant("up", timeout_s=UP_TIMEOUT_S)  # the same again
            self._vagrant("destroy", "--force", timeout_s=UP_TIMEOUT_S)
            self._nothing_is_left()
        except (subprocess.SubprocessError, RuntimeError, OSError) as error:
            _say(f"failed: {error}")
            return 1
        _say("all went well")
        return 0

    def _nothing_is_left(self) -> None:
        if (self._folder / "dotfile" / "swarm").exists():
            raise RuntimeError("after the last machine something is left")

    def _run_a_service(self) -> None:
        image = self._folder / "hello.tar"
        _run(sys.executable, str(ROOT / "examples/hello/build.py"), str(image))
        self._vagrant("ssh", "manager-1", "-c", "cat >hello.tar", given=image)
        self._on_manager("sudo swarmctl image load -i hello.tar")
        # Returns when there is a task on each node, and each has run for a while.
        create = "sudo swarmctl service create --name hello --mode global -p 8080:8080 hello:1"
        self._on_manager(create)
        self._on_manager("sudo swarmctl service ps hello")
        done = self._on_manager("sudo swarmctl service ps hello --format '{{.CurrentState}}'")
        if done.count("Running") != self._nodes:
            raise RuntimeError(f"{done.count('Running')} tasks run, not {self._nodes}")
        fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080', timeout=60).status)"
        if "200" not in self._on_manager(f'python3 -c "{fetch}"'):
            raise RuntimeError("the published port does not answer")

    def _on_manager(self, command: str) -> str:
        return self._vagrant("ssh", "manager-1", "-c", command)

    def _vagrant(
        self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S, given: Path = Path(os.devnull)
    ) -> str:
        _say(f"vagrant {' '.join(words)}")
        with given.open("rb") as file, tempfile.TemporaryFile() as seen:
            command = " ".join(("vagrant", *("'" + word.replace("'", "'\\''") + "'" for word in words)))
            subprocess.run(
                ["bash", "-o", "pipefail", "-c", f"{command} | tee /dev/fd/{seen.fileno()}"],
                check=True,
                cwd=ROOT,
                env=self._environment,
                stdin=file,
                timeout=timeout_s,
                pass_fds=(seen.fileno(),),
            )
            seen.seek(0)
            return seen.read().decode(errors="replace")


def _has_kvm() -> bool:
    """Whether the processor can run the machines: a /dev/kvm without its help may be there and not work."""
    flags = Path("/proc/cpuinfo").read_text("ascii", "replace").split()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and bool({"vmx", "svm"} & set(flags))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _say(text: str) -> None:
    sys.stdout.write(f"vagrant-e2e: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
