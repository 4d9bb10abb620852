"""What a plain container may be."""

from collections.abc import Callable

import pytest

from swarm.api.v1.plain_pb2 import PlainRestart, PlainSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.plain import validate_plain


def a_spec(name: str = "db") -> PlainSpec:
    spec = PlainSpec(name=name)
    spec.container.image = "web:1"
    return spec


def test_names_are_what_docker_takes() -> None:
    for name in ("db", "my_db-1.old", "n" * limits.PLAIN_NAME_CHARACTERS.value):
        validate_plain(a_spec(name))
    for name in ("", "-db", "a b", "a/b", "ä", "../x"):
        with pytest.raises(InvalidArgument, match="the name"):
            validate_plain(a_spec(name))
    with pytest.raises(InvalidArgument, match=r"\(PLAIN_NAME_CHARACTERS\)"):
        validate_plain(a_spec("n" * (limits.PLAIN_NAME_CHARACTERS.value + 1)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: setattr(spec.container, "image", ""), "image"),
        (lambda spec: setattr(spec, "mac_address", "01:00:5e:00:00:01"), "is one of groups"),
        (
            lambda spec: (setattr(spec, "network", "host"), setattr(spec, "mac_address", "02:42:0:0:0:1")),
            "--network host has no interface",
        ),
        (lambda spec: spec.networks.add(network_name="shop", mac_address="no"), 'network shop: "no" is not'),
        (lambda spec: spec.container.secrets.add(secret_name="s"), "secrets and configs"),
        (lambda spec: spec.container.configs.add(config_name="s"), "secrets and configs"),
        (
            lambda spec: spec.container.mounts.add(type=Mount.TYPE_CLUSTER, source="db", target="/db"),
            "cluster volumes",
        ),
        (lambda spec: spec.container.device_requests.add(kind="nvidia.com/gpu", count=1), "devices"),
        (lambda spec: setattr(spec, "network", "backend"), "--network backend"),
        (lambda spec: setattr(spec.resources.limits, "memory_bytes", 1), "memory limit"),
        (lambda spec: spec.ports.add(target_port=0), "port"),
        (lambda spec: setattr(spec.restart, "max_retries", 3), "retries"),
        (lambda spec: setattr(spec.restart, "condition", 9), "restart policy"),
    ],
)
def test_what_cannot_be_is_refused_by_a_reason(change: Callable[[PlainSpec], object], reason: str) -> None:
    spec = a_spec()
    change(spec)
    with pytest.raises(InvalidArgument, match=reason):
        validate_plain(spec)


def test_options_that_contradict_each_other() -> None:
    spec = a_spec()
    spec.auto_remove, spec.restart.condition = True, PlainRestart.CONDITION_ALWAYS
    with pytest.raises(InvalidArgument, match="--rm"):
        validate_plain(spec)
    spec = a_spec()
    spec.network = "host"
    spec.ports.add(target_port=80)
    with pytest.raises(InvalidArgument, match="publish none"):
        validate_plain(spec)
