"""What is written down of calls: who, what, how it ended; never what is secret in them."""

import asyncio
import contextlib

import grpc
import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput, ContainerRequest
from swarm.api.v1.users_pb2 import AuditRecord
from swarm.errors import FailedPrecondition, NotPermitted
from swarm.model.limits import AUDIT_TEXT_CHARACTERS
from swarm.security.audit import AuditedCall, identify_call, object_of, passing_call_on, shown_peer
from swarm.security.authorization import ALLOWED, is_changing


def test_requests_say_what_they_are_about_and_no_content():
    create = c.CreateSecretRequest()
    create.spec.annotations.name = "password"
    create.spec.secret_data = b"hunter2"
    assert object_of(create) == "password"
    assert object_of(c.RemoveServiceRequest(ref="web")) == "web"
    update = c.UpdateServiceRequest(id="abc")
    update.spec.annotations.name = "web"
    update.spec.task.container.env.append("TOKEN=hunter2")
    assert object_of(update) == "web"
    assert object_of(c.RotateCARequest(ca_key_pem=b"hunter2")) == ""
    assert object_of(c.UnlockRequest(unlock_key="hunter2")) == ""


def test_several_changes_are_named_up_to_a_number():
    request = c.ApplyChangesRequest()
    for number in range(20):
        request.changes.add().remove_service.ref = f"s{number}"
    assert object_of(request).startswith("remove service s0, remove service s1")
    assert object_of(request).endswith("s7, …")


def test_a_command_in_a_container_is_named_without_its_words():
    message = ContainerInput()
    message.question.request.container_id = "t1"
    message.question.request.exec.command.extend(["sh", "-c", "echo hunter2"])
    assert object_of(message) == "exec, t1"


def test_what_changes_or_tells_a_secret_is_written_down():
    changing = {one.removeprefix("/swarm.api.v1.") for one in ALLOWED if is_changing(one)}
    assert {
        "Control/CreateService",
        "Control/GetJoinTokens",
        "Containers/Operate",
        "Local/Leave",
    } <= changing
    assert {"Control/CreateUser", "Control/RenewUser", "Control/CreateBackup"} <= changing
    looking = ("Get", "List", "Explain", "Watch", "Plan", "ServiceLogs", "View")
    telling = {"Control/GetJoinTokens", "Control/GetUnlockKey"}
    assert not {one for one in changing - telling if one.partition("/")[2].startswith(looking)}
    assert not {one for one in changing if one.startswith(("Raft/", "Dispatcher/", "Leader/", "NodeCA/"))}


class Context:
    def __init__(self, peer="ipv4:10.0.0.7:4711", **metadata):
        self._peer, self._metadata = (
            peer,
            tuple((key.replace("_", "-"), value) for key, value in metadata.items()),
        )

    def peer(self):
        return self._peer

    def invocation_metadata(self):
        return self._metadata


def test_who_passed_a_call_on_says_which_and_others_do_not():
    context = Context(swarm_call="c1", swarm_call_peer="192.0.2.1:1")
    assert identify_call(context, passed_on=True) == ("c1", "192.0.2.1:1")
    made_up, peer = identify_call(context, passed_on=False)
    assert (made_up != "c1", peer) == (True, "10.0.0.7:4711")
    assert shown_peer("unix:") == "socket"
    assert shown_peer("ipv6:%5B::1%5D:80") == "[::1]:80"


def fail(error):
    if error is not None:
        raise error


def followed(error, *, changing=True):
    notes = []
    call = AuditedCall(AuditRecord(id="c1", rpc="Control/X"), notes.append, changing=changing)
    raised = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with raised, call.followed():
        assert passing_call_on()[0] == ("swarm-call", "c1")
        fail(error)
    return [(one.outcome, one.reason) for one in notes]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ("done", "")),
        (NotPermitted("no"), ("denied", "no")),
        (FailedPrecondition("it is full"), ("failed", "it is full")),
        (ValueError("with a secret"), ("failed", "ValueError, see the log of this manager")),
        (grpc.aio.AbortError(), ("failed", "it was ended")),
        (asyncio.CancelledError(), ("failed", "the caller left before it was over, or the manager stopped")),
    ],
)
def test_every_end_of_a_call_is_written_down(error, told):
    assert followed(error) == [told]
    assert passing_call_on() == ()


def test_of_a_call_that_looks_only_a_denial_is_written_down():
    assert followed(None, changing=False) == []
    assert followed(FailedPrecondition("x"), changing=False) == []
    assert followed(NotPermitted("no"), changing=False) == [("denied", "no")]


def test_reasons_are_cut():
    ((_, reason),) = followed(NotPermitted("x" * 5000))
    assert len(reason) == AUDIT_TEXT_CHARACTERS.value


async def test_a_stream_is_written_down_when_it_begins():
    notes = []
    call = AuditedCall(AuditRecord(id="c1"), notes.append, changing=True)

    async def messages():
        message = ContainerInput()
        message.question.request.container_id = "t1"
        yield message
        yield ContainerInput(end=True)

    assert len([one async for one in call.begin_with_first(messages())]) == 2
    assert [(one.outcome, one.object) for one in notes] == [("begun", "t1")]


def test_whatever_is_asked_of_a_container_and_answered_can_be_written_down():
    for verb in ContainerRequest.DESCRIPTOR.oneofs_by_name["verb"].fields:
        message = ContainerInput()
        wanted = getattr(message.question.request, verb.name)
        wanted.SetInParent()
        for field in wanted.DESCRIPTOR.fields:
            if field.is_repeated and field.cpp_type == field.CPPTYPE_STRING:
                getattr(wanted, field.name).append("x")
        assert object_of(message).startswith(verb.name)
    assert object_of(ContainerOutput(call_id="c1")) == ""
