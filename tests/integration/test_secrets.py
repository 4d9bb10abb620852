"""A secret from the hands of a person into a container and away again, and nowhere else meanwhile."""

import base64
import hashlib
import json
import os
import secrets
import stat
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import SWARMCTL, Operator, wait_until

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
SCRIPT = """\
id -u
sha256sum /etc/key /run/secrets/key /etc/app.ini
echo try > /etc/key || echo refused
exec sleep 100000
"""


class Hidden:
    """A secret that can be recognised wherever it is."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data = f"{name}-{secrets.token_hex(24)}".encode()
        self.path = folder / name
        self.path.write_bytes(self.data)
        self.digest = hashlib.sha256(self.data).hexdigest()

    def found_in(self, *folders: Path) -> list[Path]:
        """The files below `folders` that hold it, as it is or in base64 at any of three offsets."""
        inner = [base64.b64encode(self.data[skip : skip + 36]) for skip in (0, 1, 2)]
        return [
            path
            for folder in folders
            for place, _, names in os.walk(folder)  # which bears that folders go meanwhile
            for path in (Path(place) / name for name in names)
            if path.is_file() and not path.is_symlink()
            if any(form in _content(path) for form in (self.data, *inner))
        ]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it went away, or is a name space
        return b""


@pytest.fixture(scope="module")
def small(clusters: Clusters) -> DevCluster:
    """A manager and a worker: the tests look at everything that they have on disk."""
    return clusters.up(1, 1)


@pytest.fixture(scope="module")
def person(small: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    operator = Operator(small)
    operator("update", "--dispatcher-heartbeat", "60s")  # a node that starts again is not taken for dead
    operator.load_image(tmp_path_factory.mktemp("image"))
    return operator


def pid_of(person: Operator, service: str) -> int:
    (row,) = person.wait_running(service, 1, PATIENCE_S)
    (task,) = json.loads(person("task", "inspect", row["ID"]))
    return int(task["Status"]["ContainerStatus"]["PID"])


def file_mounts(cluster: DevCluster) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f"{cluster.plan.run}/" in line and "/files/" in line]


def test_a_container_reads_its_secret_and_nothing_of_it_is_left_anywhere(
    person: Operator, small: DevCluster, tmp_path: Path
) -> None:
    key, unused = Hidden(tmp_path, "key"), Hidden(tmp_path, "unused")
    template = tmp_path / "app.ini"
    template.write_text('[{{.Service.Name}}.{{.Task.Slot}} on {{.Node.Hostname}}]\nkey={{secret "key"}}\n')
    expanded = f"[reader.1 on worker-1]\nkey={key.data.decode()}\n".encode()
    person("secret", "create", "key", str(key.path))
    person("secret", "create", "--label", "a=b", "unused", str(unused.path))
    person("config", "create", "--template-driver", "golang", "app.ini", str(template))
    person(
        "service", "create", "-d", "--name", "reader", "--user", "1000", "--constraint", "node.role==worker",
        "--stop-grace-period", "1s", "--read-only", "--secret", "key",
        "--secret", "source=key,target=/etc/key,uid=1000,gid=1000,mode=0400",
        "--config", "source=app.ini,target=/etc/app.ini", "--entrypoint", "sh -c", "hello:1", SCRIPT,
    )  # fmt: skip
    pid = pid_of(person, "reader")
    # What the container itself sees, by its own words.
    wanted = {"1000", f"{key.digest}  /etc/key", f"{key.digest}  /run/secrets/key"}
    wanted.add(f"{hashlib.sha256(expanded).hexdigest()}  /etc/app.ini")
    wait_until(
        lambda: wanted | {"refused"} <= set(person("service", "logs", "--raw", "reader").splitlines()),
        PATIENCE_S,
        "its output",
    )
    inside = Path(f"/proc/{pid}/root/etc/key")
    assert (inside.read_bytes(), inside.stat().st_uid, inside.stat().st_gid) == (key.data, 1000, 1000)
    assert stat.S_IMODE(inside.stat().st_mode) == 0o400
    # Nobody is told: not by the API, not by the tools, not by any disk, log or node that does not need it.
    for command in (("secret", "inspect", "key"), ("service", "inspect", "reader"), ("secret", "ls")):
        assert key.data.decode() not in person(*command)
    debug = dumped(small, person)
    assert '"annotations": {"name": "key"}' in debug.replace("\n", "")
    assert key.data.decode() not in debug
    assert base64.b64encode(key.data).decode() not in debug
    assert key.found_in(small.plan.data) == []
    manager, worker = small.plan.node("manager-1"), small.plan.node("worker-1")
    assert key.found_in(manager.run) == []
    assert unused.found_in(small.plan.data, small.plan.run) == []
    assert {path.name for path in key.found_in(worker.run)} == {"key", "app.ini"}
    assert len(file_mounts(small)) == 1
    # What is used stays, what is not goes, and the exit code tells of both.
    refused = person.try_("secret", "rm", "key", "unused")
    assert (refused.returncode, refused.stdout.strip()) == (1, "unused")
    assert "secret key is in use by service reader" in refused.stderr
    # A killed agent: the container keeps its file, and the next life of the agent does not take it away.
    small.kill("worker-1")
    small.start("worker-1")
    wait_until(lambda: pid_of(person, "reader") == pid, PATIENCE_S, "the same container")
    assert inside.read_bytes() == key.data
    held = os.open(f"/proc/{pid}/root/etc/key", os.O_RDONLY)
    try:
        person("service", "rm", "reader")
        wait_until(lambda: not file_mounts(small), PATIENCE_S, "no mount")
        assert os.read(held, 1000) == bytes(len(key.data))  # overwritten, for whoever still has it open
    finally:
        os.close(held)
    person("secret", "rm", "key")
    person("config", "rm", "app.ini")
    assert key.found_in(small.plan.data, small.plan.run) == []
    wait_until(lambda: not list((worker.run / "files").glob("*")), PATIENCE_S, "no folder")


def dumped(cluster: DevCluster, person: Operator) -> str:
    """Everything that `swarmd debug` and the events say."""
    state = cluster.plan.node("manager-1").state_dir
    swarmd = [SWARMCTL[0], "-m", "swarm.daemon"]
    texts = [
        cluster.run("manager-1", *swarmd, "debug", *what, "--state-dir", str(state)).stdout
        for what in (("log", "--format", "json"), ("objects", "secrets"), ("objects", "services"))
    ]
    version = json.loads(person("service", "inspect", "reader"))[0]["Version"]["Index"]
    texts.append(
        person("events", "--since-version", "1", "--until-version", str(version), "--format", "json")
    )
    return "".join(texts)


def test_what_is_wrong_with_a_reference_is_said_before_and_on_the_node(
    person: Operator, tmp_path: Path
) -> None:
    create = ("service", "create", "-d", "--constraint", "node.role==worker", "--name")
    refused = person.try_(*create, "lost", "--secret", "nothing", "hello:1")
    assert (refused.returncode, "there is no secret nothing" in refused.stderr) == (1, True)
    assert person.try_("service", "inspect", "lost").returncode == 1
    (tmp_path / "bad").write_text("{{.Service.Nmae}}")
    person("config", "create", "--template-driver", "golang", "bad", str(tmp_path / "bad"))
    person(*create, "wrong", "--config", "bad", "--restart-condition", "none", "hello:1")
    told = "line 1 of config bad, which is a template: the placeholder {{.Service.Nmae}} means nothing"
    wait_until(
        lambda: any(told in row["Error"] for row in person.rows("service", "ps", "--no-trunc", "wrong")),
        PATIENCE_S,
        "the reason",
    )
    (tmp_path / "good").write_text("good")
    person("config", "create", "good", str(tmp_path / "good"))
    person(
        "service", "update", "-d", "--config-rm", "bad", "--config-add", "source=good,target=/bad", "wrong"
    )
    pid = pid_of(person, "wrong")
    assert Path(f"/proc/{pid}/root/bad").read_text() == "good"
    person("service", "rm", "wrong")
    person.remove_in_turmoil("config", "bad", "good")


def test_a_rotation_reaches_the_containers_and_a_bad_one_takes_itself_back(
    person: Operator, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    good.write_text("good-1")
    person("secret", "create", "password", str(good))
    person(
        "service", "create", "-d", "--name", "careful", "--constraint", "node.role==worker",
        "--stop-grace-period", "1s", "--secret", "password", "--update-failure-action", "rollback",
        "--update-monitor", "2s", "--restart-delay", "100ms", "--entrypoint", "sh -c", "hello:1",
        "read word </run/secrets/password; case $word in good*) exec sleep 100000;; *) exit 7;; esac",
    )  # fmt: skip

    def read() -> str:
        try:
            return Path(f"/proc/{pid_of(person, 'careful')}/root/run/secrets/password").read_text()
        except OSError as error:  # it has ended by now
            return str(error)

    assert read() == "good-1"
    good.write_text("good-2\n")
    person("secret", "rotate", "-q", "--timeout", "120s", "password", str(good))
    assert read() == "good-2\n"
    good.write_text("bad\n")
    failed = person.try_("secret", "rotate", "-q", "--timeout", "120s", "password", str(good))
    assert (failed.returncode, "rolled back" in failed.stderr) == (4, True)
    wait_until(lambda: read() == "good-2\n", PATIENCE_S, "the version before")
    rows = {row["Version"]: row["UsedBy"] for row in person.rows("secret", "history", "password")}
    assert (rows["3"], rows["2"]) == ("-", "careful")
    assert [row["Version"] for row in person.rows("secret", "ls") if row["Name"] == "password"] == ["3"]
    person("service", "rm", "careful")
    person("secret", "rm", "password")
    assert person.try_("secret", "inspect", "password@2").returncode == 1
