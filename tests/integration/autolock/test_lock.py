"""Managers that lock themselves, as real daemons: restarts, missed rotations, roles, secrets."""

import contextlib
import json
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.specs_pb2 import ReplicatedService, ServiceSpec
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.security.unlock_key import format_unlock_key, new_unlock_key
from tests.integration.swarmd import Daemon, daemons, wait_for

pytestmark = pytest.mark.integration

LOCKED, ACTIVE = control.InfoResponse.STATE_LOCKED, control.InfoResponse.STATE_ACTIVE
CLEAR = b"BEGIN PRIVATE KEY"
PATIENCE_S = 60.0
MANAGERS = ("m1", "m2", "m3")

Cluster = dict[str, Daemon]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with daemons(tmp_path_factory.mktemp("l"), "m1", "m2", "m3", "w1") as nodes:
        tokens = nodes["m1"].init()
        for name in ("m2", "m3"):
            nodes[name].join(tokens.manager_token, nodes["m1"].addr)
        nodes["w1"].join(tokens.worker_token, nodes["m1"].addr)
        yield nodes


@pytest.fixture
def cluster(made: Cluster) -> Cluster:
    """Three managers that are there and lock themselves, whatever the test before left."""
    active(*made.values())
    autolock(made["m1"], on=True)
    settled(made, *MANAGERS)
    return made


def autolock(manager: Daemon, *, on: bool) -> control.UpdateClusterResponse:
    def update() -> control.UpdateClusterResponse:
        found = manager.ask("GetCluster", control.GetClusterRequest()).cluster
        request = control.UpdateClusterRequest(version=found.meta.version.index, spec=found.spec)
        request.spec.autolock = on
        return manager.ask("UpdateCluster", request)

    return wait_for(update, PATIENCE_S)


def key_of(manager: Daemon, *, rotate: bool = False) -> control.GetUnlockKeyResponse:
    return wait_for(
        lambda: manager.ask("GetUnlockKey", control.GetUnlockKeyRequest(rotate=rotate)), PATIENCE_S
    )


def unlock(node: Daemon, key: str) -> None:
    node.local("Unlock", control.UnlockRequest(unlock_key=key))


def state_of(node: Daemon) -> Path:
    return node.directory / "s"


def key_file(node: Daemon) -> dict[str, object]:
    found = json.loads((state_of(node) / "raft.keys").read_bytes())
    assert isinstance(found, dict)
    return found


def settled(cluster: Cluster, *names: str, sealed: bool = True) -> None:
    """Wait until these managers have followed the last change of the lock, with all their files."""

    def done() -> bool:
        version = cluster["m1"].ask("GetCluster", control.GetClusterRequest()).cluster.unlock_key_version
        return all(
            key_file(cluster[name])["version"] == version
            and ("sealed" in key_file(cluster[name])) == sealed
            and (CLEAR not in (state_of(cluster[name]) / "certificates/node.pem").read_bytes()) == sealed
            for name in names
        )

    wait_for(done, PATIENCE_S)


def restart(node: Daemon) -> None:
    node.stop(signal.SIGKILL)
    node.start()


def active(*nodes: Daemon) -> None:
    waiting: list[str] = []

    def done() -> bool:
        waiting[:] = [f"{one.directory.name}: {one.info()}" for one in nodes if one.info().state != ACTIVE]
        return not waiting

    try:
        wait_for(done, PATIENCE_S)
    except AssertionError as error:
        logs = "\n".join(f"--- {one.directory.name}\n{one.log()[-3000:]}" for one in nodes)
        raise AssertionError(f"{error}; not active: {waiting}\n{logs}") from None


def writes(manager: Daemon) -> bool:
    return bool(manager.ask("RotateJoinToken", control.RotateJoinTokenRequest(role=NODE_ROLE_WORKER)))


def test_a_restarted_manager_is_locked_says_so_and_goes_on_once_unlocked(cluster: Cluster) -> None:
    m1, m2 = cluster["m1"], cluster["m2"]
    key = key_of(m1).unlock_key
    restart(m2)
    info = m2.info()
    assert (info.state, info.is_manager) == (LOCKED, True)
    assert "swarmctl unlock" in info.error
    for method, request in (
        ("ListNodes", control.ListNodesRequest()),
        ("GetUnlockKey", control.GetUnlockKeyRequest()),
    ):
        with pytest.raises(FailedPrecondition, match=r"locked.*swarmctl unlock"):
            m2.ask(method, request)
    for method, request in (
        ("Init", control.InitRequest()),
        ("Init", control.InitRequest(force_new_cluster=True)),
        ("Leave", control.LeaveRequest()),
    ):
        with pytest.raises(FailedPrecondition, match="locked"):
            m2.local(method, request)
    with pytest.raises(InvalidArgument, match="not an unlock key"):
        unlock(m2, "sesame")
    with pytest.raises(FailedPrecondition, match="unlock key"):
        unlock(m2, format_unlock_key(new_unlock_key(1)))
    assert m2.info().state == LOCKED
    unlock(m2, key)
    active(m2)
    wait_for(lambda: m2.ask("ListNodes", control.ListNodesRequest()), PATIENCE_S)
    with pytest.raises(FailedPrecondition, match="not locked"):
        unlock(m2, key)


def test_all_managers_restart_and_are_unlocked_one_after_another(cluster: Cluster) -> None:
    key = key_of(cluster["m1"]).unlock_key
    for name in MANAGERS:
        cluster[name].stop(signal.SIGKILL)
    for name in MANAGERS:
        cluster[name].start()
        assert cluster[name].info().state == LOCKED
    for name in MANAGERS:
        unlock(cluster[name], key)
    active(*cluster.values())
    wait_for(lambda: writes(cluster["m1"]), PATIENCE_S)


def test_a_manager_that_was_away_during_a_rotation_takes_its_old_key_and_then_the_new_one(
    cluster: Cluster,
) -> None:
    m1, m3 = cluster["m1"], cluster["m3"]
    old = key_of(m1).unlock_key
    m3.stop(signal.SIGKILL)
    wait_for(lambda: writes(m1), PATIENCE_S)  # the others have noticed, and found a leader if need be
    wait_for(lambda: "m3" in key_of(m1, rotate=True).away, PATIENCE_S)
    new = key_of(m1).unlock_key
    assert new != old
    settled(cluster, "m1", "m2")
    m3.start()
    with pytest.raises(FailedPrecondition, match=r"away when the key was rotated.*valid before"):
        unlock(m3, new)
    unlock(m3, old)
    settled(cluster, *MANAGERS)
    restart(m3)
    with pytest.raises(FailedPrecondition, match="earlier unlock key"):
        unlock(m3, old)
    unlock(m3, new)
    active(m3)


def test_a_manager_that_was_away_when_autolock_was_turned_off_or_on(cluster: Cluster) -> None:
    m1, m3 = cluster["m1"], cluster["m3"]
    old = key_of(m1).unlock_key
    m3.stop(signal.SIGKILL)
    answer = autolock(m1, on=False)
    assert answer.unlock_key == ""
    settled(cluster, "m1", "m2", sealed=False)
    with pytest.raises(FailedPrecondition, match=r"no unlock key.*--autolock=true"):
        m1.ask("GetUnlockKey", control.GetUnlockKeyRequest())
    m3.start()
    assert m3.info().state == LOCKED
    unlock(m3, old)
    settled(cluster, *MANAGERS, sealed=False)
    restart(m3)
    active(m3)
    m3.stop(signal.SIGKILL)
    key = autolock(m1, on=True).unlock_key
    assert key.startswith("SWMKEY-1-")
    settled(cluster, "m1", "m2")
    m3.start()  # it knows nothing of a lock yet
    settled(cluster, *MANAGERS)
    restart(m3)
    unlock(m3, key)
    active(m3)


def test_a_worker_is_never_locked_whatever_it_was_before(cluster: Cluster) -> None:
    m1, m3 = cluster["m1"], cluster["m3"]
    key = key_of(m1).unlock_key
    change_role(m1, "m3", NODE_ROLE_WORKER)
    wait_for(lambda: not (state_of(m3) / "raft.keys").exists(), PATIENCE_S)
    assert CLEAR in (state_of(m3) / "certificates/node.pem").read_bytes()
    restart(m3)
    active(m3)
    change_role(m1, "m3", NODE_ROLE_MANAGER)
    settled_manager = lambda: (state_of(m3) / "raft.keys").exists() and bool(m3.info().is_manager)  # noqa: E731
    wait_for(settled_manager, PATIENCE_S)
    settled(cluster, *MANAGERS)
    restart(m3)
    assert m3.info().state == LOCKED
    unlock(m3, key)
    active(m3)


def change_role(manager: Daemon, name: str, role: int) -> None:
    def update() -> bool:
        node = manager.nodes()[name]
        request = control.UpdateNodeRequest(id=node.id, version=node.meta.version.index, spec=node.spec)
        request.spec.desired_role = role  # type: ignore[assignment]
        return bool(manager.ask("UpdateNode", request))

    wait_for(update, PATIENCE_S)


def test_a_locked_manager_can_leave_by_force_and_joins_again_with_fresh_keys(cluster: Cluster) -> None:
    m1, m3 = cluster["m1"], cluster["m3"]
    node_id = m3.info().node_id
    restart(m3)
    m3.leave(force=True)
    assert m3.info().state == control.InfoResponse.STATE_INACTIVE
    assert not (state_of(m3) / "raft.keys").exists()
    assert not (state_of(m3) / "raft").exists()
    wait_for(lambda: demoted(m1, node_id), PATIENCE_S)
    wait_for(lambda: removed(m1, node_id), PATIENCE_S)
    tokens = m1.ask("GetJoinTokens", control.GetJoinTokensRequest())
    m3.join(tokens.manager, m1.addr)
    settled(cluster, *MANAGERS)
    assert m3.info().node_id != node_id


def demoted(manager: Daemon, node_id: str) -> bool:
    node = manager.ask("GetNode", control.GetNodeRequest(ref=node_id)).node
    if node.spec.desired_role == NODE_ROLE_MANAGER:
        request = control.UpdateNodeRequest(id=node.id, version=node.meta.version.index, spec=node.spec)
        request.spec.desired_role = NODE_ROLE_WORKER
        manager.ask("UpdateNode", request)
    return bool(node.role == NODE_ROLE_WORKER)


def removed(manager: Daemon, node_id: str) -> bool:
    with contextlib.suppress(NotFound):  # an earlier try was committed, its answer lost
        manager.ask("RemoveNode", control.RemoveNodeRequest(ref=node_id, force=True))
    return True


def test_no_secret_stands_in_clear_on_a_managers_disk(cluster: Cluster) -> None:
    m1 = cluster["m1"]
    password, token = secrets.token_hex(16), secrets.token_hex(16)
    spec = ServiceSpec(replicated=ReplicatedService(replicas=3))
    spec.annotations.name = f"s{secrets.token_hex(4)}"
    spec.task.container.image = "registry.invalid/x:1"
    auth = spec.task.container.registry_auth
    auth.server, auth.username = "registry.invalid", "me"
    auth.password, auth.identity_token = password, token
    request = control.CreateServiceRequest(spec=spec, skip_image_resolution=True)
    created = wait_for(lambda: m1.ask("CreateService", request), PATIENCE_S)
    name = spec.annotations.name
    snapshot_everywhere(cluster)
    tokens = m1.ask("GetJoinTokens", control.GetJoinTokensRequest())
    hidden = [password, token, name, key_of(m1).unlock_key, tokens.worker[-25:], tokens.manager[-25:]]
    for one in MANAGERS:
        files = contents(state_of(cluster[one]))
        raft = {path.parent.name for path in files}
        assert "raft" in raft
        assert any(cluster[one].info().node_id.encode() in data for data in files.values()), "sees nothing"
        for path, data in files.items():
            found = [text for text in (*hidden, CLEAR.decode()) if text.encode() in data]
            if path.is_relative_to(state_of(cluster[one]) / "raft"):
                assert not found, f"{path} holds {found}"
            assert not set(found) - {name}, f"{path} holds {found}"  # agents know what they run
    m1.ask("RemoveService", control.RemoveServiceRequest(ref=created.service.id))


def snapshot_everywhere(cluster: Cluster) -> None:
    """Let every manager write its state down, which holds whatever the cluster knows."""
    m1 = cluster["m1"]

    def interval(entries: int) -> bool:
        found = m1.ask("GetCluster", control.GetClusterRequest()).cluster
        request = control.UpdateClusterRequest(version=found.meta.version.index, spec=found.spec)
        request.spec.snapshot_interval = entries
        return bool(m1.ask("UpdateCluster", request))

    wait_for(lambda: interval(1), PATIENCE_S)
    wait_for(
        lambda: (
            writes(m1)
            and all(list((state_of(cluster[one]) / "raft").glob("snapshot-*")) for one in MANAGERS)
        ),
        PATIENCE_S,
    )
    wait_for(lambda: interval(10_000), PATIENCE_S)


def contents(directory: Path) -> dict[Path, bytes]:
    found = {}
    for path in directory.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                found[path] = path.read_bytes()
        except FileNotFoundError:  # replaced meanwhile
            continue
    return found


def test_the_snapshot_settings_count_without_a_restart(cluster: Cluster) -> None:
    m1 = cluster["m1"]

    def change(entries: int, kept: int) -> bool:
        found = m1.ask("GetCluster", control.GetClusterRequest()).cluster
        request = control.UpdateClusterRequest(version=found.meta.version.index, spec=found.spec)
        request.spec.snapshot_interval, request.spec.keep_old_snapshots = entries, kept
        return bool(m1.ask("UpdateCluster", request))

    def count() -> int:
        files = (state_of(m1) / "raft").glob("snapshot-*")
        return sum(not path.name.endswith(".tmp") for path in files)

    wait_for(lambda: change(2, 3), PATIENCE_S)
    wait_for(lambda: writes(m1) and count() == 5, PATIENCE_S)
    wait_for(lambda: change(2, 0), PATIENCE_S)
    wait_for(lambda: writes(m1) and count() == 2, PATIENCE_S)
    wait_for(lambda: change(10_000, 0), PATIENCE_S)


def test_an_update_made_from_an_old_reading_or_with_bad_values_changes_nothing(cluster: Cluster) -> None:
    m1 = cluster["m1"]
    found = m1.ask("GetCluster", control.GetClusterRequest()).cluster
    assert found.unlock_key == ""  # never in what people read
    request = control.UpdateClusterRequest(version=found.meta.version.index - 1, spec=found.spec)
    with pytest.raises(Exception, match="out of sequence"):
        m1.ask("UpdateCluster", request)
    request.version = found.meta.version.index
    request.spec.heartbeat_period_ns = 1
    with pytest.raises(InvalidArgument, match="heartbeat"):
        m1.ask("UpdateCluster", request)
    assert m1.ask("GetCluster", control.GetClusterRequest()).cluster.spec == found.spec


def test_a_cluster_can_begin_locked(tmp_path: Path) -> None:
    with daemons(tmp_path, "first") as nodes:
        first = nodes["first"]
        request = control.InitRequest()
        request.spec.autolock = True
        answer = first.local("Init", request)
        restart(first)
        assert first.info().state == LOCKED
        assert CLEAR not in (state_of(first) / "certificates/node.pem").read_bytes()
        unlock(first, answer.unlock_key)
        wait_for(lambda: key_of(first).unlock_key == answer.unlock_key, PATIENCE_S)
        first.leave(force=True)
        assert not first.local("Init", control.InitRequest()).unlock_key
        restart(first)
        wait_for(lambda: writes(first), PATIENCE_S)
