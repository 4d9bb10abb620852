"""What people with a scope may call at all is written down here once more; all else is refused."""

import pytest

from swarm.errors import NotPermitted
from swarm.security.authorization import ALLOWED, check_scope

SCOPED = [
    "Control/ApplyChanges",
    "Control/CreateConfig",
    "Control/CreateNetwork",
    "Control/CreateSecret",
    "Control/CreateService",
    "Control/CreateVolume",
    "Control/ExplainTask",
    "Control/GetCA",
    "Control/GetConfig",
    "Control/GetImageHistory",
    "Control/GetNetwork",
    "Control/GetNode",
    "Control/GetMoment",
    "Control/GetSecret",
    "Control/GetService",
    "Control/GetTask",
    "Control/GetUser",
    "Control/GetVolume",
    "Control/ListConfigs",
    "Control/ListImages",
    "Control/ListNetworks",
    "Control/ListNodes",
    "Control/ListRegistryTags",
    "Control/ListRevisions",
    "Control/ListSecrets",
    "Control/ListServices",
    "Control/ListStackRevisions",
    "Control/ListTasks",
    "Control/ListVolumes",
    "Control/LoadImage",
    "Control/PlanChanges",
    "Control/PruneChosenImages",
    "Control/PruneImages",
    "Control/PullImage",
    "Control/PushImage",
    "Control/RebalanceService",
    "Control/RemoveConfig",
    "Control/RemoveImage",
    "Control/RemoveNetwork",
    "Control/RemoveSecret",
    "Control/RemoveService",
    "Control/RemoveVolume",
    "Control/RenewUser",
    "Control/SaveImages",
    "Control/ServiceLogs",
    "Control/SteerUpdate",
    "Control/TagImage",
    "Control/UpdateConfig",
    "Control/UpdateSecret",
    "Control/UpdateService",
    "Control/UpdateVolume",
    "Control/Watch",
    "Containers/View",
    "Containers/Operate",
]


@pytest.mark.parametrize("method", [*ALLOWED, "/swarm.api.v1.Control/OfTomorrow"])
def test_every_rpc_is_for_people_with_a_scope_or_refused(method: str) -> None:
    check_scope(method, ())
    name = method.removeprefix("/swarm.api.v1.")
    if name in SCOPED:
        check_scope(method, ("team=red",))
    else:
        with pytest.raises(NotPermitted, match="is about more than what has team=red"):
            check_scope(method, ("team=red",))


def test_the_list_names_rpcs_that_there_are() -> None:
    assert {f"/swarm.api.v1.{name}" for name in SCOPED} <= set(ALLOWED)
