"""The decision: how many replicas, from what tasks use, what Prometheus says, and what was wanted lately."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.manager.orchestrator.autoscale.census import Census
from swarm.manager.orchestrator.autoscale.decide import GAP_S, REST_NS, ScalePlan, ScaleView, decide
from swarm.manager.orchestrator.autoscale.rules import Answer, wish_by_use, wish_by_value
from swarm.manager.orchestrator.autoscale.status import NEWS_NS, REFRESH_NS, status_of
from swarm.manager.orchestrator.autoscale.wishes import Wishes
from swarm.model.autoscale import autoscaling_of, parse_rule, parse_step, wanted_replicas
from swarm.model.service import new_service
from swarm.model.usage import Usage

NOW_NS = 1_700_000_000 * SECOND
CORE = 10**9
LOOK_S = 5.0
QUERY = ("http://p", "q")
Q_RULE = "prometheus=http://p|q=100"


def a_spec(least: int = 1, most: int = 10, *rules: str, down_s: float = 300, up_s: float = 0) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.resources.reservations.nano_cpus = CORE
    spec.task.resources.reservations.memory_bytes = 1000
    spec.autoscale.replicas_min, spec.autoscale.replicas_max = least, most
    spec.autoscale.rules.extend(map(parse_rule, rules or ("cpu=50",)))
    spec.autoscale.down_window_ns = int(down_s * SECOND)
    spec.autoscale.up_window_ns = int(up_s * SECOND)
    return spec


def used(*cpus: float, missing: int = 0, unready: int = 0, crashing: int = 0) -> Census:
    uses = tuple(Usage(cpu * CORE, 100.0) for cpu in cpus)
    return Census(uses, missing, unready, crashing)


class Life:
    """A service that is looked at again and again, by one leader or several."""

    def __init__(self, spec: ServiceSpec, replicas: int) -> None:
        self.service: Service = new_service("s1", spec)
        self.service.autoscale_status.replicas = replicas
        self.now_s = 1000.0
        self.wishes: Wishes | None = None
        self.plan: ScalePlan | None = None

    @property
    def replicas(self) -> int:
        return wanted_replicas(self.service)

    def look(self, census: Census, answer: Answer | None = None, after_s: float = LOOK_S) -> int:
        self.now_s += after_s
        now_ns = NOW_NS + int(self.now_s * SECOND)
        scaling = autoscaling_of(self.service.spec)
        assert scaling is not None
        answers = {QUERY: answer} if answer is not None else {}
        self.plan = decide(
            ScaleView(self.service, scaling, census, answers, self.wishes, now_ns, self.now_s)
        )
        self.wishes = self.plan.wishes
        status = status_of(self.service, self.plan, now_ns)
        if status is not None:
            self.service.autoscale_status.CopyFrom(status)
        return self.replicas

    def settle(self, work: float, seconds: float) -> list[int]:
        """Have `work` CPUs of work shared by all replicas for so long; return how many there were."""
        seen = []
        for _ in range(int(seconds / LOOK_S)):
            count = self.replicas
            seen.append(self.look(used(*[work / count] * count)))
        return seen


def test_more_load_is_answered_at_once_and_in_steps() -> None:
    life = Life(a_spec(1, 100), 2)
    assert life.look(used(1.0, 1.0)) == 4
    assert life.plan is not None
    assert life.plan.reason == "2 → 4: cpu is at 100%, the target is 50%"
    life = Life(a_spec(1, 100), 2)
    life.service.spec.task.resources.reservations.nano_cpus = CORE // 100
    assert life.look(used(1.0, 1.0)) == 6, "4 at once, or twice as many"
    assert life.plan is not None
    assert "on the way to 100" in life.plan.reason
    life.service.spec.autoscale.up_step.CopyFrom(parse_step("50%", ""))
    assert life.look(used(*[1.0] * 6)) == 6, "the new tasks have to be seen first"
    assert life.look(used(*[1.0] * 6)) == 9


def test_fewer_only_after_a_whole_window_and_no_fewer_than_its_highest_wish() -> None:
    life = Life(a_spec(1, 10, down_s=60), 8)
    assert life.settle(1.0, 60) == [8] * 12
    assert life.plan is not None
    assert life.plan.holding == "the load wants 2, and has to want it for 1m"
    life.look(used(*[0.3] * 8))  # for a moment 5 are wanted
    assert life.replicas == 5
    assert life.settle(1.0, 55)[-1] == 5
    assert life.settle(1.0, 10)[-1] == 2


def test_a_new_leader_waits_for_a_whole_window_before_there_are_fewer() -> None:
    life = Life(a_spec(down_s=60), 8)
    life.settle(1.0, 50)
    life.wishes = None  # another leader, that remembers nothing
    assert life.settle(1.0, 60) == [8] * 12
    assert life.settle(1.0, 10)[-1] == 2


def test_a_leader_that_was_suspended_begins_a_new_window() -> None:
    life = Life(a_spec(down_s=60), 8)
    life.settle(1.0, 50)
    assert life.look(used(*[0.1] * 8), after_s=GAP_S + 1) == 8
    assert life.settle(1.0, 55) == [8] * 11


def test_an_up_window_keeps_short_peaks_out() -> None:
    life = Life(a_spec(up_s=20), 2)
    assert [life.look(used(1.0, 1.0)) for _ in range(4)] == [2] * 4
    life.look(used(0.5, 0.5))
    assert [life.look(used(1.0, 1.0)) for _ in range(4)] == [2] * 4
    assert life.look(used(1.0, 1.0)) == 4


def test_the_largest_wish_wins() -> None:
    life = Life(a_spec(1, 10, "cpu=50", "memory=5", Q_RULE), 2)
    assert life.look(used(0.1, 0.1), Answer(310.0)) == 4
    assert life.plan is not None
    assert [reading.wish for reading in life.plan.readings] == [1, 4, 4]
    assert life.look(used(0.1, 0.1), Answer(720.0), after_s=20) == 8
    assert life.plan.reason.endswith("cpu") is False
    assert life.plan.reason == "4 → 8: the query says 720, the target is 100 per replica"


def test_a_query_that_fails_holds_the_number_and_others_may_still_want_more() -> None:
    life = Life(a_spec(1, 10, "cpu=50", Q_RULE, down_s=0), 4)
    failed = Answer(problem="Prometheus did not answer within 3 s")
    assert life.look(used(*[0.01] * 4), failed) == 4
    assert life.plan is not None
    assert "did not answer" in life.plan.holding
    assert life.service.autoscale_status.readings[1].problem == failed.problem
    assert life.look(used(*[1.0] * 4), failed) == 8


def test_after_the_metrics_are_back_a_whole_window_passes() -> None:
    life = Life(a_spec(1, 10, Q_RULE, down_s=60), 4)
    for _ in range(20):
        assert life.look(used(), Answer(problem="gone")) == 4
    assert [life.look(used(), Answer(10.0)) for _ in range(12)] == [4] * 12
    assert life.look(used(), Answer(10.0)) == 1


def test_without_any_sample_nothing_changes() -> None:
    life = Life(a_spec(1, 10, down_s=0), 4)
    for census in (used(), used(missing=4), used(unready=4)):
        assert life.look(census) == 4
        assert life.plan is not None
        assert "no task has said yet" in life.plan.holding


def test_missing_samples_count_as_idle_for_more_and_as_full_for_fewer() -> None:
    assert wish_by_use(100, 50, used(1.0, 1.0, missing=2), 4) == 4, "200 of work, 4 at 50 do it"
    assert wish_by_use(100, 50, used(1.0, 1.0, missing=1), 3) == 4
    assert wish_by_use(10, 50, used(0.1, 0.1, missing=2), 4) == 4, "20 and twice 100: that is 220"
    assert wish_by_use(10, 80, used(*[0.1] * 9, missing=1), 10) == 3, "90 and 100"


def test_tasks_that_do_not_run_yet_are_not_busy() -> None:
    assert wish_by_use(100, 50, used(1.0, unready=1), 2) == 2, "the second one is on its way"
    assert wish_by_use(10, 50, used(0.1, 0.1, unready=2), 4) == 1


def test_scaling_from_and_to_nothing_by_a_query() -> None:
    life = Life(a_spec(0, 10, Q_RULE, down_s=0), 0)
    assert life.look(used(), Answer(0.0)) == 0
    assert life.look(used(), Answer(1.0)) == 1
    assert life.look(used(), Answer(0.0), after_s=20) == 0


def test_a_service_whose_tasks_crash_stays_as_it_is() -> None:
    life = Life(a_spec(down_s=0), 4)
    assert life.look(used(1.0, 1.0, unready=2, crashing=2)) == 4
    assert life.plan is not None
    assert life.plan.holding == "its tasks crash (2 of 4): more of them would not help"
    assert life.look(used(0.1, 0.1, unready=2, crashing=2)) == 4
    assert life.look(used(unready=0, crashing=4)) == 4
    life = Life(a_spec(1, 100), 20)
    assert life.look(used(*[1.0] * 19, unready=1, crashing=1)) == 38, "one in twenty is bad luck"


def test_a_service_that_is_updated_gets_no_fewer_and_a_paused_or_canary_one_stays() -> None:
    life = Life(a_spec(down_s=0), 4)
    status = life.service.update_status
    status.state = UpdateStatus.STATE_UPDATING
    assert life.look(used(*[0.1] * 4)) == 4
    assert life.look(used(*[1.0] * 4)) == 8
    for state in (UpdateStatus.STATE_PAUSED, UpdateStatus.STATE_ROLLBACK_PAUSED):
        status.state = state
        assert life.look(used(*[1.0] * 8), after_s=20) == 8
        assert life.plan is not None
        assert "paused" in life.plan.holding
    life.service.spec.update.canary = 1
    for state in (UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_CANARY):
        status.state = state
        assert life.look(used(*[1.0] * 8), after_s=20) == 8
    status.promoted = True
    assert life.look(used(*[1.0] * 8), after_s=20) == 10


def test_a_load_beyond_the_bounds_is_told() -> None:
    life = Life(a_spec(1, 4), 4)
    assert life.look(used(*[1.0] * 4)) == 4
    assert life.plan is not None
    assert life.plan.holding == "the load wants 8, and the most is 4 (--replicas-max)"
    assert life.look(used(*[0.5] * 4)) == 4
    assert not life.plan.holding


def test_a_number_by_hand_is_left_alone_for_a_moment() -> None:
    life = Life(a_spec(down_s=0), 4)
    life.service.autoscale_status.decided_at.CopyFrom(timestamp(NOW_NS + int(life.now_s * SECOND)))
    assert life.look(used(*[1.0] * 4), after_s=REST_NS / SECOND - 1) == 4
    assert life.look(used(*[1.0] * 4), after_s=1) == 8


def test_the_clock_of_another_leader_that_was_ahead_stops_nothing() -> None:
    life = Life(a_spec(), 4)
    life.service.autoscale_status.decided_at.CopyFrom(timestamp(NOW_NS * 2))
    assert life.look(used(*[1.0] * 4)) == 8


def test_values_that_move_are_written_once_a_minute_and_news_sooner() -> None:
    service = Life(a_spec(), 2).service
    scaling = autoscaling_of(service.spec)
    assert scaling is not None

    def status(cpu: float, at_ns: int, census: Census | None = None) -> bool:
        view = ScaleView(service, scaling, census or used(cpu, cpu), {}, None, at_ns, at_ns / SECOND)
        found = status_of(service, decide(view), at_ns)
        if found is not None:
            service.autoscale_status.CopyFrom(found)
        return found is not None

    assert status(0.5, NOW_NS)
    assert not status(0.45, NOW_NS + REFRESH_NS - 1)
    assert not status(0.5, NOW_NS + REFRESH_NS + 1)
    assert status(0.44, NOW_NS + REFRESH_NS + 1)
    assert not status(0, NOW_NS + REFRESH_NS + 2, used())
    assert status(0, NOW_NS + REFRESH_NS + 2 + NEWS_NS, used())


LOADS = st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=60)


@given(
    st.integers(0, 6),
    st.integers(0, 14),
    st.integers(0, 20),
    LOADS,
    st.lists(st.one_of(st.none(), st.floats(0, 5000)), min_size=60, max_size=60),
    st.sampled_from([0, 20, 60]),
)
@settings(max_examples=150, deadline=None)
def test_it_is_always_within_its_bounds(
    least: int, more: int, start: int, loads: list[float], values: list[float | None], window_s: int
) -> None:
    most = max(1, least + more)
    life = Life(a_spec(least, most, "cpu=50", Q_RULE, down_s=window_s, up_s=window_s / 2), start)
    for load, value in zip(loads, values, strict=False):
        count = life.replicas
        answer = Answer(value) if value is not None else Answer(problem="gone")
        life.look(used(*[load / count] * count if count else ()), answer)
        assert least <= life.replicas <= most
        assert life.plan is not None
        assert least <= life.plan.replicas <= most


@given(st.integers(1, 20), st.floats(0.0, 30.0), st.sampled_from([10, 50, 70, 95]))
@settings(max_examples=150, deadline=None)
def test_under_a_steady_load_it_comes_to_rest_and_stays(start: int, work: float, target: int) -> None:
    life = Life(a_spec(1, 100, f"cpu={target}", down_s=0), start)
    life.settle(work, 300)
    rest = life.replicas
    assert life.settle(work, 100) == [rest] * 20
    assert rest == 100 or work / rest <= target / 100 * 1.1 + 1e-6, "no task is overloaded"


@given(st.integers(1, 50), st.floats(-0.0999, 0.0999))
def test_within_the_tolerance_nothing_changes(count: int, off: float) -> None:
    target = 60.0
    percent = target * (1 + off)
    assert wish_by_use(percent, target, used(*[percent / 100] * count), count) == count
    assert wish_by_value(100 * count * (1 + off), 100, count) == count


@given(
    st.integers(1, 30),
    st.integers(0, 30),
    st.integers(0, 10),
    st.floats(0, 300),
    st.floats(1, 200),
)
def test_missing_samples_never_want_more_than_idle_or_fewer_than_busy_ones_would(
    known: int, missing: int, unready: int, percent: float, target: float
) -> None:
    present = known + missing + unready
    wish = wish_by_use(percent, target, used(*[0.0] * known, missing=missing, unready=unready), present)
    if wish > present:
        assert wish * target >= known * percent - 1e-6
        assert (wish - 1) * target < known * percent + 1e-6, "as if the others did nothing"
    if wish < present:
        assert wish * target >= known * percent + missing * max(100.0, target) - 1e-3


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 30)), min_size=1, max_size=50))
def test_wishes_are_those_of_the_window_and_few(story: list[tuple[int, float]]) -> None:
    wishes = Wishes(0.0, 0.0)
    now_s, all_of_them = 0.0, []
    for wish, later_s in story:
        now_s += later_s
        all_of_them.append((now_s, wish))
        wishes = wishes.with_one(wish, now_s, 10.0, 60.0)
        assert wishes.highest == max(one for at_s, one in all_of_them if now_s - at_s <= 60)
        assert wishes.lowest == min(one for at_s, one in all_of_them if now_s - at_s <= 10)
        assert len(wishes.highest_of) <= 10
    assert replace(wishes, since_s=now_s - 60).covers(60)
    assert not replace(wishes, since_s=now_s - 59).covers(60)
