from swarm.api.v1.objects_pb2 import ServiceRevision
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.cli.revision_table import revision_rows
from swarm.clock import SECOND, timestamp

NOW_NS = 1_700_000_000 * SECOND


def a_revision(
    number: int, image: str, state: int = UpdateStatus.STATE_COMPLETED, **fields
) -> ServiceRevision:
    made = ServiceRevision(revision=number, created_at=timestamp(NOW_NS - 60 * SECOND * (10 - number)))
    made.spec.task.container.image = image
    if state:
        made.update_status.state = state
        made.update_status.message = fields.pop("message", "")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_the_newest_comes_first_and_the_present_one_is_marked() -> None:
    rows = revision_rows([a_revision(1, "web:1", 0), a_revision(2, "web:2")], NOW_NS, truncate=True)
    assert [(row["RevisionMark"], row["Current"]) for row in rows] == [("2 *", "true"), ("1", "false")]
    assert [row["Changed"] for row in rows] == ["image web:1 → web:2", "created"]
    assert [row["When"] for row in rows] == ["8 minutes ago", "9 minutes ago"]
    assert [row["Status"] for row in rows] == ["completed", "applied"]


def test_what_came_of_a_revision_is_said_with_its_reason() -> None:
    updating, paused = UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_PAUSED
    why = "update rolled back because task t failed: no such image"
    rows = revision_rows(
        [
            a_revision(4, "web:4", updating),
            a_revision(5, "web:5", paused, message="by hand"),
            a_revision(6, "bad", updating, message=why, rolled_back=True),
            a_revision(7, "web:5", UpdateStatus.STATE_ROLLBACK_COMPLETED),
        ],
        NOW_NS,
        truncate=False,
    )
    assert [row["Status"] for row in rows] == [
        "rollback completed",
        "rolled back",
        "replaced while paused",
        "replaced while updating",
    ]
    assert [row["Message"] for row in rows] == ["", why, "by hand", ""]
    assert rows[-1]["Changed"] == "-", "what came before is not kept"
