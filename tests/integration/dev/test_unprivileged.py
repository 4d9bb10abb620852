"""A dev cluster of somebody who is not root: plain processes on loopback addresses, and nothing left."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.operator import ROOT, SWARMCTL, wait_until

NOBODY = 65534
# The one thing granted: to read this checkout and its Python, which may lie in root's home.
AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
    "--bounding-set=-all,+dac_read_search",
]


class Somebody:
    """A user without any privilege, with a home of their own, and one dev cluster."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.name = f"t{secrets.token_hex(3)}"
        self.host = ""

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home), "PATH": os.environ["PATH"]}
        return subprocess.run(
            [*AS_NOBODY, *command],
            env={**environment, "SWARMCTL_HOST": self.host, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def __call__(self, *arguments: str) -> str:
        done = self.run(*SWARMCTL, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def processes(self) -> list[str]:
        """The command lines of all processes with the home in their arguments or environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    texts = [(entry / name).read_bytes() for name in ("cmdline", "environ")]
                except OSError:
                    continue
                if any(os.fsencode(self.home) in text for text in texts):
                    found.append(texts[0].replace(b"\0", b" ").decode())
        return found


@pytest.fixture
def somebody() -> Iterator[Somebody]:
    home = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    os.chown(home, NOBODY, NOBODY)
    found = Somebody(home)
    try:
        yield found
    finally:
        done = found.run(*SWARMCTL, "dev", "down", "--name", found.name)
        left = [str(path) for path in home.rglob("*")]
        running = found.processes()
        shutil.rmtree(home)
    assert done.returncode == 0, done.stderr
    assert running == []
    assert secrets_in_memory() == []
    assert [path for path in left if "swarm-dev" in path and not path.endswith("swarm-dev")] == []


def test_services_run_and_answer_without_root(somebody: Somebody) -> None:
    up = somebody.run(*SWARMCTL, "dev", "up", "--managers", "1", "--workers", "1", "--name", somebody.name)
    assert up.returncode == 0, up.stderr
    assert "Not root: tasks run as plain processes" in up.stderr
    nodes = [
        json.loads(line)
        for line in somebody("dev", "ps", "--name", somebody.name, "--format", "json").splitlines()
    ]
    addresses = {node["Node"]: node["Address"] for node in nodes}
    assert all(address.startswith("127.") for address in addresses.values())
    somebody.host = nodes[0]["Host"]
    archive = somebody.home / "hello.tar"
    assert somebody.run(sys.executable, ROOT / "examples/hello/build.py", archive).returncode == 0
    somebody("image", "load", "-i", str(archive))
    (somebody.home / "key").write_text("s3cret")
    somebody("secret", "create", "key", str(somebody.home / "key"))
    somebody(
        *("service", "create", "--name", "web", "--replicas", "2", "--secret", "key"),
        *("--publish", "mode=host,published=18080,target=8080", "hello:1"),
    )
    for address in addresses.values():
        assert "Hello from" in wait_until(lambda address=address: fetch(f"http://{address}:18080"))
    # Nobody may mount here, and the home is on a disk: the secrets are in the memory that all share.
    found = secrets_in_memory()
    assert [path.read_text() for path in found] == ["s3cret"] * 2
    partition = somebody.run(*SWARMCTL, "dev", "partition", "worker-1", "--name", somebody.name)
    assert (partition.returncode, "need root" in partition.stderr) == (1, True)


def secrets_in_memory() -> list[Path]:
    return list(Path("/dev/shm").glob(f"swarm-{NOBODY}-*/*/root/run/secrets/key"))


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return str(response.read().decode())
    except OSError:
        return ""
