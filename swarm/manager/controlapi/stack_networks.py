"""Networks of stacks: made with the services that need them, removed with the last of them."""

from swarm.api.v1.objects_pb2 import Network
from swarm.api.v1.specs_pb2 import NetworkSpec
from swarm.errors import FailedPrecondition
from swarm.ids import new_id
from swarm.manager.controlapi.networks import create_network, users_of
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.stacks import NAMESPACE_LABEL


def keep_network(transaction: Transaction, spec: NetworkSpec) -> tuple[Network, bool]:
    """Find, or make, the network of a stack with a valid `spec`; return it, and whether it was made.

    Other labels are given to the one that is there. Raises FailedPrecondition when it is not the stack's, or
    differs in what cannot be changed.
    """
    name, stack = spec.annotations.name, spec.annotations.labels[NAMESPACE_LABEL]
    there = transaction.networks.by_name(name)
    if there is None:
        return create_network(transaction, spec, new_id()), True
    if there.spec.annotations.labels.get(NAMESPACE_LABEL) != stack:
        raise FailedPrecondition(
            f"there is a network {name} that is not of stack {stack}: say in the Compose file that it is "
            "external, or give this one another name"
        )
    if _settings(there.spec) != _settings(spec):
        raise FailedPrecondition(
            f"network {name} has other settings than the Compose file says, and networks cannot be changed: "
            f"remove the stack first (swarmctl stack rm {stack}), or give the network another name"
        )
    if there.spec == spec:
        return there, False
    relabelled = copy_of(there)
    relabelled.spec.CopyFrom(spec)
    return transaction.update(relabelled), False


def collect_networks(transaction: Transaction, stack: str) -> list[str]:
    """Remove networks of a stack that no service uses, also not to go back, and no container is in.

    Return their names.
    """
    removed: list[str] = []
    for network in tuple(transaction.networks):
        mine = network.spec.annotations.labels.get(NAMESPACE_LABEL) == stack
        inside = mine and transaction.attachments.indexed("network", network.id)
        if mine and not inside and next(users_of(transaction, network.id), None) is None:
            transaction.remove(network)
            removed.append(network.spec.annotations.name)
    return removed


def _settings(spec: NetworkSpec) -> NetworkSpec:
    settings = NetworkSpec()
    settings.CopyFrom(spec)
    settings.ClearField("annotations")
    return settings
