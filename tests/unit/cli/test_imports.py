"""What a command imports before it does anything: people wait for it, each time."""

import json
import os
import subprocess
import sys

import pytest

from tests.unit.cli.stage import served

# Each of these costs tens of milliseconds, and is needed by few commands.
SLOW = {
    "asyncssh",
    "cryptography",
    "httpx",
    "jsonschema",
    "OpenSSL",
    "prometheus_client",
    "pysyncobj",
    "rich",
    "structlog",
    "yaml",
}
SCRIPT = """
import json, sys
from swarm.cli.main import cli
try:
    cli.main(sys.argv[1:], prog_name="swarmctl")
except SystemExit:
    pass
except Exception:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
print(json.dumps(sorted(name for name in sys.modules if name.startswith("swarm."))), file=sys.stderr)
"""


def imported(*words, host="unix:///nonexistent", **env):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--host", host, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **env},
    )
    top, ours = done.stderr.splitlines()[-2:]
    return set(json.loads(top)), set(json.loads(ours))


@pytest.mark.parametrize("words", [["--version"], ["--help"]], ids=" ".join)
def test_what_needs_no_node_imports_next_to_nothing(words):
    top, ours = imported(*words)
    assert not top & {*SLOW, "grpc", "google", "email"}
    assert ours <= {
        "swarm.cli",
        "swarm.cli.completion_scripts",
        "swarm.cli.late",
        "swarm.cli.main",
        "swarm.cli.paging",
        "swarm.cli.postponed",
        "swarm.cli.shortcuts",
        "swarm.cli.flags",
        "swarm.errors",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["service", "ls"],
        ["service", "ps", "web"],
        ["service", "update", "--image", "web:2", "web"],
        ["service", "create", "web:1"],
        ["node", "ls"],
        ["stack", "ls"],
        ["ps"],
        ["logs", "web.1"],
        ["secret", "ls"],
        ["network", "ls"],
        ["info"],
        ["top", "--once"],
    ],
    ids=" ".join,
)
def test_commands_that_ask_the_cluster_import_what_that_needs(words):
    top, ours = imported(*words)
    assert not top & SLOW
    assert not {name for name in ours if name.startswith(("swarm.manager", "swarm.agent", "swarm.runtime"))}


def test_a_list_is_made_without_what_only_changes_and_templates_need(tmp_path):
    with served(tmp_path) as address:
        top, ours = imported("service", "ls", host=address)
    assert "grpc" in top
    assert not top & SLOW
    stubs = {name for name in ours if name.endswith("_pb2_grpc")}
    assert not stubs, "calls are made from descriptors, which costs a tenth"
    assert not {"swarm.cli.service", "swarm.cli.service_options", "swarm.cli.templates.parser"} & ours
    assert len({name for name in ours if name.startswith(("swarm.cli.", "swarm.model."))}) < 30


@pytest.mark.parametrize(
    "words", [["service", "--help"], ["service", "create", "--help"], ["completion", "bash"]], ids=" ".join
)
def test_help_of_any_command_does_without_grpc(words):
    top, _ours = imported(*words)
    assert not top & {*SLOW, "grpc"}


def test_completing_a_word_that_names_no_object_does_without_grpc():
    line = "swarmctl service create --repl"
    asked = {"_SWARMCTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "3"}
    top, _ours = imported(**asked)
    assert not top & {*SLOW, "grpc"}


def test_what_libraries_bring_and_nobody_uses_is_not_read_until_somebody_does(tmp_path):
    script = """
import sys
from swarm.cli.main import cli
try:
    cli.main(sys.argv[1:], prog_name="swarmctl")
except SystemExit:
    pass
from swarm.cli.postponed import OTHER_GRPC, OTHER_PROTOBUF
read = [name for name in (OTHER_GRPC, OTHER_PROTOBUF) if type(sys.modules[name]).__name__ == "module"]
import grpc.aio
print(read, hasattr(grpc.aio, "insecure_channel"), type(sys.modules["grpc.aio"]).__name__, file=sys.stderr)
"""
    with served(tmp_path) as address:
        done = subprocess.run(
            [sys.executable, "-c", script, "--host", address, "service", "ls"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert "web" in done.stdout
    assert done.stderr.splitlines()[-1] == "[] True module"
