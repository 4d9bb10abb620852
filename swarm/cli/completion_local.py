"""Names that are known on this machine, for completion: nobody is asked for them."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from swarm.errors import SwarmError


def _contexts() -> Iterable[str]:
    from swarm.cli.contexts import ContextStore, default_root

    return ContextStore(default_root(os.environ)).names()


def _machines() -> Iterable[str]:
    from swarm.machine.store import MachineStore, default_root

    return MachineStore(default_root()).names()


def _clusters() -> Iterable[str]:
    from swarm.machine.store import MachineStore, default_root

    store = MachineStore(default_root())
    for name in store.names():
        with suppress(SwarmError):
            yield store.load(name).cluster


def _machine_drivers() -> Iterable[str]:
    from swarm.machine.drivers.base import names

    return names()


def _registries() -> Iterable[str]:
    from swarm.cli.docker_config import DockerConfig
    from swarm.cli.docker_settings import config_path

    return DockerConfig(config_path()).registries()


def _dev_clusters() -> Iterable[str]:
    from swarm.dev import state
    from swarm.dev.cluster import own_folders

    return state.names(own_folders())


def _dev_nodes() -> Iterable[str]:
    from swarm.dev import state
    from swarm.dev.cluster import own_folders

    folders = own_folders()
    plans = [state.load(folders, name) for name in state.names(folders)]
    return [node.name for plan in plans if plan is not None for node in plan.nodes]


def _network_drivers() -> Iterable[str]:
    from swarm.model.networks import DRIVERS

    return DRIVERS


def _log_drivers() -> Iterable[str]:
    from swarm.cli.log_options import DRIVERS

    return DRIVERS


# What a name is of -> those that there are; they may raise SwarmErrors.
LISTS: Mapping[str, Callable[[], Iterable[str]]] = {
    "CLUSTER": _clusters,
    "CONTEXT": _contexts,
    "DEV": _dev_clusters,
    "DEV NODE": _dev_nodes,
    "LOG DRIVER": _log_drivers,
    "MACHINE": _machines,
    "MACHINE DRIVER": _machine_drivers,
    "NETWORK DRIVER": _network_drivers,
    "REGISTRY": _registries,
    "SECRET DRIVER": lambda: ["vault"],
}
