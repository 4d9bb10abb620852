"""No secret is ever printed, wherever it stands."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.raft_pb2 import MembershipChange, RaftLogBase, RaftSnapshotHeader
from swarm.api.v1.store_pb2 import SnapshotRecord, StoreEntry
from swarm.api.v1.users_pb2 import User
from swarm.debug.redact import HIDDEN, shown

SECRET = "recognisable-secret"
PEM = "-----BEGIN EC PRIVATE KEY-----\nrecognisable-secret\n-----END EC PRIVATE KEY-----"
PACKAGE = "swarm.api.v1."
TEXT = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
# All that stands in logs and snapshots is in one of these.
ROOTS = (
    *(o.Cluster, o.Node, o.Service, o.Task, o.Image, o.Secret, o.Config, o.Stack, User),
    *(StoreEntry, SnapshotRecord, RaftLogBase, RaftSnapshotHeader, MembershipChange),
)
# Whoever adds a field that sounds like a secret says here, or among the harmless ones, what it is.
SECRETS = {
    "Cluster.unlock_key",
    "AcmeOrder.key_pem",
    "AcmeState.account_key_pem",
    "OverlayKey.secret",
    "RootCA.key_pem",
    "RootCA.worker_secret",
    "RootCA.manager_secret",
    "RootRotation.key_pem",
    "RegistryAuth.password",
    "RegistryAuth.identity_token",
    "SecretSpec.secret_data",
}
SUSPICIOUS = ("secret", "pass", "token", "key", "cred", "private", "seed", "auth")
HARMLESS = {"SecretReference.secret_id", "SecretReference.secret_name"}
HARMLESS |= {"NodeDescription.tunnel_key"}  # a public one
HARMLESS |= {f"{kind}.tls_secret_{what}" for kind in ("HttpRoute", "HttpIngress") for what in ("id", "name")}
HARMLESS |= {"AcmeCertificate.secret_id"}
HARMLESS |= {f"VolumeSpec.Secret.{name}" for name in ("key", "secret_id", "secret_name")}


def test_keys_tokens_and_passwords_are_hidden_and_the_rest_is_shown() -> None:
    cluster = o.Cluster(id="c1", unlock_key=SECRET)
    cluster.root_ca.key_pem = PEM.encode()
    cluster.root_ca.cert_pem = b"-----BEGIN CERTIFICATE-----\nplain"
    cluster.root_ca.worker_secret = cluster.root_ca.manager_secret = SECRET
    text = json.dumps(shown(cluster))
    assert SECRET not in text
    assert "c1" in text
    assert shown(cluster)["root_ca"]["worker_secret"] == HIDDEN
    assert cluster.unlock_key == SECRET  # the object itself is not touched


def test_registry_passwords_are_hidden_also_in_the_spec_before() -> None:
    service = o.Service(id="s1")
    for spec in (service.spec, service.previous_spec):
        auth = spec.task.container.registry_auth
        auth.username, auth.password, auth.identity_token = "carol", SECRET, SECRET
    text = json.dumps(shown(service))
    assert SECRET not in text
    assert text.count("carol") == 2


def test_variables_are_hidden_when_their_name_says_so() -> None:
    task = o.Task(id="t1")
    task.spec.container.env.extend(
        [f"MYSQL_ROOT_PASSWORD={SECRET}", f"api_token={SECRET}", "MODE=fast", "X"]
    )
    found = shown(task)["spec"]["container"]["env"]
    assert found == [f"MYSQL_ROOT_PASSWORD={HIDDEN}", f"api_token={HIDDEN}", "MODE=fast", "X"]


@pytest.mark.parametrize("text", [PEM, f"SWMTKN-1-{'a' * 50}-{'b' * 25}", f"key SWMKEY-1-{'c' * 56}!"])
def test_texts_that_look_like_secrets_are_hidden_in_any_field(text: str) -> None:
    service = o.Service(id="s1")
    service.spec.annotations.labels["note"] = text
    service.spec.task.container.args.append(text)
    found = json.dumps(shown(service))
    assert not any(part in found for part in ("recognisable", "aaaa", "bbbb", "cccc"))


def test_what_is_nested_in_entries_of_the_log_is_hidden_too() -> None:
    entry = StoreEntry()
    action = entry.transactions.add().actions.add()
    action.object.cluster.root_ca.worker_secret = SECRET
    record = SnapshotRecord()
    record.object.cluster.root_ca.manager_secret = SECRET
    assert SECRET not in json.dumps([shown(entry), shown(record), shown(MembershipChange())])


def test_of_all_fields_that_can_be_on_disk_exactly_the_secrets_are_hidden() -> None:
    hidden = {field.full_name.removeprefix(PACKAGE) for field in _all_texts() if not _is_shown(field)}
    assert hidden == SECRETS
    sounding = {
        field.full_name.removeprefix(PACKAGE)
        for field in _all_texts()
        if any(word in field.name for word in SUSPICIOUS)
        and not field.containing_type.GetOptions().map_entry
    }
    assert sounding - HARMLESS == SECRETS


def test_every_secret_is_hidden_on_every_way_that_leads_to_it() -> None:
    ways = [(root, way) for root in ROOTS for way in _ways(root.DESCRIPTOR, ())]
    assert {way[-1].full_name.removeprefix(PACKAGE) for _, way in ways} == SECRETS
    assert any(len(way) > 6 for _, way in ways)  # e.g. the password in a service in an entry
    for root, way in ways:
        planted = root()
        _plant(planted, way)
        assert SECRET in str(planted)
        said = json.dumps(shown(planted))
        assert SECRET not in said, [field.name for field in way]
        assert b64encode(SECRET.encode()).decode() not in said, [field.name for field in way]


def _all_texts() -> list[FieldDescriptor]:
    seen: dict[str, Descriptor] = {}
    waiting = [root.DESCRIPTOR for root in ROOTS]
    while waiting:
        message = waiting.pop()
        if message.full_name not in seen:
            seen[message.full_name] = message
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return [field for message in seen.values() for field in message.fields if field.type in TEXT]


def _is_shown(field: FieldDescriptor) -> bool:
    message = field.containing_type._concrete_class()  # type: ignore[attr-defined]
    _put(message, field)
    said = json.dumps(shown(message))
    return SECRET in said or b64encode(SECRET.encode()).decode() in said


def _put(message: Any, field: FieldDescriptor) -> None:
    value = SECRET if field.type == FieldDescriptor.TYPE_STRING else SECRET.encode()
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _ways(message: Descriptor, before: tuple[FieldDescriptor, ...]) -> Iterator[tuple[FieldDescriptor, ...]]:
    for field in message.fields:
        if field.full_name.removeprefix(PACKAGE) in SECRETS:
            yield (*before, field)
        elif field.message_type is not None and field not in before:
            yield from _ways(field.message_type, (*before, field))


def _plant(message: Any, way: tuple[FieldDescriptor, ...]) -> None:
    """Put the secret at the end of the way; every list and map on it gets one element."""
    field, *rest = way
    if not rest:
        _put(message, field)
    elif field.message_type.GetOptions().map_entry:
        _plant(getattr(message, field.name)["some"], tuple(rest[1:]))
    elif field.is_repeated:
        _plant(getattr(message, field.name).add(), tuple(rest))
    else:
        _plant(getattr(message, field.name), tuple(rest))
