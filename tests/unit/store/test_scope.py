"""What has no label of theirs is not there for people with a scope: by name, by id, by reference."""

import pytest

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.types_pb2 import Mount
from swarm.clock import timestamp
from swarm.errors import NotFound, NotPermitted
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.store.scope import ScopedStore, ScopedTransaction, ScopedView, sees, sees_node
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock
from swarm.manager.store.transaction import Transaction
from swarm.model.host_reach import host_reach

RED = ("team=red",)
KINDS = [o.Service, o.Secret, o.Config, o.Network, o.Volume]
NAMES = {kind: f"{kind.DESCRIPTOR.name.lower()}s" for kind in KINDS}


def an(kind, name, **labels):
    item = kind(id=f"id-{name}")
    item.spec.annotations.name = name
    item.spec.annotations.labels.update(labels)
    item.meta.version.index = 1
    return item


def tables():
    found = Tables()
    for kind in KINDS:
        for name, labels in (("mine", {"team": "red"}), ("theirs", {"team": "blue"}), ("plain", {})):
            getattr(found, NAMES[kind]).put(an(kind, name, **labels))
    for name in ("mine", "theirs"):
        found.tasks.put(o.Task(id=f"task-{name}", service_id=f"id-{name}", slot=1, node_id=f"node-{name}"))
        found.nodes.put(o.Node(id=f"node-{name}"))
    return found


def transaction(base):
    return Transaction(base, timestamp(1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_has_only_what_has_the_label(kind):
    table = getattr(ScopedView(tables(), RED), NAMES[kind])
    assert [one.id for one in table] == ["id-mine"]
    assert len(table) == 1
    assert table.get("id-theirs") is None
    assert "id-plain" not in table
    assert table.by_name("theirs") is None
    assert table.indexed("name", "theirs") == ()
    assert resolve(table, "thing", "id-m").id == "id-mine"
    for ref in ("theirs", "id-theirs", "id-t"):
        with pytest.raises(NotFound, match=f"there is no thing {ref}"):
            resolve(table, "thing", ref)


def test_tasks_belong_to_their_service_also_when_it_is_gone():
    view = ScopedView(tables(), RED)
    assert [one.id for one in view.tasks] == ["task-mine"]
    assert view.tasks.by_service("id-theirs") == ()
    assert view.tasks.by_node("node-theirs") == ()
    left = o.Task(id="t", service_id="gone")
    left.service_annotations.labels["team"] = "red"
    assert sees(RED, Tables(), left)
    assert not sees(("team=blue",), Tables(), left)


def test_any_of_the_labels_will_do_and_a_key_alone_too():
    both = ScopedView(tables(), ("team=red", "team=blue"))
    assert {one.id for one in both.services} == {"id-mine", "id-theirs"}
    assert {one.id for one in ScopedView(tables(), ("team",)).services} == {"id-mine", "id-theirs"}


def test_nodes_are_seen_where_something_of_theirs_runs():
    view = tables()
    assert sees_node(RED, view, view.nodes.get("node-mine"))
    assert not sees_node(RED, view, view.nodes.get("node-theirs"))


def test_stacks_are_seen_when_all_in_them_is():
    stack = o.Stack(id="s")
    assert not sees(RED, Tables(), stack)
    mine = stack.revisions.add().services.add()
    mine.annotations.labels["team"] = "red"
    assert sees(RED, Tables(), stack)
    stack.revisions.add().services.add()
    assert not sees(RED, Tables(), stack)


@pytest.mark.parametrize("obj", [o.Cluster(id="c"), o.Image(id="i"), o.Attachment(id="a")])
def test_what_can_have_no_label_is_not_there(obj):
    assert not sees(RED, Tables(), obj)
    assert sees((), Tables(), obj)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_theirs_cannot_be_changed_or_removed_by_any_way(kind):
    scoped = ScopedTransaction(transaction(base := tables()), RED)
    theirs = getattr(base, NAMES[kind]).get("id-theirs")
    taken = copy_of(theirs)
    taken.spec.annotations.labels["team"] = "red"
    for act in (lambda: scoped.update(taken), lambda: scoped.remove(theirs)):
        with pytest.raises(NotFound, match="id-theirs"):
            act()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_or_changed_needs_the_label(kind):
    scoped = ScopedTransaction(transaction(base := tables()), RED)
    scoped.create(an(kind, "new", team="red"))
    with pytest.raises(NotPermitted, match="new2 needs the label team=red"):
        scoped.create(an(kind, "new2", team="blue"))
    lost = copy_of(getattr(base, NAMES[kind]).get("id-mine"))
    lost.spec.annotations.labels.clear()
    with pytest.raises(NotPermitted, match="needs the label team=red"):
        scoped.update(lost)
    scoped.remove(getattr(base, NAMES[kind]).get("id-mine"))


def test_nodes_and_the_cluster_are_not_changed_by_people_with_a_scope():
    base = tables()
    base.clusters.put(o.Cluster(id="c"))
    scoped = ScopedTransaction(transaction(base), RED)
    for obj in (base.nodes.get("node-mine"), base.clusters.get("c")):
        with pytest.raises(NotFound):
            scoped.update(obj)


def test_rules_about_the_whole_cluster_see_everything():
    scoped = ScopedTransaction(transaction(tables()), RED)
    assert len(list(scoped.networks)) == 3, "addresses of networks must not overlap"
    assert scoped.networks.by_name("theirs") is None, "and yet it cannot be named"
    assert scoped.networks.beginning_with("id-t") == []


def mounting(**fields):
    service = an(o.Service, "new", team="red")
    service.spec.task.container.mounts.add(target="/x", **fields)
    return service


@pytest.mark.parametrize(
    "service",
    [
        mounting(type=Mount.TYPE_BIND, source="/"),
        mounting(type=Mount.TYPE_VOLUME, source="data"),
        mounting(type=Mount.TYPE_VOLUME, volume=Mount.VolumeOptions(driver_options={"device": "/"})),
        mounting(type=Mount.TYPE_CLUSTER, source="group:fast"),
    ],
)
def test_people_with_a_scope_get_at_no_node_through_a_container(service):
    scoped = ScopedTransaction(transaction(tables()), RED)
    with pytest.raises(NotPermitted, match="reaches beyond the label team=red"):
        scoped.create(service)


def test_cluster_volumes_are_mounted_when_they_are_theirs():
    scoped = ScopedTransaction(transaction(tables()), RED)
    scoped.create(mounting(type=Mount.TYPE_CLUSTER, source="mine"))
    with pytest.raises(NotFound, match="there is no cluster volume theirs"):
        scoped.create(mounting(type=Mount.TYPE_CLUSTER, source="theirs"))


def test_a_driver_of_secrets_is_asked_for_nothing_that_is_not_theirs():
    secret = an(o.Secret, "outside", team="red")
    secret.spec.driver.SetInParent()
    with pytest.raises(NotPermitted, match="would be asked of a driver"):
        ScopedTransaction(transaction(tables()), RED).create(secret)


def test_what_an_administrator_gave_a_service_stays():
    base = tables()
    given = copy_of(base.services.get("id-mine"))
    given.spec.task.container.mounts.add(type=Mount.TYPE_BIND, source="/data", target="/d")
    base.services.put(given)
    scaled = copy_of(given)
    scaled.spec.replicated.replicas = 5
    ScopedTransaction(transaction(base), RED).update(scaled)


def test_every_way_to_a_node_is_known():
    service = o.Service()
    container = service.spec.task.container
    container.privileges.privileged = True
    container.capability_add.append("CAP_SYS_ADMIN")
    container.devices.add(host_path="/dev/sda")
    container.device_requests.add(kind="nvidia.com/gpu", count=1)
    container.namespaces.pid = "host"
    container.cgroup_parent = "/x"
    service.spec.task.networks.add(network_name="host")
    assert len(host_reach(service.spec)) == 7
    harmless = o.Service()
    harmless.spec.task.container.mounts.add(type=Mount.TYPE_TMPFS, target="/t")
    harmless.spec.task.container.mounts.add(type=Mount.TYPE_VOLUME, target="/v")
    harmless.spec.task.container.privileges.no_new_privileges = True
    assert host_reach(harmless.spec) == frozenset()


async def test_the_store_is_that_of_who_asks():
    from swarm.manager.store.store import Store

    scope = []
    store = Store(ManualClock(), "p")
    store.attach(LocalProposer(store))
    scoped = ScopedStore(store, lambda: tuple(scope))
    await scoped.update(lambda tx: tx.create(an(o.Service, "theirs")))
    scope.append("team=red")
    assert list(scoped.view.services) == []
    assert len(list(scoped.whole.services)) == 1
    with pytest.raises(NotPermitted):
        await scoped.update(lambda tx: tx.create(an(o.Service, "other")))
    await scoped.update(lambda tx: tx.create(an(o.Service, "mine", team="red")))
    assert [one.id for one in scoped.view.services] == ["id-mine"]
