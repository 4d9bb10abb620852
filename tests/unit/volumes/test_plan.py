"""What is done next for a cluster volume, in every state it can be in."""

import pytest

from swarm.api.v1.objects_pb2 import Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.manager.volumes.plan import NodeFacts, Step, User, Work, next_steps

PENDING, PUBLISHED = Volume.PUBLISH_STATE_PENDING_PUBLISH, Volume.PUBLISH_STATE_PUBLISHED
LEAVING, LEFT = Volume.PUBLISH_STATE_PENDING_NODE_UNPUBLISH, Volume.PUBLISH_STATE_PENDING_UNPUBLISH
UP, DOWN = NodeFacts(is_up=True), NodeFacts(is_up=False)
NODES = {"n1": UP, "n2": UP, "n3": DOWN}
WAITING, RUNNING = User("t1", waits=True), User("t1", waits=False)


def volume(*publish: tuple[str, int], made: bool = True, **fields: object) -> Volume:
    found = Volume(id="v", plugin_volume_id="p" if made else "", **fields)
    for node, state in publish:
        found.publish.add(node_id=node, state=state)
    return found


def works(found: Volume, **users: User) -> list[tuple[Work, str]]:
    steps = next_steps(found, {node: (user,) for node, user in users.items()}, NODES)
    return [(one.work, one.node_id) for one in steps]


def test_a_new_volume_is_made_before_anything_else() -> None:
    assert works(volume(made=False), n1=WAITING) == [(Work.CREATE, "")]


def test_a_volume_of_one_node_goes_to_one_node_at_a_time() -> None:
    assert works(volume(), n1=WAITING, n2=WAITING) == [(Work.BEGIN, "n1")]
    assert works(volume(("n1", PUBLISHED)), n2=WAITING) == [(Work.RELEASE, "n1")]
    assert works(volume(("n1", LEFT)), n2=WAITING) == [(Work.UNPUBLISH, "n1")]


def test_a_volume_of_many_nodes_goes_to_all_that_want_it() -> None:
    many = volume(("n1", PUBLISHED), spec=VolumeSpec(scope=VolumeSpec.SCOPE_MULTI))
    assert works(many, n1=RUNNING, n2=WAITING) == [(Work.BEGIN, "n2")]


@pytest.mark.parametrize(
    ("node", "state", "user", "work"),
    [
        ("n1", PENDING, WAITING, Work.PUBLISH),
        ("n1", PENDING, None, Work.ABANDON),
        ("gone", PENDING, WAITING, Work.ABANDON),
        ("n1", PUBLISHED, WAITING, Work.ATTACH),
        ("n1", PUBLISHED, RUNNING, None),
        ("n1", PUBLISHED, None, Work.RELEASE),
        ("n3", PUBLISHED, WAITING, None),  # down: nobody can be asked
        ("n3", PUBLISHED, RUNNING, None),  # down: its task may run still
        ("gone", PUBLISHED, RUNNING, Work.RELEASE),
        ("n1", LEAVING, None, Work.DETACH),
        ("n1", LEAVING, WAITING, Work.RESUME),
        ("n3", LEAVING, None, None),  # down: it may be mounted there still
        ("gone", LEAVING, None, Work.ABANDON),
        ("n1", LEFT, None, Work.UNPUBLISH),
        ("n1", LEFT, WAITING, Work.UNPUBLISH),
        ("gone", LEFT, None, Work.UNPUBLISH),
    ],
)
def test_a_published_volume_goes_step_by_step(
    node: str, state: int, user: User | None, work: Work | None
) -> None:
    users = {node: (user,)} if user is not None else {}
    found = [one.work for one in next_steps(volume((node, state)), users, NODES)]
    assert found == ([work] if work is not None else [])


def test_a_volume_is_removed_once_no_node_has_it() -> None:
    assert works(volume(("n1", PUBLISHED), pending_delete=True)) == [(Work.RELEASE, "n1")]
    assert works(volume(pending_delete=True), n2=WAITING) == [(Work.DELETE, "")]
    assert works(volume(made=False, pending_delete=True)) == [(Work.DELETE, "")]


def test_an_order_to_attach_says_for_whom_it_is() -> None:
    (step,) = next_steps(volume(("n1", PUBLISHED)), {"n1": (WAITING, User("t2", waits=False))}, NODES)
    assert step == Step("v", Work.ATTACH, "n1", frozenset({"t1"}))
