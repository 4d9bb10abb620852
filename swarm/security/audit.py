"""What is written down of a call: who, from where, which object, how it ended. Never what else was in it."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message

from swarm.api.v1.users_pb2 import AuditRecord
from swarm.errors import NotPermitted, SwarmError, Unauthenticated, UserError
from swarm.ids import new_id
from swarm.model.limits import AUDIT_TEXT_CHARACTERS
from swarm.security.identity import Identity

log = structlog.get_logger(__name__)

Note = Callable[[AuditRecord], None]

DONE, DENIED, FAILED, BEGUN = "done", "denied", "failed", "begun"
OUTCOMES = (DONE, DENIED, FAILED, BEGUN)

# A manager that passes a call on says so: the records of both are then known to be of one call.
CALL_KEY = "swarm-call"
PEER_KEY = "swarm-call-peer"

# Fields that name the object of a request, and those with a message in which to look for it.
_NAMES = ("ref", "id", "name", "container_id", "image", "stack", "reference", "target", "node_id", "addr")
_INSIDE = ("question", "request", "header", "selector")
_OBJECTS_SHOWN = 8

_call: ContextVar[tuple[str, str] | None] = ContextVar("swarm_call", default=None)


def passing_call_on() -> tuple[tuple[str, str], ...]:
    """Return the metadata with which the call being served says, at another manager, which call it is."""
    found = _call.get()
    return () if found is None else ((CALL_KEY, found[0]), (PEER_KEY, found[1]))


def record_of(rpc: str, who: Identity | None, call_id: str, peer: str, request: Any) -> AuditRecord:
    """Return the record of a call of `who`, without its outcome; `request` is its (first) message."""
    return AuditRecord(
        id=call_id,
        user=who.user if who is not None else "",
        role=who.role.value.removeprefix("swarm-") if who is not None else "",
        node_id=who.node_id if who is not None else "",
        peer=peer,
        rpc=rpc,
        object=_cut(object_of(request)) if isinstance(request, Message) else "",
    )


def identify_call(context: Any, *, passed_on: bool) -> tuple[str, str]:
    """Return the id of the call being served and where it came from, as people read it.

    What metadata says of them counts only when a manager passed the call on.
    """
    said = {key: str(value) for key, value in context.invocation_metadata() or ()} if passed_on else {}
    peer = said.get(PEER_KEY, "") or shown_peer(context.peer())
    return said.get(CALL_KEY, "")[:64] or new_id(), _cut(peer)


def shown_peer(peer: str) -> str:
    """Return where a call came from, e.g. `10.0.0.7:40312`; a Unix socket has no more to say."""
    kind, _, rest = peer.partition(":")
    return "socket" if kind == "unix" else rest.replace("%5B", "[").replace("%5D", "]")


def object_of(request: Message) -> str:
    """Return what a request is about, by name or id as it was given; empty when it names nothing."""
    return ", ".join(_several(list(dict.fromkeys(_objects(request)))))


def _several(found: list[str]) -> Iterable[str]:
    return found if len(found) <= _OBJECTS_SHOWN else [*found[:_OBJECTS_SHOWN], "…"]


def _objects(request: Message) -> Iterator[str]:
    fields = request.DESCRIPTOR.fields_by_name
    if "changes" in fields:
        for change in getattr(request, "changes"):  # noqa: B009 - of several kinds of requests
            kind = change.WhichOneof("change")
            if kind:
                yield f"{kind.replace('_', ' ')} {object_of(getattr(change, kind))}".strip()
        return
    verb = request.WhichOneof("verb") if "verb" in request.DESCRIPTOR.oneofs_by_name else None
    if verb:
        yield verb
        yield from _objects(getattr(request, verb))
    for name in ("spec", "annotations"):  # names say more than the ids beside them
        if name in fields and fields[name].message_type is not None and request.HasField(name):
            found = list(_objects(getattr(request, name)))
            if found:
                yield from found
                return
    for name in _NAMES:
        value = getattr(request, name) if name in fields else ""
        if isinstance(value, str) and value:
            yield value
            return
    for name in _INSIDE:
        if name in fields and fields[name].message_type is not None and request.HasField(name):
            yield from _objects(getattr(request, name))


def _cut(text: str) -> str:
    most = AUDIT_TEXT_CHARACTERS.value
    return text if len(text) <= most else f"{text[: most - 1]}…"


def ended(record: AuditRecord, outcome: str, reason: str = "") -> AuditRecord:
    """Return a record with how its call ended."""
    told = AuditRecord()
    told.CopyFrom(record)
    told.outcome, told.reason = outcome, _cut(reason)
    return told


class AuditedCall:
    """One call, on its way to its outcome."""

    def __init__(self, record: AuditRecord, note: Note, *, changing: bool) -> None:
        """Of a call that is not `changing` only a denial is written down."""
        self._record = record
        self._note = note
        self._changing = changing

    def end(self, outcome: str, reason: str = "") -> None:
        """Write down how far it is."""
        if self._changing or outcome == DENIED:
            told = ended(self._record, outcome, reason)
            log.info("audit.call", **{field.name: value for field, value in told.ListFields()})
            self._note(told)

    async def begin_with_first(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pass on the messages of a stream; the first one says what it is about."""
        is_first = True
        async for request in requests:
            if is_first and isinstance(request, Message):
                self._record.object = _cut(object_of(request))
                self.end(BEGUN)
            is_first = False
            yield request

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Write down how what is done within the block ends; raises what it raises."""
        token = _call.set((self._record.id, self._record.peer))
        try:
            yield
        except (NotPermitted, Unauthenticated) as error:
            self.end(DENIED, str(error))
            raise
        except SwarmError as error:
            self.end(FAILED, str(error))
            raise
        except grpc.aio.AbortError:
            self.end(FAILED, "it was ended")
            raise
        except Exception as error:
            self.end(FAILED, f"{type(error).__name__}, see the log of this manager")
            raise
        except BaseException:
            self.end(FAILED, "the caller left before it was over, or the manager stopped")
            raise
        else:
            self.end(DONE)
        finally:
            with contextlib.suppress(ValueError):  # ended by another task than began it
                _call.reset(token)


def claimed(identify: Callable[[], Identity]) -> Identity | None:
    """Return who a refused caller says to be, by a certificate of the cluster; None without one."""
    try:
        return identify()
    except UserError:
        return None
