"""A node behind SSH: real servers, and what a person has in ~/.ssh."""

import hashlib
import hmac
import subprocess
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import asyncssh
import click
import pytest

from swarm.cli import ssh_tunnel
from swarm.cli.endpoints import SshEndpoint
from swarm.cli.machine_tunnel import machine_tunnel
from swarm.cli.main import main
from swarm.cli.ssh_tunnel import tunnel
from swarm.errors import FailedPrecondition, InvalidArgument, Unauthenticated, Unavailable
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import HostKeyRefused, PreCheckFailed
from swarm.machine.host_keys import parse_known_hosts
from swarm.machine.store import MachineStore, Record
from tests.unit.cli.ssh_lab import Door, Home, serving
from tests.unit.cli.stage import served
from tests.unit.ssh_agent import ssh_agent


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Home(tmp_path / ".ssh")


@pytest.fixture
def lab(home):
    """An SSH server that lets us in, called `lab`, and known."""
    with serving(Door(home.key)) as door:
        home.knows(door)
        home.configure(lab=f" Port {door.port}\n User root")
        yield door


@pytest.fixture
def node(tmp_path):
    with served(tmp_path) as address:
        yield address.removeprefix("unix://")


def opened(*arguments, **more):
    with tunnel(SshEndpoint(*arguments, **more)):
        pass


def test_commands_reach_a_node_behind_ssh(lab, node, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--host", f"ssh://lab{node}", "service", "ls", "-q"])
    there = capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--host", f"unix://{node}", "service", "ls", "-q"])
    assert (ended.value.code or 0, there.err) == (0, "")
    assert there.out == capsys.readouterr().out != ""
    assert set(lab.log) == {"root"}, "the configuration says who we are"


def test_the_socket_is_closed_to_others_and_gone_afterwards(lab, node):
    with tunnel(SshEndpoint("lab", path=node)) as local:
        assert Path(local).parent.stat().st_mode & 0o777 == 0o700
        assert Path(local).stat().st_mode & 0o177 == 0
    assert not Path(local).parent.exists()


def test_what_is_written_wins_over_the_configuration(lab, node):
    opened("127.0.0.1", "ann", lab.port, path=node)
    opened("lab", "bob", path=node)
    assert lab.log == ["ann", "bob"]


def hashed(known):
    """Return a known_hosts line with its host hashed, as Debian has ssh write them."""
    place, key = known.split(" ", 1)
    salt = b"12345678901234567890"
    digest = hmac.new(salt, place.encode(), hashlib.sha1).digest()
    return f"|1|{b64encode(salt).decode()}|{b64encode(digest).decode()} {key}"


def test_hosts_are_known_by_hashed_names_beside_lines_that_nobody_can_read(home, lab, node):
    home.known.write_text(f"nonsense\n{hashed(lab.known)}")
    opened("lab", path=node)


def test_a_stranger_is_refused_without_a_terminal(home, lab):
    home.known.unlink()
    with pytest.raises(FailedPrecondition, match=r"lab: the host key is not known: SHA256:.*with ssh lab"):
        opened("lab")


def test_a_stranger_is_asked_about_and_then_known(home, lab, node, monkeypatch):
    home.known.unlink()
    asked = []
    monkeypatch.setattr(ssh_tunnel, "_is_terminal", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda text, **_: asked.append(text))
    for _ in range(2):
        opened("lab", path=node)
    assert len(asked) == 1
    assert home.known.read_text().split()[0] == f"[127.0.0.1]:{lab.port}"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_changed_key_is_refused_with_both_and_how_to_forget_the_old_one(home, lab, monkeypatch, kind):
    monkeypatch.setattr(ssh_tunnel, "_is_terminal", lambda: True)
    old = Door(home.key, asyncssh.generate_private_key(kind), port=lab.port)
    home.knows(old)
    said = rf"CHANGED: on record is SHA256:.*ssh-keygen -R '\[127\.0\.0\.1\]:{lab.port}'"
    with pytest.raises(FailedPrecondition, match=said):
        opened("lab")


def test_who_is_not_let_in_hears_of_the_agent(home, lab):
    (home.folder / "id_ed25519").unlink()
    with pytest.raises(Unauthenticated, match=r"lab does not let us in: .*there is no agent.*ssh-add"):
        opened("lab")


def test_keys_come_from_the_agent(home, lab, node, tmp_path, monkeypatch):
    key = home.folder / "id_ed25519"
    path = str(tmp_path / "agent")
    with ssh_agent(Path(path)):
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        subprocess.run(["ssh-add", "-q", str(key)], check=True, timeout=60)
        key.unlink()
        opened("lab", path=node)
        subprocess.run(["ssh-add", "-q", "-D"], check=True, timeout=60, stderr=subprocess.DEVNULL)
        with pytest.raises(Unauthenticated, match="those of your agent"):
            opened("lab", path=node)


def test_a_password_is_asked_for_at_a_terminal_only(home, lab, node, monkeypatch):
    (home.folder / "id_ed25519").unlink()
    lab.password = "sesame"
    with pytest.raises(Unauthenticated) as refused:
        opened("lab", path=node)
    assert "sesame" not in str(refused.value)
    monkeypatch.setattr(ssh_tunnel, "_is_terminal", lambda: True)
    answers = ["sesame", "wrong"]
    monkeypatch.setattr(click, "prompt", lambda text, **_: answers.pop(0))
    opened("lab", path=node)
    with pytest.raises(Unauthenticated, match="the password is wrong"):
        opened("lab", path=node)


def test_jumps_are_made_and_each_host_is_known_by_its_own_key(home, lab, node):
    with serving(Door(home.key)) as behind:
        home.knows(lab, behind)
        far = f" Port {behind.port}\n User eve\n ProxyJump lab"
        home.configure(lab=f" Port {lab.port}\n User ada", far=far)
        opened("far", path=node)
        assert (lab.log, behind.log) == (["ada"], ["eve"])
        home.knows(behind)
        with pytest.raises(FailedPrecondition, match="lab: the host key is not known"):
            opened("far", path=node)


def test_jumps_that_go_in_a_circle_are_refused(home):
    home.configure(a=" ProxyJump b", b=" ProxyJump a")
    with pytest.raises(InvalidArgument, match="more than 8 jumps"):
        opened("a")


def test_a_socket_that_is_not_there_is_named(lab, tmp_path):
    with pytest.raises(
        FailedPrecondition, match=r"root@lab lets us in, but its socket /nonexistent\.sock is not"
    ):
        opened("lab", "root", path="/nonexistent.sock")


def test_a_socket_that_nobody_may_open_says_who_may(home, lab, tmp_path):
    """The look at the machine is a script: here of an account for which the folder is closed."""
    closed = tmp_path / "closed"
    closed.mkdir()
    with ExitStack() as stack:
        stack.callback(closed.chmod, 0o700)
        closed.chmod(0)
        from swarm.machine.forward import _LOOK

        told = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", _LOOK, "sh", str(closed / "x.sock")],
            capture_output=True,
            text=True,
            check=True,
        )
    assert told.stdout.split() == ["nobody"]
    missing = subprocess.run(
        ["sh", "-c", _LOOK, "sh", str(tmp_path / "no" / "such" / "x.sock")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert missing.stdout.split()[0] == "enter"


def test_a_server_that_forwards_no_sockets_says_which_option_it_needs(lab, node):
    lab.forwards = False
    with pytest.raises(FailedPrecondition, match="needs AllowStreamLocalForwarding yes"):
        opened("lab", path=node)


def test_a_host_that_nobody_answers_at_is_not_reached(home):
    home.configure(lab=" Port 1")
    with pytest.raises(Unavailable, match=r"cannot reach lab over SSH: .*try it by hand: ssh lab"):
        opened("lab")


def test_a_machine_is_reached_with_its_own_key_and_its_pinned_host_key(home, lab, tmp_path, monkeypatch):
    monkeypatch.setenv("SWARMCTL_MACHINES", str(tmp_path / "machines"))
    pinned = parse_known_hosts(lab.known)
    key = tmp_path / "key"
    (home.folder / "id_ed25519").rename(key)
    store = MachineStore(tmp_path / "machines")
    store.add(Record("w1", "generic", Endpoint(Hop("127.0.0.1", lab.port, "root"), str(key))))
    store.save_host_keys("w1", pinned)
    home.known.write_text("")  # what counts for ssh://
    with pytest.raises(PreCheckFailed, match="machine w1 lets us in, but its socket"), machine_tunnel("w1"):
        pass
    store.save_host_keys("w1", {})
    with pytest.raises(HostKeyRefused, match="host key is not known"), machine_tunnel("w1"):
        pass


def test_a_key_of_the_library_is_no_text_of_ours():
    """What is compared is algorithm and text, whatever comment a key bears."""
    from swarm.machine.ssh import key_of

    key = asyncssh.generate_private_key("ssh-ed25519", comment="a comment")
    assert key_of(key).algorithm == "ssh-ed25519"
    assert " " not in key_of(key).text
