from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.dev.plan import SOCKET_BYTES_MAX, Folders, Plan, check, check_name, choose_subnet
from swarm.errors import InvalidArgument, NotFound

ROOT_FOLDERS = Folders(Path("/var/lib/swarm-dev"), Path("/run/swarm-dev"))


def plan(name: str = "dev", managers: int = 3, workers: int = 2, folders: Folders = ROOT_FOLDERS) -> Plan:
    return Plan(name, True, IPv4Network("10.200.0.0/24"), managers, workers, folders)


def test_managers_come_first_and_every_node_has_an_address_of_its_own() -> None:
    nodes = plan().nodes
    assert [node.name for node in nodes] == ["manager-1", "manager-2", "manager-3", "worker-1", "worker-2"]
    assert [node.address for node in nodes] == [IPv4Address(f"10.200.0.{n}") for n in range(1, 6)]
    assert [node.is_manager for node in nodes] == [True, True, True, False, False]


def test_the_host_has_an_address_that_no_node_has() -> None:
    largest = plan(managers=7, workers=193)
    assert check(largest).host_address not in {node.address for node in largest.nodes}


@pytest.mark.parametrize(("managers", "workers"), [(0, 1), (1, -1), (3, 198)])
def test_impossible_numbers_of_nodes_are_refused(managers: int, workers: int) -> None:
    with pytest.raises(InvalidArgument):
        check(plan(managers=managers, workers=workers))


@pytest.mark.parametrize("name", ["dev", "a", "a-b", "x" * 32, "0"])
def test_good_names(name: str) -> None:
    check_name(name)
    assert len(plan(name).host_link) <= 15
    assert len(str(plan(name, 7, 100).nodes[-1].socket)) <= SOCKET_BYTES_MAX


@pytest.mark.parametrize(
    "name", ["", "Dev", "a_b", "../etc", "a/b", "-a", "a-", ".", "x" * 33, "a b", "ä", "a\n"]
)
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot name a dev cluster"):
        check_name(name)


def test_different_clusters_have_different_tables_links_and_cgroups() -> None:
    one, other = plan("a-b"), plan("a")
    assert one.table != other.table
    assert one.host_link != other.host_link
    assert one.cgroup != other.cgroup


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made() -> None:
    folders = Folders(Path("/d"), Path("/" + "x" * 100))
    with pytest.raises(InvalidArgument, match="too long a path for sockets"):
        check(plan(folders=folders))


def test_an_unknown_node_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(NotFound, match="it has manager-1, worker-1"):
        plan(managers=1, workers=1).node("worker-2")


def test_users_have_folders_of_their_own() -> None:
    environment = {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/1000"}
    assert Folders.of(environment, 0) == ROOT_FOLDERS
    assert Folders.of(environment, 1000) == Folders(
        Path("/home/u/.local/share/swarm-dev"), Path("/run/user/1000/swarm-dev")
    )
    assert Folders.of({"HOME": "/home/u"}, 1000).run == Path("/tmp/swarm-dev-1000")


@given(st.text("abc-", min_size=1, max_size=8), st.booleans(), st.sets(st.integers(0, 255), max_size=40))
def test_a_subnet_is_free_and_of_the_right_kind(name: str, isolated: bool, taken: set[int]) -> None:
    first = 10 if isolated else 127
    busy = [IPv4Network(f"{first}.{second}.0.0/16") for second in taken]
    subnet = choose_subnet(name, isolated, busy)
    assert not any(subnet.overlaps(other) for other in busy)
    assert subnet.network_address.packed[0] == first
    assert subnet == choose_subnet(name, isolated, busy)


def test_without_a_free_subnet_it_says_so() -> None:
    with pytest.raises(InvalidArgument, match="no free subnet"):
        choose_subnet("dev", True, [IPv4Network("10.0.0.0/8")])
