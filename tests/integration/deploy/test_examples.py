"""Ansible reads the example of deployment."""

import subprocess

from tests.integration.operator import ROOT


def test_ansible_understands_the_playbook_and_the_inventory() -> None:
    command = ("ansible-playbook", "--syntax-check", "-i", "inventory.yaml", "playbook.yaml")
    done = subprocess.run(
        command, cwd=ROOT / "deploy/ansible", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "playbook: playbook.yaml" in done.stdout
    assert "WARNING" not in done.stderr
