import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import InvalidArgument, TaskRejected
from swarm.model.user_namespaces import private_users
from swarm.runtime.oci.user_namespaces import IdRange, free_range, obstacle, parse_range

POOL = IdRange(1000, 100)


def test_ids_are_written_as_first_and_size() -> None:
    assert parse_range("1879048192:268435456") == IdRange(1_879_048_192, 268_435_456)
    for text in ("", "1000", "0:5", "5:0", "-1:5", "4294967290:100", "1000:x", "1000:5:5"):
        with pytest.raises(InvalidArgument, match="FIRST:SIZE"):
            parse_range(text)


@given(st.lists(st.integers(1, 30), max_size=12), st.data())
def test_nobody_gets_ids_of_another_and_gaps_are_used_again(sizes: list[int], data: st.DataObject) -> None:
    taken: list[IdRange] = []
    for size in sizes:
        if taken and data.draw(st.booleans()):
            taken.remove(data.draw(st.sampled_from(taken)))
        try:
            found = free_range(POOL, taken, size)
        except TaskRejected:
            assert not any(
                all(at + size <= one.first or at >= one.first + one.size for one in taken)
                for at in range(POOL.first, POOL.first + POOL.size - size + 1)
            )
            continue
        assert POOL.first <= found.first
        assert found.first + found.size <= POOL.first + POOL.size
        assert all(found.first + size <= one.first or found.first >= one.first + one.size for one in taken)
        taken.append(found)


def test_a_node_without_ids_says_which_setting_it_is() -> None:
    with pytest.raises(TaskRejected, match="subordinate_ids"):
        free_range(POOL, [IdRange(1000, 50)], 51)


def test_old_kernels_and_those_without_user_namespaces_cannot() -> None:
    assert obstacle("6.1.0-50-amd64", "96365\n") == ""
    assert obstacle("5.19.0", "1") == ""
    assert "5.10.0-8 cannot show" in obstacle("5.10.0-8", "96365")
    assert "max_user_namespaces" in obstacle("6.1.0", "0\n")
    assert "max_user_namespaces" in obstacle("6.1.0", "")


@pytest.mark.parametrize(
    ("mode", "users"),
    [
        ("", 0),
        ("host", 0),
        ("private", 65_536),
        ("private:1024", 1024),
        ("private:", None),
        ("private:1023", None),
        ("private:16777217", None),
        ("private:\u0663\u0660\u0660\u0660", None),  # digits, but not ours
        ("auto", None),
    ],
)
def test_modes_mean_how_many_users_a_container_has_for_itself(mode: str, users: int | None) -> None:
    assert private_users(mode) == users
