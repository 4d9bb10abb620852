import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, TASK_STATE_RUNNING, RegistryAuth
from swarm.clock import SystemClock, nanoseconds
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NoQuorum,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    Unavailable,
)
from swarm.manager.controlapi.forward import STALE_KEY
from swarm.manager.controlapi.routing import MARGIN_S, Router
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer, store_with
from swarm.security.authorization import FORWARDED_KEY
from tests.unit.controlapi.fakes import (
    FakeContext,
    FakeImages,
    FakeLogs,
    FakeRaft,
    a_cluster,
    a_node,
    a_service,
    a_spec,
    a_task,
)

SHORT_S = MARGIN_S + 0.3  # what a caller in a hurry waits
DEADLINE_S = 60.0
STALE = ((STALE_KEY, "1"),)


def no_dial(addr: str):
    raise AssertionError(f"nobody should dial {addr}")


def a_servicer(
    *objects, raft: FakeRaft | None = None, **ports
) -> tuple[ControlServicer, Store, LocalProposer]:
    store = store_with(*objects, clock=SystemClock())
    proposer = LocalProposer(store)
    store.attach(proposer)
    servicer = ControlServicer(
        store, SystemClock(), raft or FakeRaft(), FakeImages(), FakeLogs(), "m1", no_dial, **ports
    )
    return servicer, store, proposer


def patient(raft: FakeRaft) -> Router:
    """What waits as long as its callers do."""
    return Router(SystemClock(), raft, no_dial, total_s=10 * DEADLINE_S, leaderless_s=10 * DEADLINE_S)


def create(servicer: ControlServicer, context: FakeContext | None = None, **fields):
    request = c.CreateServiceRequest(spec=a_spec(), skip_image_resolution=True)
    for name, value in fields.items():
        if name == "spec":
            request.spec.CopyFrom(value)
        else:
            setattr(request, name, value)
    return servicer.CreateService(request, context or FakeContext())


async def test_a_service_goes_through_its_whole_life():
    servicer, store, _ = a_servicer()
    created = (await create(servicer)).service
    assert created.meta.version.index == store.view.index
    read = (await servicer.GetService(c.GetServiceRequest(ref="web"), FakeContext())).service
    assert read == created
    request = c.UpdateServiceRequest(id=read.id, version=read.meta.version.index, spec=a_spec(replicas=3))
    request.skip_image_resolution = True
    updated = (await servicer.UpdateService(request, FakeContext())).service
    assert updated.spec.replicated.replicas == 3
    listed = await servicer.ListServices(c.ListServicesRequest(), FakeContext())
    assert (listed.services[0].id, listed.statuses[0].desired_tasks) == (read.id, 3)
    removed = await servicer.RemoveService(c.RemoveServiceRequest(ref=read.id[:5]), FakeContext())
    assert removed.id == read.id
    with pytest.raises(NotFound):
        await servicer.GetService(c.GetServiceRequest(ref="web"), FakeContext())


async def test_a_bad_or_taken_spec_is_refused_and_leaves_nothing():
    servicer, store, _ = a_servicer()
    with pytest.raises(InvalidArgument, match="no image"):
        await create(servicer, spec=a_spec(image=""))
    await create(servicer)
    with pytest.raises(NameConflict):
        await create(servicer)
    assert len(store.view.services) == 1


async def test_an_image_of_the_cluster_is_pinned_without_asking_a_registry():
    image = Image(id="i1", digest="sha256:cluster")
    image.annotations.name = "docker.io/library/web:1"

    async def ask(reference, auth):
        raise AssertionError("asked")

    servicer, _, _ = a_servicer(image, resolve_image=ask)
    response = await create(servicer, skip_image_resolution=False)
    assert response.service.spec.task.container.image_digest == "sha256:cluster"
    assert not response.warnings


async def test_an_image_of_a_registry_is_pinned_with_the_credentials_that_came():
    asked: list[tuple[str, str]] = []

    async def ask(reference: str, auth: RegistryAuth | None) -> str:
        asked.append((reference, auth.password if auth else ""))
        return "sha256:registry"

    servicer, store, _ = a_servicer(resolve_image=ask)
    spec = a_spec(image="reg:5000/web")
    spec.task.container.registry_auth.password = "secret"
    created = (await create(servicer, spec=spec, skip_image_resolution=False)).service
    assert created.spec.task.container.image_digest == "sha256:registry"
    assert created.spec.task.container.registry_auth.password == ""
    request = c.UpdateServiceRequest(id=created.id, version=created.meta.version.index, spec=created.spec)
    await servicer.UpdateService(request, FakeContext())
    assert asked == [("reg:5000/web:latest", "secret")] * 2
    stored = store.view.services.get(created.id)
    assert stored.spec.task.container.registry_auth.password == "secret"


async def test_an_image_that_cannot_be_found_is_refused_unless_the_nodes_shall_look():
    async def missing(reference, auth):
        raise NotFound("no such image: web:1")

    async def silent(reference, auth):
        raise Unavailable("connection refused")

    for ask, refusal, match in (
        (missing, NotFound, "no such image"),
        (silent, FailedPrecondition, "connection refused.*--no-resolve-image"),
        (None, FailedPrecondition, "not loaded into the cluster"),
    ):
        servicer, store, _ = a_servicer(resolve_image=ask)
        with pytest.raises(refusal, match=match):
            await create(servicer, skip_image_resolution=False)
        assert len(store.view.services) == 0
        assert (await create(servicer, skip_image_resolution=True)).service.id


async def test_self_is_the_manager_asked():
    servicer, _, _ = a_servicer(a_node("m1", manager=True), a_node("m2", manager=True))
    node = (await servicer.GetNode(c.GetNodeRequest(ref="self"), FakeContext())).node
    assert node.id == "m1"
    assert node.manager_status.leader
    listed = await servicer.ListNodes(c.ListNodesRequest(), FakeContext())
    assert listed.self_id == "m1"
    assert len(listed.nodes) == 2


async def test_nodes_are_updated_and_removed():
    servicer, store, _ = a_servicer(a_cluster(), a_node("m1", manager=True), a_node("w1"))
    worker = store.view.nodes.get("w1")
    request = c.UpdateNodeRequest(id="w1", version=1, spec=worker.spec)
    request.spec.annotations.labels["zone"] = "eu"
    updated = (await servicer.UpdateNode(request, FakeContext())).node
    assert updated.spec.annotations.labels["zone"] == "eu"
    assert updated.meta.version.index == store.view.index
    removed = await servicer.RemoveNode(c.RemoveNodeRequest(ref="w1", force=True), FakeContext())
    assert removed.id == "w1"


async def test_tasks_are_listed_newest_of_a_slot_first_and_without_passwords():
    running = TASK_STATE_RUNNING
    tasks = [a_task(f"t{n}", "s1", "n1", running, running, slot=2 - n % 2) for n in range(4)]
    tasks[0].spec.container.registry_auth.password = "secret"
    servicer, _, _ = a_servicer(a_service("s1", "web"), *tasks)
    listed = await servicer.ListTasks(
        c.ListTasksRequest(filters=c.Filters(service_ids=["s1", "s1"])), FakeContext()
    )
    assert [task.id for task in listed.tasks] == ["t3", "t1", "t2", "t0"]
    assert b"secret" not in listed.SerializeToString()
    by_node = await servicer.ListTasks(c.ListTasksRequest(filters=c.Filters(node_ids=["n1"])), FakeContext())
    assert len(by_node.tasks) == 4
    one = await servicer.GetTask(c.GetTaskRequest(ref="web.2.t0"), FakeContext())
    assert one.task.id == "t0"
    assert b"secret" not in one.SerializeToString()


def a_root() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_tokens_are_shown_and_rotated_one_at_a_time():
    cluster = a_cluster()
    cluster.root_ca.cert_pem = a_root()
    servicer, store, _ = a_servicer(cluster, raft=FakeRaft())
    before = await servicer.GetJoinTokens(c.GetJoinTokensRequest(), FakeContext())
    assert before.worker.startswith("SWMTKN-1-")
    assert before.worker.endswith("-worker-secret")
    assert before.manager_addrs[0] == "10.0.0.1:2377"
    rotated = await servicer.RotateJoinToken(c.RotateJoinTokenRequest(role=NODE_ROLE_MANAGER), FakeContext())
    after = await servicer.GetJoinTokens(c.GetJoinTokensRequest(), FakeContext())
    assert after.manager == rotated.token != before.manager
    assert after.worker == before.worker
    await servicer.RotateJoinToken(c.RotateJoinTokenRequest(role=NODE_ROLE_WORKER), FakeContext())
    assert store.view.cluster.root_ca.worker_secret not in before.worker


async def test_the_cluster_is_shown_without_its_secrets():
    servicer, _, _ = a_servicer(a_cluster())
    shown = await servicer.GetCluster(c.GetClusterRequest(), FakeContext())
    assert shown.cluster.id == "c1"
    assert not any(
        word in shown.SerializeToString() for word in (b"key", b"worker-secret", b"manager-secret")
    )
    empty, _, _ = a_servicer()
    with pytest.raises(Unavailable):
        await empty.GetCluster(c.GetClusterRequest(), FakeContext())


async def test_images_and_logs_are_passed_on():
    servicer, _, _ = a_servicer()

    async def chunks():
        yield c.LoadImageRequest(chunk=b"abc")
        yield c.LoadImageRequest(chunk=b"de")

    assert (await servicer.LoadImage(chunks(), FakeContext())).images[0].size_bytes == 5
    assert len((await servicer.ListImages(c.ListImagesRequest(), FakeContext())).images) == 1
    assert (await servicer.RemoveImage(c.RemoveImageRequest(ref="web:1"), FakeContext())).id == "i1"
    pulled = [event async for event in servicer.PullImage(c.PullImageRequest(reference="a"), FakeContext())]
    assert (pulled[0].progress, pulled[1].pulled.changed) == ("pulling a", True)
    wanted = c.ListRegistryTagsRequest(reference="a")
    assert (await servicer.ListRegistryTags(wanted, FakeContext())).tags == ["a-1", "nobody"]
    wanted.registry_auth.username = "ali"
    assert (await servicer.ListRegistryTags(wanted, FakeContext())).tags == ["a-1", "ali"]
    pushed = [event async for event in servicer.PushImage(c.PushImageRequest(ref="a"), FakeContext())]
    assert pushed[-1].pushed.reference == "a"
    saved = [part.chunk async for part in servicer.SaveImages(c.SaveImagesRequest(refs="ab"), FakeContext())]
    assert saved == [b"a", b"b"]
    tagged = await servicer.TagImage(c.TagImageRequest(source="a", target="b"), FakeContext())
    assert (tagged.image.id, tagged.image.digest) == ("a", "b")
    pruned = await servicer.PruneImages(c.PruneImagesRequest(all=True), FakeContext())
    assert pruned.freed_bytes == 7
    choice = c.PruneChosenImagesRequest(all=True, labels=["i1"])
    pruned = await servicer.PruneChosenImages(choice, FakeContext())
    assert ([one.id for one in pruned.images], list(pruned.unread)) == (["i1"], ["i2"])
    answer = await servicer.GetImageHistory(c.GetImageHistoryRequest(ref="x"), FakeContext())
    assert answer.configuration == b'{"os": "linux"}'
    assert [(one.platform, one.digest, one.held) for one in answer.platforms] == [
        ("linux/amd64", "sha256:x", True)
    ]
    made = answer.entries
    assert [step.layer for step in made] == ["sha256:x", ""]
    assert made[0].created_at.ToJsonString() == "2026-01-02T03:04:05Z"
    assert not made[1].HasField("created_at")
    request = c.ServiceLogsRequest()
    request.selector.service_ids.append("s1")
    notices = [line.notice async for line in servicer.ServiceLogs(request, FakeContext())]
    assert notices == [f"{n} of ['s1']" for n in range(3)]


async def test_without_a_leader_writes_fail_with_the_reason_and_reads_are_marked_stale():
    raft = FakeRaft(leader=None)
    raft.lost = {"r2", "r3"}
    servicer, _store, _ = a_servicer(a_service("s1", "web"), raft=raft, router=patient(raft))
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(NoQuorum, match="1 of 3 managers reachable from here; writes need 2"):
            await create(servicer, FakeContext(SHORT_S), spec=a_spec("db"))
        context = FakeContext(SHORT_S)
        listed = await servicer.ListServices(c.ListServicesRequest(), context)
    assert len(listed.services) == 1
    assert context.trailing == STALE


async def test_a_leader_without_a_majority_refuses_before_anything_is_proposed():
    raft = FakeRaft()
    raft.lost = {"r2", "r3"}
    servicer, _store, proposer = a_servicer(a_service("s1", "web"), raft=raft)
    with pytest.raises(NoQuorum, match="Running containers are not affected"):
        await create(servicer, FakeContext(SHORT_S), spec=a_spec("db"))
    assert proposer.entries == []
    context = FakeContext()
    await servicer.ListServices(c.ListServicesRequest(), context)
    assert context.trailing == STALE


async def test_a_leader_that_cannot_commit_says_so_within_its_budget():
    raft = FakeRaft()
    servicer, _, proposer = a_servicer(raft=raft, router=patient(raft))
    proposer.pause()
    with pytest.raises(NoQuorum, match="no majority"):
        await asyncio.wait_for(create(servicer, FakeContext(SHORT_S)), DEADLINE_S)


async def test_an_unknown_outcome_stays_unknown_and_explains_itself():
    raft = FakeRaft()
    servicer, _, proposer = a_servicer(raft=raft)
    proposer.fail_next(OutcomeUnknown("leadership was lost"))

    # After the majority was checked, while the entry is under way.
    asyncio.get_running_loop().call_soon(raft.lost.update, {"r2", "r3"})
    with pytest.raises(OutcomeUnknown, match="leadership was lost"):
        await create(servicer)


async def test_a_write_waits_for_an_election():
    raft = FakeRaft(leader=None)
    servicer, store, _ = a_servicer(raft=raft)
    asyncio.get_running_loop().call_later(0.2, setattr, raft, "leader_id", "r1")
    await create(servicer)
    assert len(store.view.services) == 1


async def test_a_leader_that_steps_down_before_proposing_tries_again_as_whatever_it_is_then():
    servicer, store, proposer = a_servicer()
    proposer.fail_next(NotLeader())
    await create(servicer)
    assert len(store.view.services) == 1


async def test_a_forwarded_request_is_not_sent_on():
    servicer, _, _ = a_servicer(raft=FakeRaft(leader="r2"))
    context = FakeContext(metadata=((FORWARDED_KEY, "1"),))
    for call in (create(servicer, context), servicer.ListNodes(c.ListNodesRequest(), context)):
        with pytest.raises(NotLeader) as caught:
            await call
        assert caught.value.leader_addr == "10.0.0.2:2377"


async def test_why_asks_the_nodes_only_for_a_task_that_waits_for_one():
    asked = []

    def judge(view, task, now_ns):
        asked.append(task.id)
        yield
        return [c.NodeVerdict(node_id="n1", reasons=["it is paused"])]

    waiting = a_task("t1", "s1", "", 64, TASK_STATE_RUNNING)
    running = a_task("t2", "s1", "n1", TASK_STATE_RUNNING, TASK_STATE_RUNNING, slot=2)
    servicer, _, _ = a_servicer(
        a_service("s1", "web"), a_node("n1"), waiting, running, judge_nodes=judge, raft=FakeRaft(1)
    )
    found = await servicer.ExplainTask(c.ExplainTaskRequest(ref="web.1"), FakeContext())
    assert [list(node.reasons) for node in found.nodes] == [["it is paused"]]
    assert any("availability active" in text for text in found.advice)
    found = await servicer.ExplainTask(c.ExplainTaskRequest(ref="web.2"), FakeContext())
    assert (found.reason, list(found.nodes), asked) == ("", [], ["t1"])


async def test_a_list_of_tasks_says_of_each_why_it_does_not_run():
    waiting = a_task("t1", "s1", "", 64, TASK_STATE_RUNNING)
    waiting.status.err = "no suitable node"
    running = a_task("t2", "s1", "n1", TASK_STATE_RUNNING, TASK_STATE_RUNNING, slot=2)
    servicer, _, _ = a_servicer(a_service("s1", "web"), a_node("n1"), waiting, running, raft=FakeRaft(1))
    found = await servicer.ListTasks(c.ListTasksRequest(), FakeContext())
    assert dict(zip([task.id for task in found.tasks], found.reasons, strict=True)) == {
        "t1": "no suitable node",
        "t2": "",
    }


async def test_a_refused_limit_stores_nothing():
    servicer, store, _ = a_servicer(raft=FakeRaft(1))
    spec = a_spec("web")
    spec.annotations.labels["k" * 300] = "v"
    with pytest.raises(InvalidArgument, match="LABEL_KEY_BYTES"):
        await servicer.CreateService(
            c.CreateServiceRequest(spec=spec, skip_image_resolution=True), FakeContext()
        )
    assert len(store.view.services) == 0


async def test_a_moment_is_the_leaders_time_and_a_version_with_all_before_it() -> None:
    servicer, store, proposer = a_servicer()
    before_ns = SystemClock().now_ns()
    await create(servicer)
    moment = await servicer.GetMoment(c.GetMomentRequest(), FakeContext())
    assert before_ns <= nanoseconds(moment.at) <= SystemClock().now_ns()
    assert moment.version == store.version == 1
    proposer.pause()
    writing = asyncio.create_task(create(servicer, spec=a_spec("other")))
    async with asyncio.timeout(60):
        while store._in_flight_ns is None:
            await asyncio.sleep(0.01)
    during = await servicer.GetMoment(c.GetMomentRequest(), FakeContext())
    proposer.resume()
    created = (await writing).service
    assert nanoseconds(during.at) < nanoseconds(created.meta.created_at)
