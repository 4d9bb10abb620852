"""Every RPC has its line in the table, and the lines say what was decided."""

import importlib
import pkgutil

import pytest

import swarm.api.v1
from swarm.errors import NotPermitted
from swarm.security.authorization import ALLOWED, check_allowed
from swarm.security.identity import Role


def all_rpcs() -> set[str]:
    found = set()
    for module in pkgutil.iter_modules(swarm.api.v1.__path__):
        if module.name.endswith("_pb2") and module.name != "csi_pb2":  # served by others, not by us
            descriptor = importlib.import_module(f"swarm.api.v1.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                found |= {f"/{service.full_name}/{method.name}" for method in service.methods}
    return found


def test_the_table_and_the_services_name_the_same_rpcs() -> None:
    assert all_rpcs() == set(ALLOWED)


def may(role: Role) -> set[str]:
    return {method.removeprefix("/swarm.api.v1.") for method in ALLOWED if role in ALLOWED[method]}


def test_a_joiner_may_ask_for_its_certificate_and_nothing_else() -> None:
    assert may(Role.JOIN_WORKER) == may(Role.JOIN_MANAGER) == {"NodeCA/IssueCertificate"}


def test_a_worker_may_do_what_an_agent_does() -> None:
    assert may(Role.WORKER) == {
        "Dispatcher/Session",
        "Dispatcher/Attach",
        "Logs/Publish",
        "Containers/Answer",
        "Images/Resolve",
        "Images/FetchBlob",
        "NodeCA/IssueCertificate",
    }


def test_nobody_may_do_anything_without_certificate() -> None:
    assert may(Role.ANONYMOUS) == set()


def test_the_local_service_is_for_the_socket_only() -> None:
    assert {rpc for rpc in may(Role.MANAGER) if rpc.startswith("Local/")} == set()
    assert {rpc.partition("/")[0] for rpc in may(Role.LOCAL)} == {"Local", "Control", "Containers"}


@pytest.mark.parametrize("role", list(Role))
def test_an_rpc_that_is_not_in_the_table_is_refused(role: Role) -> None:
    with pytest.raises(NotPermitted):
        check_allowed("/swarm.api.v1.Control/Shutdown", role)


def test_a_refusal_names_the_rpc_and_the_role() -> None:
    with pytest.raises(NotPermitted, match="Control/CreateService is not for a worker"):
        check_allowed("/swarm.api.v1.Control/CreateService", Role.WORKER)
