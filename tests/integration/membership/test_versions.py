"""Two versions of swarm in one cluster: upgraded and gone back in both orders, and what is refused.

The tests build on each other, so they are one: nodes are restarted twenty times as it is.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, SwarmError
from swarm.model.compatibility import swarm_version
from tests.integration.membership.people import leader, swarmctl, typed, voters
from tests.integration.swarmd import ROOT, Daemon, daemons, wait_for
from tests.integration.versions import make_version

PATIENCE_S = 120.0
NAMES = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """Daemons of this version; `out` is no node yet."""
    with daemons(tmp_path_factory.mktemp("d"), *NAMES, "w1", "out") as found:
        yield found


def restart(daemon: Daemon, root: Path) -> None:
    """Give a node another version."""
    daemon.stop(timeout_s=60)
    daemon.root = root
    daemon.start()


def told(made: Mapping[str, Daemon]) -> dict[str, str]:
    """The version of each ready node, as some manager sees it."""
    for name in NAMES:
        try:
            found = made[name].nodes()
        except (SwarmError, OSError):
            continue
        return {
            name: node.description.compatibility.version
            for name, node in found.items()
            if node.status.state == 2
        }
    return {}


def wait_versions(made: Mapping[str, Daemon], **wanted: str) -> None:
    wait_for(lambda: wanted.items() <= told(made).items() and voters(made["m1"]) == set(NAMES), PATIENCE_S)


def raised(daemon: Daemon) -> str:
    """What somebody is told who raises the level, also while the leader changes."""

    def ask() -> str:
        done = swarmctl(daemon, "update", "--raise-level")
        return done.stdout if done.returncode == 0 else ""

    return wait_for(ask, PATIENCE_S)


def processes(daemon: Daemon) -> dict[str, int]:
    """The first process of each running task."""

    def ask() -> dict[str, int]:
        done = swarmctl(daemon, "service", "ps", "keep", "--no-trunc", "--format", "json")
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        ids = [row["ID"] for row in rows if row["CurrentState"].startswith("Running")]
        if len(ids) != 4:
            return {}
        tasks = json.loads(typed(daemon, "task", "inspect", *ids))
        return {task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in tasks}

    return wait_for(ask, PATIENCE_S)


def digest(state: Path) -> str:
    """What a node keeps, to the byte, but for what its containers write and the lock."""
    digest = hashlib.sha256()
    kept = [state / "node.json", state / "level.json"]
    for folder in ("raft", "certificates", "agent"):
        found = sorted((state / folder).rglob("*"))
        assert found, folder
        kept += found
    for path in kept:
        digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def refused_start(daemon: Daemon) -> str:
    """Why a daemon does not start."""
    command = [sys.executable, "-m", "swarm.daemon", *daemon.arguments]
    done = subprocess.run(command, cwd=daemon.root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.timeout(600)  # some twenty restarts
def test_two_versions_work_together_and_what_is_new_waits_for_all_managers(
    made: dict[str, Daemon], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("versions")
    new = make_version(folder / "new", "0.2.0", PROTOCOL_MAX=2, LEVEL_MAX=2)
    far = make_version(folder / "far", "9.0.0", PROTOCOL_MIN=8, PROTOCOL_MAX=9, LEVEL_MAX=9)
    tokens = made["m1"].init()
    join_all(made, tokens.manager_token, tokens.worker_token)
    run_something(made["m1"], folder)
    before = processes(made["m1"])

    one_after_the_other_and_back(made, new)
    assert processes(made["m1"]) == before, typed(made["m1"], "service", "ps", "keep", "--no-trunc")
    all_managers_make_the_level(made, new)
    now = processes(made["m1"])
    assert now == before, typed(made["m1"], "service", "ps", "keep", "--no-trunc")
    older_versions_are_refused(made, new)
    strangers_are_refused(made, far, tokens.manager_token, tokens.worker_token)


def join_all(made: dict[str, Daemon], manager_token: str, worker_token: str) -> None:
    for name in NAMES[1:]:
        made[name].join(manager_token, made["m1"].addr)
    made["w1"].join(worker_token, made["m1"].addr)
    wait_for(lambda: voters(made["m1"]) == set(NAMES), PATIENCE_S)


def run_something(manager: Daemon, folder: Path) -> None:
    # However long a restart takes on a busy machine, nobody takes the node for lost.
    typed(manager, "update", "--dispatcher-heartbeat", "1m")
    archive = folder / "image.tar"
    subprocess.run(
        [sys.executable, ROOT / "examples/hello/build.py", archive], check=True, capture_output=True
    )
    typed(manager, "image", "load", "-i", str(archive))
    typed(manager, "service", "create", "-d", "--name", "keep", "--mode", "global", "hello:1")


def one_after_the_other_and_back(made: dict[str, Daemon], new: Path) -> None:
    """The leader first, then a worker, then back: whoever leads, both versions take part."""
    first = leader({name: made[name] for name in NAMES})
    restart(made[first], new)
    wait_versions(made, **{first: "0.2.0"})
    others = [name for name in NAMES if name != first]
    kept = raised(made[first])
    assert "stays at level 1" in kept
    assert all(name in kept for name in others), kept
    restart(made["w1"], new)
    wait_versions(made, w1="0.2.0")
    restart(made[first], ROOT)
    restart(made["w1"], ROOT)
    wait_versions(made, **{first: swarm_version(), "w1": swarm_version()})


def all_managers_make_the_level(made: dict[str, Daemon], new: Path) -> None:
    for name in NAMES:
        restart(made[name], new)
        wait_versions(made, **{name: "0.2.0"})
    assert "is at level 2 now" in raised(made["m2"])
    assert "support level 2 and no higher one" in raised(made["m2"])
    # Of the level is what is written from now on; a worker of the older version still has its work.
    typed(made["m2"], "service", "update", "-d", "--label-add", "level=2", "keep")
    wait_for(lambda: all(made[name].info().level == 2 for name in NAMES), PATIENCE_S)
    wait_for(lambda: made["w1"].info().level == 2 and made["w1"].info().connected, PATIENCE_S)


def older_versions_are_refused(made: dict[str, Daemon], new: Path) -> None:
    """A folder of a newer level is left as it is; without its mark, the log tells the same."""
    third = made["m3"]
    third.stop(timeout_s=60)
    third.root = ROOT
    state = third.directory / "s"
    before = digest(state)
    told = refused_start(third)
    assert "is of level 2" in told
    assert f"swarm {swarm_version()} knows levels up to 1" in told
    assert digest(state) == before

    (state / "level.json").unlink()  # as if the power had gone just before it was written
    third.start()
    wait_for(lambda: "is of level 2" in third.info().error, PATIENCE_S)
    restart(third, new)
    wait_versions(made, m3="0.2.0")


def strangers_are_refused(made: dict[str, Daemon], far: Path, manager_token: str, worker_token: str) -> None:
    out = made["out"]
    restart(out, far)
    with pytest.raises(FailedPrecondition, match=r"9\.0\.0 of the node speaks protocol 8 to 9.*upgrade the"):
        out.join(worker_token, made["m1"].addr)
    restart(out, ROOT)
    with pytest.raises(SwarmError, match="the cluster is at level 2"):
        out.join(manager_token, made["m1"].addr)
    wait_for(lambda: voters(made["m1"]) == set(NAMES), PATIENCE_S)
