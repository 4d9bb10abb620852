import pytest

from swarm.api.v1.objects_pb2 import Cluster, Node, Service, Task
from swarm.api.v1.store_pb2 import StoreAction
from swarm.clock import timestamp
from swarm.errors import InvalidArgument, NameConflict, NotFound, StaleVersion
from swarm.manager.store.tables import MemoryTaskTable, Tables, copy_of
from swarm.manager.store.transaction import Overlay, Transaction
from swarm.model.task_state import PENDING, RUNNING, SHUTDOWN

NOW = timestamp(1_700_000_000_000_000_000)


def a_service(service_id: str, name: str, version: int = 0) -> Service:
    service = Service(id=service_id)
    service.spec.annotations.name = name
    service.meta.version.index = version
    return service


def tables(*objects: Service | Task | Node) -> Tables:
    held = Tables()
    for obj in objects:
        held.of(type(obj)).put(obj)
    return held


def test_a_transaction_sees_its_own_writes_and_the_base_does_not():
    base = tables(a_service("s1", "web"))
    tx = Transaction(base, NOW)
    tx.create(Task(id="t1", service_id="s1", slot=1, node_id="n1"))
    assert [task.id for task in tx.tasks.by_slot("s1", 1)] == ["t1"]
    assert [task.id for task in tx.tasks.by_node("n1")] == ["t1"]
    assert len(tx.tasks) == 1
    assert "t1" not in base.tasks
    assert len(base.tasks) == 0


def test_an_update_moves_an_object_between_indexes_of_the_overlay():
    base = tables(Task(id="t1", service_id="s1", slot=1, node_id="n1"))
    tx = Transaction(base, NOW)
    moved = copy_of(tx.tasks.get("t1"))
    moved.node_id = "n2"
    tx.update(moved)
    assert tx.tasks.by_node("n1") == ()
    assert [task.id for task in tx.tasks.by_node("n2")] == ["t1"]
    assert [task.id for task in tx.tasks] == ["t1"]
    assert len(tx.tasks) == 1


def test_a_created_object_is_a_copy_with_both_dates():
    tx = Transaction(Tables(), NOW)
    mine = a_service("s1", "web")
    stored = tx.create(mine)
    mine.spec.annotations.name = "changed later"
    assert tx.services.get("s1") is stored
    assert stored.spec.annotations.name == "web"
    assert stored.meta.created_at == stored.meta.updated_at == NOW


def test_an_update_keeps_the_date_of_creation_whatever_the_writer_says():
    service = a_service("s1", "web", version=7)
    service.meta.created_at.seconds = 5
    tx = Transaction(tables(service), NOW)
    changed = copy_of(service)
    changed.meta.created_at.seconds = 99
    stored = tx.update(changed)
    assert stored.meta.created_at.seconds == 5
    assert stored.meta.updated_at == NOW


def test_an_object_read_before_it_changed_cannot_be_written():
    tx = Transaction(tables(a_service("s1", "web", version=7)), NOW)
    with pytest.raises(StaleVersion, match="out of sequence"):
        tx.update(a_service("s1", "web", version=6))
    with pytest.raises(StaleVersion):
        tx.remove(a_service("s1", "web", version=6))


def test_a_write_of_an_earlier_transaction_in_the_batch_makes_older_reads_stale():
    read_before = a_service("s1", "web", version=7)
    batch = Overlay(tables(read_before))
    first = Transaction(batch, NOW)
    first.update(copy_of(read_before))
    batch.absorb(first)
    second = Transaction(batch, NOW, (1 << 63) + 1)
    with pytest.raises(StaleVersion):
        second.update(copy_of(read_before))
    second.update(copy_of(second.services.get("s1")))


def test_the_same_object_may_be_written_twice_in_one_transaction():
    service = a_service("s1", "web", version=7)
    tx = Transaction(tables(service), NOW)
    mine = copy_of(service)
    tx.update(mine)
    mine.spec_version = 5
    tx.update(mine)
    assert [(write.kind, write.object.spec_version) for write in tx.writes] == [(StoreAction.KIND_UPDATE, 5)]


def test_created_and_removed_again_leaves_nothing_to_write():
    tx = Transaction(Tables(), NOW)
    created = tx.create(a_service("s1", "web"))
    tx.remove(created)
    assert tx.writes == ()
    assert len(tx.services) == 0


def test_updated_and_removed_is_one_removal():
    service = a_service("s1", "web", version=7)
    tx = Transaction(tables(service), NOW)
    tx.remove(tx.update(copy_of(service)))
    assert [write.kind for write in tx.writes] == [StoreAction.KIND_REMOVE]
    assert list(tx.services) == []


def test_removed_and_created_anew_is_one_update():
    service = a_service("s1", "web", version=7)
    tx = Transaction(tables(service), NOW)
    tx.remove(service)
    tx.create(a_service("s1", "other"))
    assert [write.kind for write in tx.writes] == [StoreAction.KIND_UPDATE]
    assert len(tx.services) == 1


def test_names_of_services_are_unique_and_hostnames_are_not():
    node = Node(id="n1")
    node.description.hostname = "box"
    tx = Transaction(tables(a_service("s1", "web"), node), NOW)
    with pytest.raises(NameConflict, match="web"):
        tx.create(a_service("s2", "web"))
    twin = Node(id="n2")
    twin.description.hostname = "box"
    tx.create(twin)
    assert len(tx.nodes.named("box")) == 2
    assert tx.nodes.by_name("box") is None


def test_a_name_is_free_once_its_holder_is_gone():
    service = a_service("s1", "web", version=3)
    tx = Transaction(tables(service), NOW)
    tx.remove(service)
    tx.create(a_service("s2", "web"))
    assert tx.services.by_name("web").id == "s2"


def test_there_is_only_one_cluster():
    tx = Transaction(Tables(), NOW)
    tx.create(Cluster(id="c1"))
    with pytest.raises(NameConflict):
        tx.create(Cluster(id="c2"))
    assert tx.cluster.id == "c1"


def test_what_is_not_there_cannot_be_changed():
    tx = Transaction(Tables(), NOW)
    for change in (tx.update, tx.remove):
        with pytest.raises(NotFound):
            change(a_service("s1", "web"))
    with pytest.raises(InvalidArgument):
        tx.create(Service())


def test_a_task_is_found_by_its_name():
    task = Task(id="abc", service_id="s1", slot=2)
    task.service_annotations.name = "web"
    table = MemoryTaskTable()
    table.put(task)
    assert table.by_name("web.2.abc") is task
    assert table.by_name("web.1.abc") is None


def test_an_index_forgets_keys_that_nothing_is_filed_under():
    table = MemoryTaskTable()
    table.put(Task(id="t", service_id="s", slot=1, node_id="n"))
    table.delete("t")
    assert table.delete("t") is None
    assert all(not index for index in table._indexes.values())


def test_several_tasks_of_a_key_are_found_in_the_order_in_which_they_came():
    table = MemoryTaskTable()
    for task_id in ("b", "a", "c"):
        table.put(Task(id=task_id, service_id="s", slot=1))
    assert [task.id for task in table.by_slot("s", 1)] == ["b", "a", "c"]
    table.delete("a")
    table.delete("b")
    assert [task.id for task in table.by_slot("s", 1)] == ["c"]
    table.put(Task(id="c", service_id="s", slot=2))
    table.put(Task(id="d", service_id="s", slot=1))
    assert [task.id for task in table.by_slot("s", 1)] == ["d"]
    assert [task.id for task in table.by_slot("s", 2)] == ["c"]


def test_a_table_that_files_late_finds_what_was_there_before_and_after():
    table = MemoryTaskTable(filed=False)
    table.put(Task(id="a", service_id="s", node_id="n"))
    table.put(Task(id="gone", service_id="s", node_id="n"))
    table.delete("gone")
    assert [task.id for task in table.by_node("n")] == ["a"]
    table.put(Task(id="b", service_id="s", node_id="n"))
    table.put(Task(id="a", service_id="s", node_id="m"))
    assert [task.id for task in table.by_node("n")] == ["b"]
    assert {task.id for task in table.by_service("s")} == {"a", "b"}


def test_running_tasks_of_a_service_are_counted_as_they_come_and_go():
    held = Tables()
    for number in range(4):
        task = Task(id=f"t{number}", service_id="s", desired_state=RUNNING)
        task.status.state = RUNNING if number else PENDING
        held.tasks.put(task)
    assert held.tasks.running("s") == 3
    told = copy_of(held.tasks.get("t1"))
    told.desired_state = SHUTDOWN
    held.tasks.put(told)
    held.tasks.put(copy_of(told))
    assert held.tasks.running("s") == 2
    overlay = Overlay(held)
    overlay.tasks.delete("t2")
    assert overlay.tasks.running("s") == 1
    assert held.tasks.running("s") == 2
    held.tasks.delete("t2")
    held.tasks.delete("t3")
    held.tasks.delete("t3")
    assert held.tasks.running("s") == held.tasks.running("unknown") == 0
