"""An SSH agent of a test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def ssh_agent(path: Path) -> Iterator[None]:
    """Run an agent that listens at `path`, within the block."""
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            assert agent.stdout.readline(), "it says where it listens as soon as it does"
            yield
        finally:
            agent.terminate()
