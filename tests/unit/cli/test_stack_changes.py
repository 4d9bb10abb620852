"""From the services that are there to those that a file wants."""

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec, ServiceSpec
from swarm.cli.stack_changes import removals, steps
from swarm.compose.services import Stack
from swarm.model.stacks import IMAGE_LABEL


def a_spec(name: str, image: str = "web:1") -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.annotations.labels[IMAGE_LABEL] = image
    spec.task.container.image = image
    return spec


def a_service(name: str, image: str = "web:1", digest: str = "sha256:1") -> Service:
    service = Service(id=f"id-{name}", spec=a_spec(name, image))
    service.meta.version.index = 7
    service.spec.task.container.image_digest = digest
    service.spec.task.force_update = 3
    return service


def changes(wanted: list[ServiceSpec], there: list[Service], **more) -> list:
    return steps(Stack("shop", services=wanted), there, **more)


def told(found) -> list[tuple[str, str]]:
    return [(step.verb, step.name) for step in found if step.verb]


def test_new_ones_are_created_known_ones_updated_and_the_rest_stays_unless_pruned() -> None:
    there = [a_service("old"), a_service("web")]
    wanted = [a_spec("web"), a_spec("db")]
    kept = [("Updating", "web"), ("Creating", "db")]
    assert told(changes(wanted, there, prune=False, resolve="always")) == kept
    assert told(changes(wanted, there, prune=True, resolve="always")) == [*kept, ("Removing", "old")]


def test_an_update_states_the_version_it_read_and_keeps_the_count_of_forced_updates() -> None:
    step, *_ = changes([a_spec("web")], [a_service("web")], prune=False, resolve="always")
    update = step.change.update_service
    assert (update.id, update.version, update.spec.task.force_update) == ("id-web", 7, 3)
    assert not update.skip_image_resolution


@pytest.mark.parametrize(
    ("resolve", "image", "skipped", "digest"),
    [
        ("always", "web:1", False, ""),
        ("always", "web:2", False, ""),
        ("changed", "web:1", True, "sha256:1"),
        ("changed", "web:2", False, ""),
        ("never", "web:1", True, "sha256:1"),
        ("never", "web:2", True, ""),
    ],
)
def test_registries_are_asked_as_often_as_wished(
    resolve: str, image: str, skipped: bool, digest: str
) -> None:
    step, *_ = changes([a_spec("web", image)], [a_service("web")], prune=False, resolve=resolve)
    update = step.change.update_service
    assert update.skip_image_resolution is skipped
    assert update.spec.task.container.image_digest == digest


def test_a_stack_is_removed_service_by_service_in_one_go() -> None:
    found = removals("shop", [a_service("web"), a_service("db")])
    assert told(found) == [("Removing", "db"), ("Removing", "web")]
    assert found[0].change.remove_service.ref == "id-db"


def test_secrets_and_configs_come_before_the_services_and_what_is_left_over_goes_last() -> None:
    stack = Stack("shop", [a_spec("web")], [SecretSpec(secret_data=b"s")], [ConfigSpec(data=b"c")])
    kinds = [one.change.WhichOneof("change") for one in steps(stack, [], prune=False, resolve="always")]
    assert kinds == ["keep_secret", "keep_config", "create_service", "record_deploy", "collect_data"]
    assert removals("shop", [])[-1].change.collect_data.stack == "shop"
