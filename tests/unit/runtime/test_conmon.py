from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from swarm.runtime.base import ContainerConfig
from swarm.runtime.oci.binaries import Runtime, wrapper_script
from swarm.runtime.oci.conmon import (
    ShimFiles,
    conmon_command,
    read_exit_code,
    readable_error,
)

FILES = ShimFiles(Path("/run/b/id"), Path("/state/id/log"))


@pytest.mark.parametrize(
    ("message", "name", "sentence"),
    [
        (
            "executable file `nope` not found in $PATH: No such file or directory\n",
            "nope",
            'exec: "nope": not found in $PATH',
        ),
        (
            'runc create failed: unable to start container process: exec: "nope": '
            "executable file not found in $PATH\n",
            "nope",
            'exec: "nope": not found in $PATH',
        ),
        (
            "executable file `/a/b` not found in $PATH: No such file or directory",
            "/a/b",
            'exec: "/a/b": no such file or directory',
        ),
        (
            'time="2026-11-21T09:17:08Z" level=error msg="runc create failed: '
            "unable to start container process: "
            'exec: \\"/a\\": stat /a: no such file or directory"\n',
            "/a",
            'exec: "/a": no such file or directory',
        ),
        ("open executable: Permission denied", "/a", 'exec: "/a": permission denied'),
        (
            'runc create failed: unable to start container process: exec: "/a": permission denied',
            "/a",
            'exec: "/a": permission denied',
        ),
        ("\x1b[31mwrite cgroup: Invalid  argument\x1b[0m\n", "x", "write cgroup: Invalid argument"),
        ("", "x", "the OCI runtime failed without saying why"),
        # Not about the command: the sentence must not blame it.
        (
            "mount `/x` to `y`: No such file or directory",
            "/a",
            "mount `/x` to `y`: No such file or directory",
        ),
    ],
)
def test_complaints_become_sentences(message: str, name: str, sentence: str) -> None:
    assert readable_error(message, name) == sentence


def a_config(**changes: Any) -> ContainerConfig:
    return ContainerConfig("id", "web:1", "sha256:0", **changes)


def test_only_an_open_standard_input_is_kept_for_later() -> None:
    def options(**changes: Any) -> set[str]:
        given = set(conmon_command("conmon", ("crun",), Path("/r"), FILES, a_config(**changes)))
        return given & {"--stdin", "--leave-stdin-open"}

    assert not options()
    assert options(stdin=True) == {"--stdin", "--leave-stdin-open"}
    assert options(stdin=True, stdin_once=True) == {"--stdin"}


def test_the_command_line_names_everything() -> None:
    command = conmon_command("/usr/bin/conmon", ("/usr/bin/crun",), Path("/run/root"), FILES, a_config())
    pairs = dict(pairwise(command))
    assert pairs["--runtime"] == "/usr/bin/crun"
    assert pairs["--bundle"] == "/run/b/id"
    assert pairs["--log-path"] == "k8s-file:/state/id/log"
    assert "--full-attach" in command
    assert "--terminal" not in command
    assert "--terminal" in conmon_command("conmon", ("crun",), Path("/r"), FILES, a_config(tty=True))


def test_exit_codes(tmp_path: Path) -> None:
    files = ShimFiles(tmp_path, tmp_path / "log")
    assert read_exit_code(files, "id") is None
    files.exit_file("id").write_text("")
    assert read_exit_code(files, "id") is None
    files.exit_file("id").write_text("137")
    status = read_exit_code(files, "id")
    assert status is not None
    assert status[0] == 137
    assert status[1] > 0


def test_the_wrapper_quotes_what_it_is_given() -> None:
    script = wrapper_script(Runtime("x", "/odd path/it's", "/sys/fs/cgroup/unified"))
    assert script.startswith("#!/bin/sh\n")
    assert "'/odd path/it'\"'\"'s'" in script
