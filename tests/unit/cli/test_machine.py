"""`swarmctl machine` and `cluster` as scripts see them: what is printed, and the exit code."""

import json
from pathlib import Path

import pytest

from swarm.cli.machine_exchange import inventory_text
from swarm.cli.main import main
from swarm.machine.store import MachineStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineStore:
    monkeypatch.setenv("SWARMCTL_MACHINES", str(tmp_path / "machines"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return MachineStore(tmp_path / "machines")


LEAST = ("--cloud-image", "i", "--cloud-size", "s")


def swarmctl(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def remember(name: str, host: str) -> int:
    return swarmctl("machine", "create", "-d", "none", "--ssh-host", host, "--role", "worker", name)


def test_a_machine_of_others_is_only_remembered(
    store: MachineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert remember("w1", "ada@10.0.0.9:2222") == 0
    assert store.load("w1").state == "ready"
    capsys.readouterr()
    assert swarmctl("machine", "ip", "w1") == 0
    assert swarmctl("machine", "url", "w1") == 0
    assert capsys.readouterr().out == "10.0.0.9\nssh://ada@10.0.0.9:2222\n"
    assert swarmctl("machine", "provision", "w1") == 3
    assert swarmctl("machine", "stop", "w1") == 3
    assert swarmctl("machine", "rm", "-y", "w1") == 0
    assert store.names() == []


def test_what_is_exported_can_be_imported_and_then_nothing_twice(
    store: MachineStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    remember("w1", "ada@10.0.0.9")
    remember("w2", "10.0.0.10")
    before = store.load_all()
    capsys.readouterr()
    assert swarmctl("machine", "export") == 0
    (tmp_path / "all.json").write_text(capsys.readouterr().out)
    assert swarmctl("machine", "import", str(tmp_path / "all.json")) == 1
    assert "nothing was imported" in capsys.readouterr().err
    for name in ("w1", "w2"):
        store.remove(name)
    assert swarmctl("machine", "import", str(tmp_path / "all.json")) == 0
    assert store.load_all() == before
    assert "[workers]\nw1 ansible_host=10.0.0.9 ansible_port=22 ansible_user=ada" in inventory_text(before)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machines": [{"name": "x"}]}', '{"machines": [1]}'])
def test_what_is_no_export_is_refused(
    store: MachineStore, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "x.json").write_text(text)
    assert swarmctl("machine", "import", str(tmp_path / "x.json")) == 1
    assert "not what `swarmctl machine export` writes" in capsys.readouterr().err
    assert store.names() == []


def test_hosts_of_an_ssh_configuration_become_machines(store: MachineStore, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("Host *\n User x\nHost w1 w2\n HostName 127.0.0.1\n Port 2200\n")
    assert swarmctl("machine", "import", "--ssh-config", "--role", "worker", str(tmp_path / "c")) == 0
    assert [(one.name, one.endpoint.hop.port, one.role) for one in store.load_all()] == [
        ("w1", 2200, "worker"),
        ("w2", 2200, "worker"),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("machine", "create", "m1"), "--ssh-host"),
        (("machine", "create", "-d", "nimbus", "m1"), "known: cloud, generic"),
        (("machine", "create", "--ssh-host", "h;x", "m1"), "is not [USER@]HOST[:PORT]"),
        (("machine", "create", "--ssh-host", "h", "a/b"), "cannot be the name"),
        (("machine", "create", "--ssh-host", "h", "--host-key", "aa:bb", "m1"), "write SHA256:"),
        (("machine", "create", "--ssh-host", "h", "--label", "x", "m1"), "write KEY=VALUE"),
        (("machine", "inspect", "nobody"), 'no machine "nobody"'),
        (("machine", "rm", "-y", "nobody"), 'no machine "nobody"'),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_kept(
    store: MachineStore, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert swarmctl(*words) == 1
    assert told in capsys.readouterr().err
    assert store.names() == []


def test_a_damaged_record_is_told_and_can_be_removed(
    store: MachineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    remember("w1", "10.0.0.9")
    (store.folder("w1") / "machine.json").write_text("{")
    capsys.readouterr()
    assert swarmctl("machine", "ls", "--no-ask") == 0
    assert "rm --force w1" in capsys.readouterr().err
    assert swarmctl("machine", "rm", "-y", "w1") == 1
    assert swarmctl("machine", "rm", "--force", "w1") == 0
    assert store.names() == []


def test_a_shell_is_told_whom_to_talk_to(store: MachineStore, capsys: pytest.CaptureFixture[str]) -> None:
    remember("w1", "10.0.0.9")
    capsys.readouterr()
    assert swarmctl("machine", "env", "w1") == 0
    assert capsys.readouterr().out.startswith("export SWARMCTL_HOST=machine://w1\n")
    assert swarmctl("machine", "env", "-u") == 0
    assert capsys.readouterr().out == "unset SWARMCTL_HOST\n"


@pytest.mark.parametrize(
    ("shell", "line", "run"),
    [
        ("fish", "set -gx SWARMCTL_HOST machine://w1;", "--shell fish w1 | source"),
        ("powershell", '$Env:SWARMCTL_HOST = "machine://w1"', "| Out-String | Invoke-Expression"),
    ],
)
def test_other_shells_are_told_in_their_own_words(
    store: MachineStore, capsys: pytest.CaptureFixture[str], shell: str, line: str, run: str
) -> None:
    remember("w1", "10.0.0.9")
    capsys.readouterr()
    assert swarmctl("machine", "env", "--shell", shell, "w1") == 0
    first, hint = capsys.readouterr().out.splitlines()
    assert first == line
    assert hint.endswith(run)


def test_machines_that_are_known_are_shown_beside_the_names_of_the_others(
    store: MachineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    remember("w1", "10.0.0.9")
    capsys.readouterr()
    assert swarmctl("machine", "inspect", "-f", "{{.name}}", "none", "w1") == 1
    shown = capsys.readouterr()
    assert shown.out == "w1\n"
    assert 'there is no machine "none"' in shown.err


def test_logs_are_followed_through_openssh_as_root(
    store: MachineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    remember("w1", "ada@10.0.0.9")
    remember("w2", "10.0.0.10")
    programs = tmp_path / "bin"
    programs.mkdir()
    # A machine of somebody who has to ask to be root.
    for name, script in {
        "ssh": 'for last; do :; done; exec sh -c "$last"',
        "id": "echo 1001",
        "sudo": 'echo root runs "$@"; exit 3',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    capfd.readouterr()
    assert swarmctl("machine", "logs", "-f", "-n", "7", "w1") == 3
    assert capfd.readouterr().out == "root runs journalctl -u swarmd -n 7 -f --no-pager -o short-iso\n"
    assert swarmctl("machine", "logs", "-f", "w1", "w2") == 2


def test_a_listing_for_scripts_is_json(store: MachineStore, capsys: pytest.CaptureFixture[str]) -> None:
    remember("w1", "10.0.0.9")
    remember("w2", "10.0.0.10")
    capsys.readouterr()
    assert swarmctl("machine", "ls", "--no-ask", "--filter", "name=w2", "--format", "json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["Address"] == "10.0.0.10"


def test_a_join_token_comes_one_way_only(
    store: MachineStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("SWMTKN-1-x\n")
    assert swarmctl("join", "10.0.0.1:2377") == 2
    assert swarmctl("join", "--token", "a", "--token-file", str(tmp_path / "token"), "10.0.0.1:2377") == 2
    assert "--token-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ssh-host", "h", "--cloud-size", "s"], "belongs to the driver cloud"),
        (["-d", "cloud", "--cloud-size", "s"], "needs --cloud-image"),
        (["-d", "cloud", *LEAST, "--ssh-host", "h"], "knows where its machines are"),
        (["-d", "cloud", *LEAST, "--driver-opt", "tag=x"], 'cloud-tag "x": write KEY=VALUE'),
        ([], "where is it? Add --ssh-host"),
    ],
)
def test_what_is_wrong_with_a_wish_is_said_before_anything_is_kept(
    store: MachineStore, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert swarmctl("machine", "create", *words, "m1") != 0
    assert told in capsys.readouterr().err
    assert store.names() == []


def test_a_cloud_that_does_not_know_us_leaves_nothing_behind(
    store: MachineStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    wish = ("-d", "cloud", "--cloud-region", "r", "--cloud-image", "i", "--cloud-size", "s")
    assert swarmctl("machine", "create", *wish, "m1") == 5
    assert "who are you to AWS?" in capsys.readouterr().err
    assert store.names() == []
