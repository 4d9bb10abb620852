"""Tasks go only where they can have all cluster volumes that they want, and count at once."""

from swarm.api.v1.objects_pb2 import Node, Task, Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import CsiPlugin, Mount
from swarm.manager.scheduler.plan import Plan
from swarm.manager.scheduler.why import judge_nodes
from swarm.manager.store.testing import store_with
from swarm.model import task_state
from swarm.steps import complete
from tests.unit.scheduler.cluster import NOW_NS, Cluster, a_node, reasons


def node_with(name: str, zone: str = "a", most: int = 0, plugin: str = "csi.test") -> Node:
    node = a_node(name)
    node.description.csi_plugins.append(CsiPlugin(name=plugin, topology={"zone": zone}, volumes_max=most))
    return node


def put(cluster: Cluster, name: str, zone: str = "", made: bool = True, **spec: object) -> Volume:
    volume = Volume(id=name, spec=VolumeSpec(driver="csi.test", **spec))
    volume.spec.annotations.name = name
    volume.plugin_volume_id = f"p-{name}" if made else ""
    if zone:
        volume.accessible_topology.add(segments={"zone": zone})
    cluster.view.volumes.put(volume)
    return volume


def wanting(
    cluster: Cluster, count: int, *sources: str, read_only: bool = False, **needs: object
) -> list[Task]:
    tasks = cluster.new_tasks(count, **needs)
    for task in tasks:
        for number, source in enumerate(sources):
            task.spec.container.mounts.add(
                type=Mount.TYPE_CLUSTER, source=source, target=f"/{number}", read_only=read_only
            )
    return tasks


def places(plan: Plan) -> list[str]:
    return sorted(one.node_id for one in plan.assignments)


def given(plan: Plan) -> list[list[str]]:
    return sorted([volume.volume_id for volume in one.volumes] for one in plan.assignments)


def test_a_task_goes_where_the_plugin_reaches_its_volume() -> None:
    cluster = Cluster(node_with("n1", "a"), node_with("n2", "b"), a_node("n3"))
    put(cluster, "db", zone="b")
    plan = cluster.place(wanting(cluster, 1, "db"))
    assert (places(plan), given(plan)) == (["n2"], [["db"]])


def test_all_volumes_must_fit_not_one_of_them() -> None:
    cluster = Cluster(node_with("n1", "a"), node_with("n2", "b"))
    put(cluster, "left", zone="a")
    put(cluster, "right", zone="b")
    plan = cluster.place(wanting(cluster, 1, "left", "right"))
    assert not plan.assignments
    text = " ".join(reasons(plan))
    assert "volume left is not reachable" in text
    assert "volume right is not reachable" in text


def test_a_volume_for_one_node_keeps_its_tasks_there() -> None:
    cluster = Cluster(*(node_with(f"n{number}") for number in (1, 2, 3)))
    put(cluster, "db", sharing=VolumeSpec.SHARING_ALL)
    assert len(set(places(cluster.place(wanting(cluster, 3, "db"))))) == 1


def test_a_volume_for_one_task_is_for_one_task_of_a_plan() -> None:
    cluster = Cluster(*(node_with(f"n{number}") for number in (1, 2)))
    put(cluster, "db")
    plan = cluster.place(wanting(cluster, 2, "db"))
    assert len(plan.assignments) == 1
    assert "in use" in " ".join(reasons(plan))


def test_each_task_gets_a_volume_of_its_group_of_its_own() -> None:
    cluster = Cluster(*(node_with(f"n{number}") for number in (1, 2)))
    for name in ("g1", "g2", "g3"):
        put(cluster, name, group="fast")
    plan = cluster.place(wanting(cluster, 3, "group:fast"))
    assert given(plan) == [["g1"], ["g2"], ["g3"]]
    both = Cluster(node_with("n1"))
    for name in ("g1", "g2"):
        put(both, name, group="fast")
    assert given(both.place(wanting(both, 1, "group:fast", "group:fast"))) == [["g1", "g2"]]


def test_volumes_that_are_paused_removed_or_not_made_are_for_nobody() -> None:
    for change, text in (
        ({"availability": VolumeSpec.AVAILABILITY_PAUSE}, "not available for new tasks"),
        ({"made": False}, "not made yet"),
    ):
        cluster = Cluster(node_with("n1"))
        put(cluster, "db", **change)
        plan = cluster.place(wanting(cluster, 1, "db"))
        assert not plan.assignments
        assert text in " ".join(reasons(plan))
    cluster = Cluster(node_with("n1"))
    assert "no cluster volume db" in " ".join(reasons(cluster.place(wanting(cluster, 1, "db"))))


def test_a_plugin_takes_only_so_many_volumes_on_a_node() -> None:
    cluster = Cluster(node_with("n1", most=1), node_with("n2", most=1))
    for name in ("v1", "v2", "v3"):
        put(cluster, name, group="all")
    plan = cluster.place(wanting(cluster, 3, "group:all"))
    assert places(plan) == ["n1", "n2"]
    assert "takes no more volumes" in " ".join(reasons(plan))


def test_a_task_that_only_stops_has_its_volume_still() -> None:
    cluster = Cluster(node_with("n1"), node_with("n2"))
    put(cluster, "db")
    (old,) = wanting(cluster, 1, "db")
    old.node_id = "n1"
    old.volumes.add(volume_id="db", source="db", target="/0")
    old.desired_state = task_state.SHUTDOWN
    cluster.report(old, task_state.RUNNING)
    (new,) = wanting(cluster, 1, "db")
    assert not cluster.place([new]).assignments
    cluster.report(old, task_state.SHUTDOWN)
    assert len(cluster.place([new]).assignments) == 1


def test_whoever_asks_why_hears_it_for_every_node() -> None:
    cluster = Cluster()
    volume = put(cluster, "db", zone="b")
    (task,) = wanting(cluster, 1, "db")
    store = store_with(node_with("n1", "a"), node_with("n2", "b"), volume)
    verdicts = complete(judge_nodes(store.view, task, NOW_NS))
    assert [(one.node_id, list(one.reasons)) for one in verdicts] == [
        ("n1", ["volume db is not reachable on 1 node"]),
        ("n2", []),
    ]
