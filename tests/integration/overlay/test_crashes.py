"""Killed at any step, the next agent of a node completes its network, or removes it without a rest."""

import subprocess
import sys
from pathlib import Path

import pytest

from swarm.agent.network import namespaces
from tests.integration.overlay.lab import OverlayLab

pytestmark = pytest.mark.integration


@pytest.mark.timeout(1200)  # hundreds of lives, one after the other
def test_after_a_death_at_any_step_the_next_life_puts_everything_right() -> None:
    lab = OverlayLab(1)
    try:
        node = lab.nodes[0]
        node.call("teardown")
        node.stop()
        command = [sys.executable, str(Path(__file__).with_name("crash_process.py"))]
        command += [str(node.run_dir), str(lab.resolv_conf)]
        with namespaces.entered(node.node):
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=1100, cwd=Path.cwd()
            )
        print(done.stderr[-4000:])
        assert [line for line in done.stdout.splitlines() if line.startswith("FAULT")] == []
        assert done.returncode == 0
        assert int(done.stdout.split()[-1]) > 50
    finally:
        lab.close()
