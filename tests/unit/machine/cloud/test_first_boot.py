from pathlib import Path

import asyncssh
import yaml

from swarm.machine.cloud import first_boot


def test_keys_are_made_once_and_only_we_can_read_them(tmp_path: Path) -> None:
    path = first_boot.key_file(tmp_path / "m1", first_boot.OURS)
    text = path.read_text()
    assert first_boot.key_file(tmp_path / "m1", first_boot.OURS).read_text() == text
    assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}
    assert path.with_suffix(".pub").read_text().strip() == first_boot.public_of(text)
    # What OpenSSH's form is, another library knows, too.
    key = asyncssh.import_private_key(text)
    assert key.export_public_key("openssh").decode().split()[:2] == first_boot.public_of(text).split()


def test_the_same_machine_is_asked_for_with_the_same_words() -> None:
    host = first_boot.new_key()
    told = first_boot.settings("m1", host)
    assert told == first_boot.settings("m1", host)
    assert told.startswith("#cloud-config\n")
    found = yaml.safe_load(told)
    assert found["ssh_keys"]["ed25519_private"] == host
    assert first_boot.host_key_of(host).text in found["ssh_keys"]["ed25519_public"]
    assert found["hostname"] == "m1"
    assert "ssh_authorized_keys" not in found
    assert len(told) < 16384  # more, EC2 does not take


def test_names_that_no_host_can_have_are_left_out() -> None:
    assert "hostname" not in yaml.safe_load(
        first_boot.settings("a_b", first_boot.new_key(), "ssh-ed25519 x")
    )
