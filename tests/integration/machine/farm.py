"""Machines with systemd and an SSH server, on a network of their own: systemd-nspawn on an overlay.

All share one root file system, made of Debian's packages the first time and kept in a cache directory. What
a machine writes is gone with it. Mounts are in a mount namespace of the machine, its processes below one
process.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "python3", "procps"),
    *("crun", "conmon", "nftables", "busybox-static", "tini"),
)
START_TIMEOUT_S = 480
STOP_TIMEOUT_S = 60
EXIT_REBOOT = 133

# $1 folder, $2 root file system, $3 name, $4 network namespace
_BOOT = """
set -e
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
while :; do
  code=0
  systemd-nspawn -q --register=no --keep-unit -b -D "$1/root" --machine="$3" \\
    --network-namespace-path="/run/netns/$4" --console=pipe --capability=all || code=$?
  [ "$code" = 133 ] || exit "$code"
done
"""


def root_file_system() -> Path:
    """Return the root file system of all machines; builds it the first time (half a minute)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swarm" / "machines"
    cache.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / name).exists():
            new = cache / f"{name}.new"
            shutil.rmtree(new, ignore_errors=True)
            subprocess.run(
                [
                    *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
                    *([f"--keyring={KEYRING}"] if KEYRING.exists() else []),
                    *("--aptopt=Acquire::Check-Valid-Until false", "--aptopt=Acquire::Check-Date false"),
                    *(SUITE, str(new), MIRROR),
                ],
                check=True,
                timeout=280,
            )
            new.rename(cache / name)
    return cache / name


class Machine:
    """One machine; everything of it is below `folder`, as long as it runs."""

    boot = _BOOT

    def __init__(self, name: str, address: str, namespace: str, folder: Path) -> None:
        self.name, self.address, self.namespace, self.folder = name, address, namespace, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, base: Path) -> None:
        assert self._process is None
        with (self.folder / "console").open("ab") as console:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation=private", "sh", "-c", self.boot, "sh"),
                    *map(str, (self.folder, base, self.name, self.namespace)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    @property
    def leader(self) -> int:
        """The pid of the machine's init, seen from here; 0 while there is none."""
        nspawn = self._children(self._process.pid if self._process else 0)
        inits = self._children(nspawn[0]) if nspawn else []
        return inits[0] if inits else 0

    def __call__(self, *command: str, check: bool = True) -> str:
        """Run a program on the machine, without SSH, and return what it printed."""
        leader = self.leader
        assert leader > 1, f"{self.name} does not run"
        done = subprocess.run(
            ["nsenter", f"--target={leader}", "--all", "--", *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            errors="replace",
        )
        assert done.returncode == 0 or not check, f"{self.name}: {command}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def link(self, state: str) -> None:
        """Plug the network cable in (`up`) or out (`down`)."""
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "eth0", state], check=True)

    def stop(self) -> None:
        """Power off at once: nothing on it hears of it."""
        if self._process is None:
            return
        for nspawn in self._children(self._process.pid):
            for init in self._children(nspawn):
                with suppress(ProcessLookupError):
                    os.kill(init, signal.SIGKILL)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for nspawn in self._children(self._process.pid):
                os.kill(nspawn, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self._process = None

    @staticmethod
    def _children(pid: int) -> list[int]:
        with suppress(OSError):
            if pid > 1:
                return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []


class Farm:
    """Machines m1, m2, … on one network, and somebody's own place on it."""

    kind: type[Machine] = Machine

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = f"sm{secrets.token_hex(3)}"
        self.machines: list[Machine] = []
        self.key = folder / "id_ed25519"
        self.base = root_file_system()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.bridge = f"{self.token}-br"
        _ip("netns", "add", self.bridge)
        _ip("-n", self.bridge, "link", "set", "lo", "up")
        _ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.bridge, "addr", "add", "10.88.0.1/24", "dev", "br0")
        _ip("-n", self.bridge, "link", "set", "br0", "up")

    def add(self) -> Machine:
        """A new machine that boots; `wait` for it."""
        number = len(self.machines) + 1
        name, space = f"m{number}", f"{self.token}-{number}"
        machine = self.kind(name, f"10.88.0.{10 + number}", space, self.folder / name)
        self.machines.append(machine)
        for part in ("upper", "work", "root"):
            (machine.folder / part).mkdir(parents=True)
        _ip("netns", "add", space)
        veth = ("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("-n", self.bridge, *veth)
        _ip("-n", self.bridge, "link", "set", f"v{number}", "master", "br0", "up")
        _ip("-n", space, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "route", "add", "default", "via", "10.88.0.1")
        self._furnish(machine)
        machine.start(self.base)
        return machine

    def renew(self, machine: Machine) -> None:
        """Let a machine be as it was when it came, with other host keys; it boots: `wait` for it."""
        machine.stop()
        for part in ("upper", "work"):
            shutil.rmtree(machine.folder / part)
            (machine.folder / part).mkdir()
        self._furnish(machine)
        machine.start(self.base)

    def _furnish(self, machine: Machine) -> None:
        upper = machine.folder / "upper"
        ssh = upper / "etc/ssh"
        ssh.mkdir(parents=True)
        (upper / "etc/hostname").write_text(f"{machine.name}\n")
        (upper / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {machine.name}\n")
        (upper / "etc/fstab").write_text("")
        # Machines of nspawn see cgroups of version 1, and may not change them.
        (upper / "etc/swarm").mkdir()
        (upper / "etc/swarm/swarmd.toml").write_text('runtime = "process"\n')
        for kind in ("ed25519", "rsa"):
            host_key = ssh / f"ssh_host_{kind}_key"
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(host_key)], check=True)
        allowed = (self.folder / "id_ed25519.pub").read_text()
        for home in ("root", "home/ada", "home/bob"):
            (upper / home / ".ssh").mkdir(parents=True, mode=0o700)
            (upper / home / ".ssh/authorized_keys").write_text(allowed)
        (upper / "root").chmod(0o700)
        # ada may do everything as root, bob only with a password, and not on this network's word.
        (upper / "etc/sudoers.d").mkdir()
        (upper / "etc/sudoers.d/ada").write_text("ada ALL=(ALL) NOPASSWD: ALL\nbob ALL=(ALL) ALL\n")
        _users(self.base, upper)

    def wait(self, machine: Machine) -> None:
        """Wait until a machine lets people in."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            done = self.run(
                *("ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=20"),
                *("-o", "UserKnownHostsFile=/dev/null", "-i", str(self.key), f"root@{machine.address}"),
                *("systemctl", "is-system-running", "--wait"),
                timeout_s=START_TIMEOUT_S,
            )
            if done.stdout.strip() in ("running", "degraded"):
                return
            console = (machine.folder / "console").read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, f"{machine.name} is not up: {done.stderr}\n{console}"
            time.sleep(0.2)

    def run(
        self, *command: str, timeout_s: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine on the network of the farm."""
        return subprocess.run(
            self.command(*command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
        )

    def command(self, *command: str) -> list[str]:
        """What to run here so that it runs on the network of the farm."""
        return ["ip", "netns", "exec", self.bridge, *command]

    def down(self) -> None:
        """Take everything away."""
        for machine in self.machines:
            machine.stop()
            subprocess.run(["ip", "netns", "del", machine.namespace], check=False, capture_output=True)
            shutil.rmtree(machine.folder, ignore_errors=True)
        subprocess.run(["ip", "netns", "del", self.bridge], check=False, capture_output=True)

    def fingerprint(self, machine: Machine) -> str:
        """What somebody at the machine's console would read."""
        key = machine.folder / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        done = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True)
        return done.stdout.split()[1]


def _users(base: Path, upper: Path) -> None:
    """Add ada and bob (password `secret`); bob's homes belong to them."""
    crypt = subprocess.run(
        ["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for file, lines in {
        "passwd": "ada:x:1001:1001::/home/ada:/bin/sh\nbob:x:1002:1002::/home/bob:/bin/sh\n",
        "group": "ada:x:1001:\nbob:x:1002:\n",
        "shadow": f"ada:*:19000::::::\nbob:{crypt}:19000::::::\n",
    }.items():
        (upper / "etc" / file).write_text((base / "etc" / file).read_text() + lines)
    (upper / "etc/shadow").chmod(0o640)
    for name, number in (("ada", 1001), ("bob", 1002)):
        for path in (upper / "home" / name, *(upper / "home" / name).rglob("*")):
            os.chown(path, number, number)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
