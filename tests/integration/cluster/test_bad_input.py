"""Whatever is wrong gets one clear error, an exit code that is not 0, and leaves nothing half-done."""

import pytest

from tests.integration.operator import Operator

CREATE = ("service", "create", "-d", "--name", "bad")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*CREATE, "nowhere:1"), "nowhere"),
        ((*CREATE, "UPPER/Case:1"), "UPPER/Case"),
        ((*CREATE, "--constraint", "node.role=manager", "hello:1"), "node.role=manager"),
        ((*CREATE, "--constraint", "nonsense", "hello:1"), "nonsense"),
        ((*CREATE, "--replicas", "-1", "hello:1"), "-1"),
        ((*CREATE, "--label", "big=" + "x" * 100_000, "hello:1"), "label"),
        ((*CREATE, "--limit-memory", "1k", "hello:1"), "memory"),
        ((*CREATE, "--limit-cpu", "lots", "hello:1"), "lots"),
        ((*CREATE, "--publish", "80:http", "hello:1"), "80:http"),
        ((*CREATE, "--publish", "80:80", "--endpoint-mode", "dnsrr", "hello:1"), "mode=host"),
        ((*CREATE, "--publish", "80:80", "--network", "host", "hello:1"), "network host"),
        ((*CREATE, "--mount", "type=bind,src=/a,dst=/b", "--mount", "type=tmpfs,dst=/b", "hello:1"), "/b"),
        ((*CREATE, "--restart-delay", "soon", "hello:1"), "soon"),
        (("service", "create", "-d", "--name", "not a name", "hello:1"), "not a name"),
        (("service", "inspect", "nobody"), "nobody"),
        (("service", "scale", "nobody=3"), "nobody"),
        (("service", "update", "-d", "--replicas", "2", "nobody"), "nobody"),
        (("service", "rm", "nobody"), "nobody"),
        (("node", "inspect", "nobody"), "nobody"),
        (("node", "update", "--availability", "drain", "nobody"), "nobody"),
        (("node", "demote", "nobody"), "nobody"),
        (("service", "logs", "nobody"), "nobody"),
        (("image", "rm", "nobody:1"), "nobody"),
        ((*CREATE, "--network", "nowhere", "hello:1"), "network nowhere"),
        (("network", "create", "--subnet", "10.1.0.5/24", "bad"), "10.1.0.0/24"),
        (("network", "rm", "nobody"), "nobody"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_one_clear_error_and_nothing_done(
    operator: Operator, arguments: tuple[str, ...], expected: str
) -> None:
    before = operator.rows("service", "ls")
    done = operator.typed(*arguments)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 2000
    assert operator.rows("service", "ls") == before


def test_a_ten_megabyte_label_is_refused_with_the_limit(operator: Operator) -> None:
    """Too long for a command line, so it goes through the API as a client would send it."""
    import grpc

    from swarm.api.v1 import control_pb2, control_pb2_grpc

    request = control_pb2.CreateServiceRequest()
    request.spec.annotations.name = "bad"
    request.spec.annotations.labels["big"] = "x" * (10 << 20)
    request.spec.task.container.image = "hello:1"
    socket = operator.cluster.entry().host.removeprefix("unix://")
    options = [("grpc.max_send_message_length", -1), ("grpc.default_authority", "localhost")]
    with (
        grpc.insecure_channel(f"unix:{socket}", options=options) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        control_pb2_grpc.ControlStub(channel).CreateService(request, timeout=60)
    assert refused.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "limit" in refused.value.details() or "larger than max" in refused.value.details()
    assert operator.rows("service", "ls") == []


def test_a_name_that_is_taken_is_refused_and_the_first_one_stays(operator: Operator) -> None:
    first = operator("service", "create", "-d", "--name", "taken", "--replicas", "0", "hello:1")
    again = operator.typed("service", "create", "-d", "--name", "taken", "hello:1")
    assert again.returncode != 0
    assert "taken" in again.stderr
    assert operator("service", "inspect", "-f", "{{.ID}}", "taken") == first
    operator("service", "rm", "taken")


def test_an_update_from_a_stale_version_is_refused(operator: Operator) -> None:
    import grpc

    from swarm.api.v1 import control_pb2, control_pb2_grpc

    operator("service", "create", "-d", "--name", "stale", "--replicas", "0", "hello:1")
    socket = operator.cluster.entry().host.removeprefix("unix://")
    with grpc.insecure_channel(
        f"unix:{socket}", options=[("grpc.default_authority", "localhost")]
    ) as channel:
        stub = control_pb2_grpc.ControlStub(channel)
        service = stub.GetService(control_pb2.GetServiceRequest(ref="stale"), timeout=60).service
        request = control_pb2.UpdateServiceRequest(id=service.id, version=service.meta.version.index)
        request.spec.CopyFrom(service.spec)
        request.spec.annotations.labels["a"] = "1"
        stub.UpdateService(request, timeout=60)
        with pytest.raises(grpc.RpcError, match="out of sequence"):
            stub.UpdateService(request, timeout=60)
    operator("service", "rm", "stale")


def test_several_objects_in_one_command_fail_apart(operator: Operator) -> None:
    operator("service", "create", "-d", "--name", "one", "--replicas", "0", "hello:1")
    done = operator.typed("service", "rm", "nobody", "one")
    assert done.returncode == 1
    assert done.stdout.split() == ["one"]
    assert "nobody" in done.stderr
    assert operator.rows("service", "ls") == []
