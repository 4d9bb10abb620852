"""No secret is ever printed, wherever it stands."""

import json

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.raft_pb2 import MembershipChange
from swarm.api.v1.store_pb2 import SnapshotRecord, StoreEntry
from swarm.debug.redact import HIDDEN, shown

SECRET = "recognisable-secret"
PEM = "-----BEGIN EC PRIVATE KEY-----\nrecognisable-secret\n-----END EC PRIVATE KEY-----"
KINDS = (o.Cluster, o.Node, o.Service, o.Task, o.Image)
# Fields whose names sound like secrets and that are none; whoever adds one decides here.
HARMLESS = {"secret_free"}


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


def test_every_field_that_sounds_like_a_secret_is_hidden() -> None:
    sounding = ("secret", "password", "token", "private", "unlock_key")
    for kind in KINDS:
        for message, field in _texts(kind.DESCRIPTOR, set()):
            if any(word in field.name for word in sounding) and field.name not in HARMLESS:
                made = message._concrete_class()  # type: ignore[attr-defined]
                setattr(made, field.name, SECRET if field.type == field.TYPE_STRING else SECRET.encode())
                assert SECRET not in str(shown(made)), f"{message.full_name}.{field.name}"


def _texts(message: Descriptor, seen: set[str]) -> list[tuple[Descriptor, FieldDescriptor]]:
    if message.full_name in seen:
        return []
    seen.add(message.full_name)
    found = []
    for field in message.fields:
        if field.message_type is not None:
            found += _texts(field.message_type, seen)
        elif field.type in (field.TYPE_STRING, field.TYPE_BYTES) and not field.is_repeated:
            found.append((message, field))
    return found
