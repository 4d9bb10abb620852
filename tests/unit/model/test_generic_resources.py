import pytest

from swarm.api.v1.types_pb2 import GenericResource
from swarm.errors import InvalidArgument
from swarm.model.generic_resources import (
    Claim,
    Ledger,
    assigned_by,
    claims_of,
    lost_claims,
    owned_problems,
    parse_owned,
    parse_wanted,
    wanted_problems,
)


def test_a_number_is_counted_and_everything_else_is_a_name():
    assert parse_owned(["ssd=3", "gpu=UUID2,gpu=UUID1"]) == (
        GenericResource(kind="gpu", named="UUID1"),
        GenericResource(kind="gpu", named="UUID2"),
        GenericResource(kind="ssd", count=3),
    )


@pytest.mark.parametrize(
    "text", ["gpu", "gpu=", "=3", "gpu=a b", "-x=1", "gpu=1,gpu=a", "gpu=a,gpu=a", "ssd=1,ssd=2"]
)
def test_what_a_node_cannot_have_is_refused(text):
    with pytest.raises(InvalidArgument, match="generic resource"):
        parse_owned([text])


@pytest.mark.parametrize("text", ["gpu", "gpu=0", "gpu=-1", "gpu=UUID1", "=2", "gpu=1.5", "gpu=9999999999"])
def test_a_service_reserves_numbers_only(text):
    with pytest.raises(InvalidArgument, match="KIND=NUMBER"):
        parse_wanted(text)


def test_a_reservation_from_elsewhere_is_checked_too():
    for bad in (
        [GenericResource(kind="", count=1)],
        [GenericResource(kind="gpu", named="UUID1")],
        [GenericResource(kind="gpu", count=-1)],
        [GenericResource(kind="gpu")],
        [GenericResource(kind="gpu", count=1), GenericResource(kind="gpu", count=2)],
        [GenericResource(kind=f"k{one}", count=1) for one in range(65)],
    ):
        assert len(list(wanted_problems(bad))) == 1
    assert not list(wanted_problems([parse_wanted("gpu=2"), parse_wanted("ssd=1")]))
    assert list(owned_problems([GenericResource(kind="gpu", named=str(one)) for one in range(1025)]))


def test_what_was_given_survives_being_written_on_a_task():
    claims = (Claim("gpu", 2, ("a", "b")), Claim("ssd", 3))
    assert claims_of(assigned_by(claims)) == claims


def test_things_that_are_counted_after_they_had_names_are_not_given_twice():
    ledger = Ledger(parse_owned(["gpu=a,gpu=b"]))
    claims = ledger.pick((("gpu", 1),))
    ledger.count(claims, 1)
    ledger.show(parse_owned(["gpu=2"]))
    assert ledger.free("gpu") == 1
    ledger.show(parse_owned(["gpu=b,gpu=c"]))
    assert ledger.free("gpu") == 1
    ledger.count(claims, -1)
    assert ledger.free("gpu") == 2


def test_who_came_first_keeps_what_is_left():
    claims = {"t1": (Claim("gpu", 1, ("b",)),), "t2": (Claim("gpu", 1, ("a",)),), "t3": (Claim("ssd", 2),)}
    assert lost_claims(parse_owned(["gpu=a", "ssd=2"]), claims) == {"t1"}
    assert lost_claims((), claims) == {"t1", "t2", "t3"}


def shared(name: str) -> tuple[Claim, ...]:
    return (Claim("gpu", 0, (name,), shared=True),)


def test_nothing_is_shared_of_what_was_promised_whole_until_it_is_known_which_that_is():
    ledger = Ledger(parse_owned(["gpu=a,gpu=b,gpu=c"]))
    ledger.count(shared("a"), 1)
    assert ledger.grants(shared("a"))
    ledger.count([Claim("gpu", 2)], 1)  # promised: two of them, whichever
    assert not ledger.grants(shared("b"))
    assert ledger.grants(shared("a"))  # b and c stay whole
    ledger.count([Claim("gpu", 1)], 1)  # and one more, once whoever has a is gone
    assert not ledger.grants(shared("a"))


def test_what_is_given_by_name_promises_nothing_else():
    ledger = Ledger(parse_owned(["gpu=a,gpu=b"]))
    ledger.count([Claim("gpu", 1, ("a",))], 1)
    assert ledger.grants(shared("b"))
    assert not ledger.grants(shared("a"))
