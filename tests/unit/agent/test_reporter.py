"""The latest status of every task, until it is acknowledged."""

from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.reporter import REPORT_UPDATES, UNANSWERED_S, Reporter
from swarm.api.v1.dispatcher_pb2 import StatusReport
from swarm.api.v1.types_pb2 import TaskStatus


def a_status(text: str) -> TaskStatus:
    return TaskStatus(message=text)


def said(report: StatusReport | None) -> dict[str, str]:
    assert report is not None
    return {update.task_id: update.status.message for update in report.updates}


def test_while_a_report_is_under_way_news_is_gathered_and_the_newest_wins() -> None:
    reporter = Reporter()
    reporter.changed("a", a_status("1"))
    assert said(reporter.take(0.0)) == {"a": "1"}
    reporter.changed("a", a_status("2"))
    reporter.changed("a", a_status("3"))
    reporter.changed("b", a_status("1"))
    assert reporter.take(0.0) is None
    assert reporter.acknowledged(1)
    assert said(reporter.take(0.0)) == {"a": "3", "b": "1"}
    assert not reporter.acknowledged(2)
    assert reporter.take(0.0) is None


def test_a_new_session_hears_everything_again_and_counts_from_one() -> None:
    reporter = Reporter()
    reporter.changed("a", a_status("1"))
    reporter.take(0.0)
    reporter.session_opened({"a": a_status("1"), "b": a_status("2")})
    report = reporter.take(0.0)
    assert said(report) == {"a": "1", "b": "2"}
    assert report is not None
    assert report.sequence == 1


def test_an_unanswered_report_is_sent_again_with_what_is_newer() -> None:
    reporter = Reporter()
    reporter.changed("a", a_status("1"))
    reporter.changed("b", a_status("1"))
    reporter.take(0.0)
    reporter.changed("a", a_status("2"))
    assert reporter.take(UNANSWERED_S - 1) is None
    assert said(reporter.take(UNANSWERED_S)) == {"a": "2", "b": "1"}


def test_an_old_acknowledgement_does_not_count_for_a_later_report() -> None:
    reporter = Reporter()
    reporter.changed("a", a_status("1"))
    reporter.take(0.0)
    reporter.acknowledged(1)
    reporter.changed("a", a_status("2"))
    reporter.take(0.0)
    reporter.acknowledged(1)
    reporter.acknowledged(0)
    assert said(reporter.take(UNANSWERED_S)) == {"a": "2"}


def test_a_forgotten_task_is_not_reported() -> None:
    reporter = Reporter()
    reporter.changed("a", a_status("1"))
    reporter.forget("a")
    assert reporter.take(0.0) is None


def test_many_statuses_are_reported_in_pieces() -> None:
    reporter = Reporter()
    count = REPORT_UPDATES + 1
    reporter.session_opened({str(number): a_status("x") for number in range(count)})
    first = reporter.take(0.0)
    assert len(said(first)) == REPORT_UPDATES
    assert reporter.acknowledged(1)
    assert len(said(reporter.take(0.0))) == 1


ACTS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from("ab")),
    st.sampled_from([("take", ""), ("ack", ""), ("session", "")]),
)


@given(st.lists(ACTS, max_size=50))
def test_whatever_happens_the_manager_ends_up_with_the_latest_statuses(acts: list[tuple[str, str]]) -> None:
    reporter, latest, manager = Reporter(), {}, {}
    under_way: StatusReport | None = None
    ending = [("ack", ""), ("take", ""), ("ack", ""), ("take", ""), ("ack", "")]
    for version, (act, task_id) in enumerate([*acts, *ending]):
        if act == "change":
            latest[task_id] = str(version)
            reporter.changed(task_id, a_status(str(version)))
        elif act == "take":
            under_way = reporter.take(0.0) or under_way
        elif act == "ack" and under_way is not None:
            manager.update(said(under_way))
            reporter.acknowledged(under_way.sequence)
            under_way = None
        elif act == "session":
            under_way = None
            reporter.session_opened({name: a_status(text) for name, text in latest.items()})
    assert manager == latest
