from pathlib import Path

from swarm.agent.overlay.layout import FIRST_TASK_LINK, OverlayLayout, nic_index, nic_name, router_link
from swarm.ids import new_id


def test_names_of_links_are_short_enough_for_the_kernel() -> None:
    assert len(router_link(new_id())) == 15
    assert len(nic_name(31)) <= 15


def test_links_of_different_tasks_have_different_names() -> None:
    assert len({router_link(new_id()) for _ in range(1000)}) == 1000


def test_the_two_ends_of_a_cable_never_have_the_same_number() -> None:
    assert nic_index(31) < FIRST_TASK_LINK


def test_routers_lie_where_no_task_is_taken_for_one() -> None:
    layout = OverlayLayout(Path("/run/swarm"))
    assert layout.router("n1").parent != layout.task("t1").parent
