"""The rows of `service history`, as pure functions of revisions and the time."""

from collections.abc import Sequence

from swarm.api.v1.objects_pb2 import ServiceRevision
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.cli import names
from swarm.cli.inspect_view import when
from swarm.cli.render import Row, shorten
from swarm.clock import nanoseconds
from swarm.model.spec_changes import changes
from swarm.model.units import format_age

COLUMNS = (
    ("REVISION", "RevisionMark"),
    ("WHEN", "When"),
    ("IMAGE", "Image"),
    ("CHANGED", "Changed"),
    ("STATUS", "Status"),
    ("MESSAGE", "Message"),
)
WIDTH = 60  # of what changed, and of messages
_TELLING = (UpdateStatus.STATE_PAUSED, UpdateStatus.STATE_ROLLBACK_PAUSED, UpdateStatus.STATE_CANARY)


def revision_rows(revisions: Sequence[ServiceRevision], now_ns: int, *, truncate: bool) -> list[Row]:
    """Return one row a revision, newest first; `revisions` are oldest first, the last one is in force."""
    rows: list[Row] = []
    before: ServiceRevision | None = None
    for one in revisions:
        is_present = one is revisions[-1]
        age = format_age(now_ns - nanoseconds(one.created_at))
        changed = _changed(before, one)
        told = one.rolled_back or one.update_status.state in _TELLING
        message = one.update_status.message if told else ""
        rows.append(
            {
                "Revision": str(one.revision),
                "RevisionMark": f"{one.revision} *" if is_present else str(one.revision),
                "Current": str(is_present).lower(),
                "CreatedAt": when(one.created_at),
                "When": f"{age[0].lower()}{age[1:]} ago",
                "Image": one.spec.task.container.image,
                "Changed": shorten(changed, WIDTH) if truncate else changed,
                "Status": status_of(one, is_present=is_present),
                "Message": shorten(message, WIDTH) if truncate else message,
            }
        )
        before = one
    return rows[::-1]


def status_of(one: ServiceRevision, *, is_present: bool) -> str:
    """Return what became of a revision, in a word or two."""
    state = one.update_status.state
    if one.rolled_back:
        return "rolled back"
    if state == UpdateStatus.STATE_NONE:
        return "applied"  # it needed no update: a new service, other replicas, another label
    word = names.word(names.UPDATE_STATE, state).replace("_", " ")
    finished = state in (UpdateStatus.STATE_COMPLETED, UpdateStatus.STATE_ROLLBACK_COMPLETED)
    return word if is_present or finished else f"replaced while {word}"


def _changed(before: ServiceRevision | None, one: ServiceRevision) -> str:
    if one.revision == 1:
        return "created"
    if before is None or not before.HasField("spec") or not one.HasField("spec"):
        return "-"  # not all of it was kept
    return ", ".join(changes(before.spec, one.spec)) or "-"
