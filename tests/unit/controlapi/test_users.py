"""Users: who may be one, what certificates say, and whose rights count."""

import pytest
from cryptography import x509

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.users_pb2 import (
    CreateUserRequest,
    GetUserRequest,
    ListUsersRequest,
    RemoveUserRequest,
    RenewUserRequest,
    UpdateUserRequest,
    User,
    UserRole,
    UserSpec,
)
from swarm.clock import SECOND, SystemClock
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NotFound,
    NotPermitted,
    StaleVersion,
    Unavailable,
)
from swarm.manager.ca.issue import standing
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.controlapi.users import check_user
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.model.limits import USER_SCOPE
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Identity, Role, Trust, acting_as, identify
from swarm.security.keyfiles import NodeBundle
from tests.unit.controlapi.fakes import FakeImages, FakeRaft
from tests.unit.security.cfssl import external_ca

CLOCK = SystemClock()
ROOT = create_root_ca("cluster1", CLOCK.now_ns())
CSR = create_csr(new_key_pem())
LOCAL = Identity("", Role.LOCAL, "cluster1")


class Context:
    def invocation_metadata(self):
        return ()

    def time_remaining(self):
        return None

    def trailing_metadata(self):
        return ()

    def set_trailing_metadata(self, _metadata):
        raise AssertionError("stale")


class World:
    def __init__(self, bundle=None):
        self.store = Store(CLOCK, "p")
        self.store.attach(LocalProposer(self.store))
        self.servicer = ControlServicer(
            self.store, CLOCK, FakeRaft(), FakeImages(), None, "m1", lambda _: None, bundle=lambda: bundle
        )

    async def ask(self, request, who=LOCAL):
        name = type(request).__name__.removesuffix("Request")
        with acting_as(who):
            return await getattr(self.servicer, name)(request, Context())

    async def make(self, name, role="viewer", scope=(), **more):
        return await self.ask(CreateUserRequest(spec=spec(name, role, scope), csr_pem=CSR, **more))

    def caller(self, issued):
        """Return as whom somebody with this certificate counts now."""
        trust = Trust("cluster1", ROOT.cert_pem)
        certificate = x509.load_pem_x509_certificate(issued.cert_pem)
        found = identify(certificate, trust, CLOCK.now_ns())
        assert found.role is Role.USER, "a certificate says who it is, not what they may do"
        return standing(self.store.view, found, "/swarm.api.v1.Control/ListNodes")


@pytest.fixture
async def world():
    made = World()
    cluster = Cluster(id="cluster1")
    cluster.root_ca.cert_pem, cluster.root_ca.key_pem = ROOT.cert_pem, ROOT.key_pem
    await made.store.update(lambda tx: tx.create(cluster))
    return made


def spec(name, role="viewer", scope=(), image_names=()):
    found = UserSpec(role=UserRole.Value(f"USER_ROLE_{role.upper()}"), scope=scope, image_names=image_names)
    found.annotations.name = name
    return found


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
async def test_a_user_has_the_role_that_the_store_says(world, role):
    issued = await world.make("ann", role.name.lower(), lifetime_ns=3600 * SECOND)
    who = world.caller(issued)
    assert (who.user, who.role, who.node_id, who.scope) == ("ann", role, "", ())
    assert list(issued.manager_addrs) == ["10.0.0.1:2377", "10.0.0.2:2377", "10.0.0.3:2377"]
    assert issued.root_ca_pem == ROOT.cert_pem
    assert b"PRIVATE" not in issued.SerializeToString()


async def test_a_change_and_a_removal_count_at_once_and_a_new_user_of_the_name_is_another(world):
    issued = await world.make("ann", "operator", ("team=red",))
    assert world.caller(issued).scope == ("team=red",)
    user = issued.user
    await world.ask(
        UpdateUserRequest(id=user.id, version=user.meta.version.index, spec=spec("ann", "viewer"))
    )
    assert (world.caller(issued).role, world.caller(issued).scope) == (Role.VIEWER, ())
    await world.ask(RemoveUserRequest(ref="ann"))
    await world.make("ann", "admin")
    with pytest.raises(NotPermitted, match="user ann was removed"):
        world.caller(issued)


async def test_a_renewal_leaves_the_certificate_before_unless_it_is_revoked(world):
    first = await world.make("ann")
    second = await world.ask(RenewUserRequest(ref="ann", csr_pem=CSR))
    assert world.caller(first) == world.caller(second) or world.caller(first).user == "ann"
    third = await world.ask(RenewUserRequest(ref="ann", csr_pem=CSR, revoke=True))
    for revoked in (first, second):
        with pytest.raises(NotPermitted, match="was revoked"):
            world.caller(revoked)
    assert world.caller(third).user == "ann"


@pytest.mark.parametrize("scope", [(), ("team=red",)])
async def test_people_get_and_renew_themselves_and_nobody_else(world, scope):
    await world.make("bob", "operator")
    who = world.caller(await world.make("ann", "operator", scope))
    for ref in ("self", "ann"):
        assert (await world.ask(GetUserRequest(ref=ref), who)).user.spec.annotations.name == "ann"
    assert world.caller(await world.ask(RenewUserRequest(ref="self", csr_pem=CSR), who)).user == "ann"
    for request in (GetUserRequest(ref="bob"), RenewUserRequest(ref="bob", csr_pem=CSR)):
        with pytest.raises(NotPermitted, match="only an administrator"):
            await world.ask(request, who)
    with pytest.raises(NotPermitted, match="only an administrator revokes"):
        await world.ask(RenewUserRequest(ref="self", csr_pem=CSR, revoke=True), who)
    with pytest.raises(NotFound):
        await world.ask(GetUserRequest(ref="self"), LOCAL)


async def test_an_administrator_asks_about_everybody(world):
    await world.make("bob")
    who = world.caller(await world.make("ann", "admin"))
    assert (await world.ask(GetUserRequest(ref="bob"), who)).user.spec.annotations.name == "bob"
    users = (await world.ask(ListUsersRequest(), who)).users
    assert [one.spec.annotations.name for one in users] == ["ann", "bob"]
    assert all(isinstance(one, User) for one in users)


async def test_names_are_unique_and_stay(world):
    made = (await world.make("ann")).user
    with pytest.raises(NameConflict, match="the name ann is taken"):
        await world.make("ann")
    version = made.meta.version.index
    with pytest.raises(InvalidArgument, match="cannot change"):
        await world.ask(UpdateUserRequest(id=made.id, version=version, spec=spec("eve")))
    with pytest.raises(StaleVersion):
        await world.ask(UpdateUserRequest(id=made.id, version=version + 7, spec=spec("ann")))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (spec(""), "cannot be the name"),
        (spec("-x"), "cannot be the name"),
        (spec("self"), "means who asks"),
        (spec("ann", scope=["=red"]), "is not KEY or KEY=VALUE"),
        (spec("ann", "admin", ["a"]), "an admin has no scope"),
        (spec("ann", image_names=["red.example/r"]), "confine nobody without a scope"),
        (spec("ann", scope=["a"], image_names=["red"]), "such as registry.example/red"),
        (spec("ann", scope=["a"], image_names=["red.example/web:1"]), "such as|invalid"),
        (spec("ann", scope=["a"], image_names=["red.example/"]), "such as|invalid"),
        (
            spec("ann", scope=["a"], image_names=["r.x"] * (USER_SCOPE.value + 1)),
            "USER_SCOPE",
        ),
        (spec("ann", scope=[f"k{n}" for n in range(USER_SCOPE.value + 1)]), "USER_SCOPE"),
        (spec("ann", scope=["k" * 300]), "LABEL_KEY_BYTES"),
    ],
)
def test_users_that_cannot_be_are_refused_with_the_reason(wanted, problem):
    with pytest.raises(InvalidArgument, match=problem):
        check_user(wanted)


async def test_nothing_is_kept_of_a_user_whose_request_is_bad(world):
    for more in ({"csr_pem": b"x"}, {"csr_pem": CSR, "lifetime_ns": 1}):
        with pytest.raises(InvalidArgument):
            await world.ask(CreateUserRequest(spec=spec("ann"), **more))
    assert len(world.store.view.users) == 0


MANAGER_KEY = new_key_pem()
MANAGER = NodeBundle(
    issue_node_certificate(
        ROOT,
        create_csr(MANAGER_KEY),
        node_id="m1",
        role=Role.MANAGER,
        cluster_id="cluster1",
        now_ns=CLOCK.now_ns(),
    ),
    ROOT.cert_pem,
    MANAGER_KEY,
)


async def world_without_key(*urls):
    world, cluster = World(MANAGER), Cluster(id="cluster1")
    cluster.root_ca.cert_pem = ROOT.cert_pem
    for url in urls:
        cluster.spec.external_cas.add(url=url)
    await world.store.update(lambda tx: tx.create(cluster))
    return world


async def test_an_external_ca_signs_for_users(tmp_path):
    with external_ca(tmp_path, ROOT, ROOT.cert_pem) as authority:
        world = await world_without_key(authority.url)
        first = await world.make("ann", "operator")
        assert world.caller(first).role is Role.OPERATOR
        left_s = first.user.certificate_expires_at.seconds - CLOCK.now_ns() / SECOND
        assert 20 * 3600 < left_s < 25 * 3600, "the external CA decides how long"
        await world.ask(RenewUserRequest(ref="ann", csr_pem=CSR, revoke=True))
        with pytest.raises(NotPermitted, match="was revoked"):
            world.caller(first)


async def test_no_user_is_made_when_the_external_ca_signs_something_else_or_for_longer(tmp_path):
    with external_ca(tmp_path, ROOT, ROOT.cert_pem) as authority:
        world = await world_without_key(authority.url)
        with pytest.raises(FailedPrecondition, match="longer than you ask for: do without --expiry"):
            await world.make("ann", lifetime_ns=3600 * SECOND)
        authority.fault = "hosts"
        with pytest.raises(FailedPrecondition, match="its names must be swarm-user and"):
            await world.make("ann")
    with pytest.raises(Unavailable, match="cannot be asked"):
        await world.make("ann")
    assert len(world.store.view.users) == 0


async def test_without_the_key_and_without_an_external_ca_nobody_signs():
    world = await world_without_key()
    with pytest.raises(FailedPrecondition, match="swarmctl ca --rotate"):
        await world.make("ann")
