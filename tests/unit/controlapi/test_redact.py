"""What people may see, field by field: a new field has to be called public or secret here."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from swarm.api.v1.objects_pb2 import Cluster, Config, Secret, Service, Task
from swarm.manager.controlapi.redact import (
    shown_cluster,
    shown_config,
    shown_secret,
    shown_service,
    shown_task,
)

SECRET_OF_CLUSTER = {
    "unlock_key",
    "overlay_key.secret",
    "root_ca.key_pem",
    "root_ca.worker_secret",
    "root_ca.manager_secret",
    "root_ca.rotation.key_pem",
    "acme.account_key_pem",
}
PUBLIC_OF_CLUSTER = {
    "id",
    "root_ca.cert_pem",
    "root_ca.rotation.cert_pem",
    "root_ca.rotation.cross_signed_pem",
    "root_ca.rotation.abandoned_pems",
    "removed_nodes.key",
    "acme.directory",
    "acme.email",
    "acme.account_url",
    "acme.certificates.key",
    "acme.trouble.problem",
}
SECRET_OF_CONTAINER = {"registry_auth.password", "registry_auth.identity_token"}
TEXT = {FieldDescriptor.TYPE_STRING: "marked", FieldDescriptor.TYPE_BYTES: b"marked"}


def fill(message: Any) -> None:
    """Put a text into every field that can hold one, at any depth."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            item = field.message_type.fields_by_name["value"]
            if item.message_type is not None:
                fill(value["marked"])
            elif item.type in TEXT:
                value["marked"] = TEXT[item.type]
        elif field.message_type is not None:
            fill(value.add() if field.is_repeated else value)
            if not field.is_repeated:
                value.SetInParent()
        elif field.type in TEXT:
            if field.is_repeated:
                value.append(TEXT[field.type])
            elif field.containing_oneof is None or not message.WhichOneof(field.containing_oneof.name):
                setattr(message, field.name, TEXT[field.type])


def texts(message: Any, prefix: str = "") -> Iterator[str]:
    """The fields that hold a text, as paths."""
    for field, value in message.ListFields():
        path = prefix + field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield f"{path}.key"
        elif field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                yield from texts(one, f"{path}.")
        elif field.type in TEXT:
            yield path


def test_every_text_in_a_cluster_outside_its_spec_is_called_secret_or_public():
    cluster = Cluster()
    fill(cluster)
    known = {path for path in texts(cluster) if not path.startswith("spec.")}
    assert known == SECRET_OF_CLUSTER | PUBLIC_OF_CLUSTER
    seen = {path for path in texts(shown_cluster(cluster)) if not path.startswith("spec.")}
    assert seen == PUBLIC_OF_CLUSTER


def test_a_service_and_a_task_lose_their_passwords_and_nothing_else():
    service, task = Service(), Task()
    for obj in (service, task):
        fill(obj)
    specs = ("spec.task.container.", "previous_spec.task.container.")
    lost = set(texts(service)) - set(texts(shown_service(service)))
    # Revisions are not shown as part of a service, and have no passwords where they are.
    lost = {path for path in lost if not path.startswith("revisions.")}
    assert lost == {spec + secret for spec in specs for secret in SECRET_OF_CONTAINER}
    lost = set(texts(task)) - set(texts(shown_task(task)))
    assert lost == {f"spec.container.{secret}" for secret in SECRET_OF_CONTAINER}


def test_nothing_called_a_secret_is_shown_of_a_spec():
    for obj, shown in (
        (Cluster(), shown_cluster),
        (Service(), shown_service),
        (Task(), shown_task),
        (Secret(), shown_secret),
    ):
        fill(obj)
        for path in texts(shown(obj)):
            name = path.rpartition(".")[2]
            # Which one it is, and nothing of what is in it.
            if name.removeprefix("tls_") in {"secret_id", "secret_name"}:
                continue
            assert not any(word in name for word in ("password", "secret", "private", "identity_token")), (
                path
            )


def test_a_secret_loses_its_data_and_a_config_does_in_lists_and_nothing_else():
    for obj, shown, data in (
        (Secret(), shown_secret, "spec.secret_data"),
        (Config(), shown_config, "spec.data"),
    ):
        fill(obj)
        assert set(texts(obj)) - set(texts(shown(obj))) == {data}
