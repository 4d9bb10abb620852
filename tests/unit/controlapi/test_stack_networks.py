"""Networks that belong to stacks."""

import pytest

from swarm.api.v1.specs_pb2 import NetworkSpec
from swarm.errors import FailedPrecondition
from swarm.manager.controlapi.networks import create_network
from swarm.manager.controlapi.services import create_service
from swarm.manager.controlapi.stack_networks import collect_networks, keep_network
from swarm.manager.store.transaction import Transaction
from swarm.model.stacks import NAMESPACE_LABEL
from tests.unit.controlapi.test_networks import a_network, a_transaction, able, in_networks


def of_stack(name: str = "shop_default", stack: str = "shop", **more: object) -> NetworkSpec:
    spec = a_network(name, **more)  # type: ignore[arg-type]
    spec.annotations.labels[NAMESPACE_LABEL] = stack
    return spec


def cluster() -> Transaction:
    return a_transaction(able("overlay"))


def test_it_is_made_once() -> None:
    tx = cluster()
    first, is_new = keep_network(tx, of_stack())
    assert is_new
    assert first.subnets
    assert keep_network(tx, of_stack()) == (first, False)


def test_other_labels_are_taken_over_and_nothing_else_changes() -> None:
    tx = cluster()
    first, _ = keep_network(tx, of_stack())
    spec = of_stack()
    spec.annotations.labels["tier"] = "front"
    kept, is_new = keep_network(tx, spec)
    assert not is_new
    assert (kept.id, list(kept.subnets)) == (first.id, list(first.subnets))
    assert kept.spec.annotations.labels["tier"] == "front"


def test_other_settings_are_refused() -> None:
    tx = cluster()
    keep_network(tx, of_stack())
    with pytest.raises(FailedPrecondition, match=r"networks cannot be changed.*stack rm shop"):
        keep_network(tx, of_stack(internal=True))


def test_a_network_of_somebody_else_is_not_taken() -> None:
    tx = cluster()
    create_network(tx, a_network("shop_default"), "theirs")
    with pytest.raises(FailedPrecondition, match="not of stack shop"):
        keep_network(tx, of_stack())


def test_those_that_nobody_uses_are_collected() -> None:
    tx = cluster()
    for spec in (of_stack("used"), of_stack("free"), of_stack("other", "blog")):
        keep_network(tx, spec)
    create_network(tx, a_network("mine"), "mine")
    create_service(tx, in_networks("used"), "web")
    collect_networks(tx, "shop")
    assert {one.spec.annotations.name for one in tx.networks} == {"used", "other", "mine"}
