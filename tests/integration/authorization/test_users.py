"""Users of a real cluster, from elsewhere: what each may, what is there for them, what is written down."""

import io
import json
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarm.cli.main import main
from tests.integration.authorization.conftest import Cluster
from tests.integration.operator import ROOT
from tests.integration.swarmd import wait_for

PASSING = (
    "no leader",
    "not reach",
    "hung up",
    "no majority",
    "no manager",
    "try again",
)
PATIENCE_S = 120.0
FILE = str(Path(__file__).resolve())


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


class Team:
    """Somebody at the socket of a manager, and users with contexts of their own."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.cluster = cluster
        self._home = home
        self.entry = ""  # at whose socket somebody sits; empty: any
        self.addresses = [one.addr for one in cluster.managers.values()]

    def _type(self, words: tuple[str, ...]) -> Done:
        """Run a command in this process: many processes take minutes on a busy machine."""
        said, complained, code = (*(io.TextIOWrapper(io.BytesIO()) for _ in range(2)), 0)
        with redirect_stdout(said), redirect_stderr(complained), pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CONFIG_HOME", str(self._home / "config"))
            for name in ("SWARMCTL_HOST", "SWARMCTL_CONTEXT"):
                patch.delenv(name, raising=False)
            try:
                main(list(words))
            except SystemExit as ended:
                code = int(ended.code or 0)
        said.seek(0), complained.seek(0)
        return Done(code, said.read(), complained.read())

    def try_(self, who: str, *words: str) -> Done:
        """Run a command until no election stands in its way, and return what came of it."""

        def attempt() -> Done | None:
            done = self._type((*self._at(who), *words))
            passing = done.returncode == 1 and any(one in done.stderr for one in PASSING)
            return None if passing else done

        return wait_for(attempt, PATIENCE_S)

    def _at(self, who: str) -> tuple[str, str]:
        if who != "root":
            return ("--context", who)
        running = next(
            one for name, one in self.cluster.managers.items() if one.is_running and self.entry in name
        )
        return ("--host", f"unix://{running.directory}/r/swarmd.sock")

    def __call__(self, who: str, *words: str) -> str:
        done = self.try_(who, *words)
        assert done.returncode == 0, f"{who}: swarmctl {' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def refused(self, who: str, *words: str) -> str:
        """Run a command that must fail, and return what it says."""
        done = self.try_(who, *words)
        assert done.returncode == 1, f"{who}: swarmctl {' '.join(words)} was not refused:\n{done.stdout}"
        return done.stderr

    def user(self, name: str, *words: str) -> None:
        """Make a user, and a context that asks the managers in the order of `addresses`."""
        file = self._home / f"{name}.swarmcontext"
        file.unlink(missing_ok=True)
        self("root", "user", "create", name, *words, "--host", self.host, "--out", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        self("root", "context", "import", name, str(file))

    @property
    def host(self) -> str:
        return f"tcp://{','.join(self.addresses)}"

    def audit(self, *words: str) -> list[dict[str, str]]:
        """Return what the audit trail of a manager that runs says, missing managers or not."""
        done = self.try_("root", "audit", "--format", "json", *words)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def until(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, PATIENCE_S)


@pytest.fixture
def team(cluster: Cluster, tmp_path: Path) -> Team:
    return Team(cluster, tmp_path)


def service(name: str, *words: str) -> tuple[str, ...]:
    return (
        "service",
        "create",
        "-d",
        "--no-resolve-image",
        "--replicas",
        "0",
        "--name",
        name,
        *words,
        "web:1",
    )


def test_each_role_does_what_it_is_for_until_it_is_taken_away(team: Team) -> None:
    for role in ("viewer", "operator", "admin"):
        team.user(f"a-{role}", "--role", role)
        assert len(team(f"a-{role}", "node", "ls", "-q").splitlines()) == 3
    assert "is not for a viewer" in team.refused("a-viewer", *service("roles"))
    team("a-operator", *service("roles"))
    for words in (
        ["join-token", "worker"],
        ["user", "ls"],
        ["audit"],
        ["node", "update", "--label-add", "a=b", "m1"],
    ):
        assert "is not for an operator" in team.refused("a-operator", *words)
    assert team("a-admin", "join-token", "-q", "worker").startswith("SWMTKN-1-")
    team("a-admin", "user", "update", "a-operator", "--role", "viewer")
    # A manager that has no leader just then knows it later.
    team.until(lambda: "is not for a viewer" in team.try_("a-operator", "service", "rm", "roles").stderr)
    team("a-admin", "user", "rm", "a-operator")
    team.until(lambda: "was removed" in team.try_("a-operator", "service", "ls").stderr)
    told = team("a-admin", "user", "ls", "--format", "{{.Name}} {{.Role}}").splitlines()
    assert {"a-admin admin", "a-viewer viewer"} <= set(told)
    assert "a-operator viewer" not in told


def test_for_people_with_a_scope_there_is_only_what_has_their_label(team: Team) -> None:
    team.user("red", "--role", "operator", "--scope", "team=red")
    team("root", *service("theirs"))
    team("root", "config", "create", "theirs", FILE)
    assert "needs the label team=red" in team.refused("red", *service("unlabelled"))
    team("red", *service("mine", "--label", "team=red"))
    team("red", "config", "create", "--label", "team=red", "mine", FILE)
    assert team("red", "service", "ls", "--format", "{{.Name}}") == "mine"
    assert team("red", "config", "ls", "--format", "{{.Name}}") == "mine"
    for words in (
        ["service", "inspect", "theirs"],
        ["service", "rm", "theirs"],
        ["service", "logs", "theirs"],
    ):
        assert "theirs" in team.refused("red", *words)
    given = ("service", "update", "-d", "--no-resolve-image", "--config-add", "theirs", "mine")
    assert "config theirs" in team.refused("red", *given)
    bind = ("--label", "team=red", "--mount", "type=bind,source=/,target=/host")
    assert "reaches beyond the label team=red" in team.refused("red", *service("bound", *bind))
    plan_and_look_at_images(team)
    assert "is about more than what has team=red" in team.refused("red", "volume", "ls")
    team("red", "user", "renew")
    team("red", "service", "rm", "mine")
    assert "theirs" in team("root", "service", "ls", "--format", "{{.Name}}")


def plan_and_look_at_images(team: Team) -> None:
    """Look ahead, at what happens and at images, as somebody with a scope; `mine` is there, `theirs` too."""
    dry = ("--dry-run", "--label", "team=red")
    assert "new" in team("red", *service("new", *dry))
    assert "needs the label team=red" in team.refused("red", *service("new", "--dry-run"))
    for name in ("mine", "theirs"):
        changed = ("service", "update", "--dry-run", "--no-resolve-image", "--env-add", "A=b", name)
        (team if name == "mine" else team.refused)("red", *changed)
        assert name in (team if name == "mine" else team.refused)("red", "service", "plan", name)
    team("red", "image", "ls")
    assert "image web:9 is not loaded" in team.refused("red", "image", "rm", "web:9")
    version = team("red", "service", "inspect", "--format", "{{.Version.Index}}", "mine")
    told = team.try_("red", "events", "--since-version", "1", "--until-version", version)
    assert "(name=mine)" in told.stdout
    assert "theirs" not in told.stdout
    assert "no events of containers" not in told.stderr


def test_people_with_a_scope_bring_in_images_of_names_set_apart_for_them(team: Team, tmp_path: Path) -> None:
    team.user("maker", "--role", "operator", "--scope", "team=maker")
    for name in ("maker.example/apps/web:1", "postgres:16"):
        build = (
            sys.executable,
            ROOT / "examples/hello/build.py",
            tmp_path / f"{name[0]}.tar",
            "--name",
            name,
        )
        subprocess.run(build, check=True, capture_output=True)
    theirs, everybodys = str(tmp_path / "m.tar"), str(tmp_path / "p.tar")
    assert "you decide that of no name yet" in team.refused("maker", "image", "load", "-i", theirs)
    team("root", "user", "update", "maker", "--image-name-add", "maker.example")
    team.until(lambda: team.try_("maker", "image", "load", "-i", theirs).returncode == 0)
    team("maker", "image", "tag", "maker.example/apps/web:1", "maker.example/web:2")
    for words in (["load", "-i", everybodys], ["tag", "maker.example/web:2", "postgres:16"]):
        assert "you decide that below maker.example only" in team.refused("maker", "image", *words)
    names = team("root", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    assert sorted(names) == ["maker.example/apps/web:1", "maker.example/web:2"]
    denied = [(one["RPC"], one["Who"]) for one in team.audit("--denied", "--user", "maker")]
    assert ("Control/LoadImage", "maker") in denied
    assert ("Control/TagImage", "maker") in denied


def test_what_was_denied_is_told_after_the_leader_is_gone_and_when_it_is_back(
    cluster: Cluster, team: Team
) -> None:
    leader = cluster.leader()
    follower = next(name for name in cluster.managers if name != leader)
    team.addresses, team.entry = [cluster.managers[follower].addr], follower
    team.user("eve", "--role", "viewer")
    assert "is not for a viewer" in team.refused("eve", "service", "rm", "everything")
    team("root", "config", "create", "written-down", FILE)
    cluster.managers[leader].stop(signal.SIGKILL)
    try:
        team.until(lambda: bool(team.audit("--denied", "--user", "eve")))
        missing = team.try_("root", "audit", "--denied", "--user", "eve")
        assert missing.returncode == 1
        assert "its records are missing here" in missing.stderr
        (denied,) = team.audit("--denied", "--user", "eve")
        assert (denied["RPC"], denied["Object"]) == ("Control/RemoveService", "everything")
        assert denied["Reason"] == "Control/RemoveService is not for a viewer"
        assert (denied["Role"], denied["Outcome"], denied["Times"]) == ("viewer", "denied", "1")
        assert denied["From"].startswith("127.")
    finally:
        cluster.managers[leader].start()
    team.until(lambda: team.try_("root", "audit", "--tail", "1").returncode == 0)
    told = team.audit("--since", "1h")
    assert [one["Time"] for one in told] == sorted(one["Time"] for one in told)
    assert len({one["ID"] for one in told}) == len(told), "a call that was passed on is told once"
    made = [one for one in told if (one["RPC"], one["Object"]) == ("Control/CreateConfig", "written-down")]
    assert "done" in [one["Outcome"] for one in made]
    assert made[-1]["Role"] == "local"
