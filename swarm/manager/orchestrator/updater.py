"""Which slots does a rolling update take next, and has it succeeded?

Decided anew each time from the service and its tasks: those that carry the present spec's version and
replace another are the update's own. So there is nothing to remember, and a new leader goes on where the
old one stopped.
"""

from collections.abc import Collection
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import UpdateConfig, UpdateStatus
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, ServiceChange, Step
from swarm.manager.orchestrator.restart import ended_by_itself
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import (
    Slot,
    SlotKey,
    ended_at_ns,
    ran_for_ns,
    running_since_ns,
    stopping,
)
from swarm.model import defaults, rollout, task_state


@dataclass(frozen=True, slots=True)
class SlotProgress:
    """How far the update is with one slot."""

    slot: Slot
    old: tuple[Task, ...]  # live, and not what the service asks for
    new: tuple[Task, ...]  # live, and what it asks for
    dirty: bool  # it needs, or still holds, a task of another version
    own: tuple[Task, ...]  # what the update put here, also what came after it; empty: not begun
    judged: Task | None  # the first of `own` that began to run, or ended by itself without
    reached_ns: int | None  # when it did
    tried: bool  # the update's task ended, and nothing comes after it

    @property
    def is_todo(self) -> bool:
        """Whether the update has to begin on this slot."""
        return self.dirty and not self.new and not self.tried

    @property
    def is_awaited(self) -> bool:
        """Whether the update has begun on this slot and does not know yet what came of it."""
        return bool(self.own) and self.reached_ns is None and bool(self.slot.live)


def progress_of(view: ServiceView, slot: Slot) -> SlotProgress:
    """Return how far the update is with `slot`."""
    live = slot.live
    old = tuple(task for task in live if view.is_dirty(task))
    new = tuple(task for task in live if not view.is_dirty(task)) if old else live
    dirty = bool(old) or (not live and slot.newest is not None and view.is_dirty(slot.newest))
    version = view.service.spec_version
    own = tuple(task for task in slot.tasks if task.spec_version == version)
    if own and not own[0].previous_task_id:
        own = ()  # they fill a slot that was empty: scaled up, not updated
    # Where the old task still waits for a good successor, one that failed before the update was resumed says
    # nothing any more: the next one does.
    trials = [task for task in own if not (old and _is_forgiven(view, task))]
    reached = ((task, _reached_ns(task)) for task in trials)
    judged, reached_ns = next(((task, at_ns) for task, at_ns in reached if at_ns is not None), (None, None))
    # An update that was resumed tries again what failed before.
    tried = judged is not None and not new and ended_at_ns(judged) >= _forgiven_until_ns(view)
    return SlotProgress(slot, old, new, dirty, own, judged, reached_ns, tried)


def _forgiven_until_ns(view: ServiceView) -> int:
    """Return since when failures count: since the update began, or was resumed after a pause."""
    status = view.service.update_status
    return max(nanoseconds(status.started_at), nanoseconds(status.resumed_at))


def _is_forgiven(view: ServiceView, task: Task) -> bool:
    return ended_by_itself(task) and ended_at_ns(task) < _forgiven_until_ns(view)


def _reached_ns(task: Task) -> int | None:
    """Return when `task` began to run or ended by itself; None when it has not, or lost its node before."""
    running_ns = running_since_ns(task)
    if running_ns is None and ended_by_itself(task):
        return ended_at_ns(task)
    return running_ns


class Updater:
    """One look at the update of one service: `add` each of its slots, in order, then `plan`."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        self._state = view.service.update_status.state
        self._rolling_back = self._state in rollout.ROLLING_BACK
        spec = view.service.spec
        self._config = defaults.rollback(spec) if self._rolling_back else defaults.update(spec)
        # So many slots and no more; 0: all.
        self._canaries = 0 if view.service.update_status.promoted else self._config.canary
        self._dirty = 0
        self._begun = 0
        self._total = 0  # slots the update has begun on, or has to
        self._waiting = 0  # slots it waits for before it takes others
        self._wake_ns: int | None = None
        self._reached_ns = 0  # when the last of its tasks began to run
        self._failed: list[Task] = []
        self._judged: list[str] = []
        # Slots to begin on. Those without a running task first: to replace what does not run costs nothing.
        self._todo_idle: list[Slot] = []
        self._todo_running: list[Slot] = []
        self._left: list[Task] = []  # old tasks that their successors no longer need

    @property
    def learns_from(self) -> frozenset[str]:
        """Ids of tasks not to be forgotten while the update goes on, or is paused because of one of them."""
        return frozenset(self._judged) if self.is_active else frozenset()

    @property
    def is_active(self) -> bool:
        """Whether an update has begun, and is neither over nor given up."""
        return rollout.is_unfinished(self._view.service.update_status)

    def add(self, slot: Slot, *, busy: bool) -> None:
        """Take a slot into account; with `busy` something else changes in it now."""
        one = progress_of(self._view, slot)
        self._dirty += one.dirty
        self._begun += bool(one.own)
        self._total += bool(one.own) or one.is_todo
        if one.is_todo:
            running = any(map(task_state.is_running, one.old))
            (self._todo_running if running else self._todo_idle).append(slot)
        if one.old and not busy and self._may_stop_old(one):
            self._left += one.old
        if not one.own:
            return
        if one.judged is not None and one.reached_ns is not None:
            self._judged.append(one.judged.id)
            self._reached_ns = max(self._reached_ns, one.reached_ns)
            if self._is_failure(one.judged):
                self._failed.append(one.judged)
        if not one.is_todo:
            self._wait_for(one)

    def plan(self, plan: PlanBuilder, busy: Collection[SlotKey]) -> None:
        """Take the update one step further; nothing is begun in slots that are `busy`."""
        stop_left = [Step(desire=((task.id, task_state.SHUTDOWN),)) for task in self._left]
        if self._state in rollout.PAUSED:
            plan.steps += stop_left
            return
        if self._state not in rollout.ACTIVE:
            if not self._dirty:
                return
            self._begin(plan)
        elif self._has_failed(plan):
            return
        plan.steps += stop_left
        if self._wake_ns is not None:
            plan.wake(self._wake_ns)
        todo = self._todo_idle + self._todo_running
        for slot in todo[: self._room(len(todo))]:
            if slot.key not in busy:
                self._replace(plan, slot)
        if self._state in rollout.ACTIVE and not self._waiting:
            if not self._dirty:
                self._complete(plan)
            elif self._canaries and self._begun >= self._canaries:
                self._await_promotion(plan)

    def _room(self, todo: int) -> int:
        """Return how many of `todo` slots may be begun on now."""
        room = self._config.parallelism - self._waiting if self._config.parallelism else todo
        if self._canaries:
            room = min(room, self._canaries - self._begun)
        return max(0, room)

    # Beginning and ending.

    def _begin(self, plan: PlanBuilder) -> None:
        plan.service_change = ServiceChange(rollout.begun(timestamp(self._view.now_ns)))

    def _complete(self, plan: PlanBuilder) -> None:
        """End the update once the last tasks were watched for long enough."""
        if not self._is_watched(plan):
            return
        state, word = UpdateStatus.STATE_COMPLETED, "update"
        if self._rolling_back:
            state, word = UpdateStatus.STATE_ROLLBACK_COMPLETED, "rollback"
        self._change(plan, state, f"{word} completed{self._why_given_up()}")

    def _why_given_up(self) -> str:
        """Return why there was a rollback, as it stands with the revision that was given up."""
        earlier = self._view.service.revisions
        if not self._rolling_back or not earlier or not earlier[-1].rolled_back:
            return ""
        return f": {earlier[-1].update_status.message}"

    def _await_promotion(self, plan: PlanBuilder) -> None:
        """Wait for a word of somebody, once the canaries were watched for long enough."""
        if self._state == UpdateStatus.STATE_CANARY or not self._is_watched(plan):
            return
        word = "task is" if self._begun == 1 else "tasks are"
        message = f"{self._begun} {word} updated and waiting: `service promote` or `service rollback`"
        self._change(plan, UpdateStatus.STATE_CANARY, message)

    def _is_watched(self, plan: PlanBuilder) -> bool:
        """Whether the last tasks were watched for long enough; if not, look again when they were."""
        if self._config.failure_action == UpdateConfig.FAILURE_ACTION_CONTINUE or not self._reached_ns:
            return True
        watched_ns = self._reached_ns + self._watch_ns()
        if watched_ns > self._view.now_ns:
            plan.wake(watched_ns)
            return False
        return True

    def _watch_ns(self) -> int:
        monitor_ns, delay_ns = self._config.monitor_ns, self._config.delay_ns
        return monitor_ns if delay_ns < monitor_ns else delay_ns + SECOND

    def _has_failed(self, plan: PlanBuilder) -> bool:
        """Pause or roll back when too many tasks failed; return whether that is so."""
        if self._config.failure_action == UpdateConfig.FAILURE_ACTION_CONTINUE or not self._failed:
            return False
        # Canaries are judged among themselves: of a thousand tasks, one would never be one too many.
        judged = min(self._total, max(self._canaries, self._begun)) if self._canaries else self._total
        if len(self._failed) / judged <= self._config.max_failure_ratio:
            return False
        failed = self._failed[-1]
        why = failed.status.err or failed.status.message
        reason = f"because task {failed.id} failed or ended early" + (f": {why}" if why else "")
        if self._rolling_back:
            # Whatever a rollback should do when it fails: going back once more would never end.
            self._change(plan, UpdateStatus.STATE_ROLLBACK_PAUSED, f"rollback paused {reason}")
        elif self._config.failure_action == UpdateConfig.FAILURE_ACTION_PAUSE:
            self._change(plan, UpdateStatus.STATE_PAUSED, f"update paused {reason}")
        elif not self._view.service.HasField("previous_spec"):
            message = f"update paused, there is no previous spec, {reason}"
            self._change(plan, UpdateStatus.STATE_PAUSED, message)
        else:
            status = UpdateStatus(
                state=UpdateStatus.STATE_ROLLBACK_STARTED,
                started_at=timestamp(self._view.now_ns),
                message=f"update rolled back {reason}",
            )
            plan.service_change = ServiceChange(status, roll_back=True)
        return True

    def _is_failure(self, task: Task) -> bool:
        """Whether the update's task ended before it could be trusted; also with exit code 0."""
        if not ended_by_itself(task):
            return False
        # What failed before the update was resumed was forgiven by resuming it.
        if ended_at_ns(task) < _forgiven_until_ns(self._view):
            return False
        ran_ns = ran_for_ns(task)
        # A canary is watched for as long as somebody thinks about it.
        waits = self._state == UpdateStatus.STATE_CANARY
        return waits or ran_ns is None or ran_ns <= self._config.monitor_ns

    def _change(self, plan: PlanBuilder, state: "UpdateStatus.State", message: str) -> None:
        status = UpdateStatus()
        status.CopyFrom(self._view.service.update_status)
        status.state = state
        status.message = message
        if state in (UpdateStatus.STATE_COMPLETED, UpdateStatus.STATE_ROLLBACK_COMPLETED):
            status.completed_at.CopyFrom(timestamp(self._view.now_ns))
        plan.service_change = ServiceChange(status)

    # Slots.

    def _wait_for(self, one: SlotProgress) -> None:
        """Count a slot that holds up the next ones: until its task runs, and for the delay after that."""
        rested_ns = (one.reached_ns or 0) + self._config.delay_ns
        if one.is_awaited:
            self._waiting += 1
        elif rested_ns > self._view.now_ns:
            self._waiting += 1
            self._wake_ns = min(self._wake_ns or rested_ns, rested_ns)

    def _may_stop_old(self, one: SlotProgress) -> bool:
        """Whether the new task of a slot is there, or will never be and that does not matter."""
        if self._state in rollout.PAUSED:
            # What was begun is brought to its end, but nobody looks for failures now.
            return one.judged in one.new and task_state.is_running(one.judged)
        if one.tried:
            return True  # it failed; had that been one failure too many, the update would have stopped
        if not one.new:
            return False
        if self._config.order == UpdateConfig.ORDER_STOP_FIRST or any(map(task_state.is_running, one.new)):
            return True
        goes_on = self._config.failure_action == UpdateConfig.FAILURE_ACTION_CONTINUE
        return goes_on and one.judged is not None and self._is_failure(one.judged)

    def _replace(self, plan: PlanBuilder, slot: Slot) -> None:
        """Put a task of the present spec into a slot, whose live tasks are all old."""
        start_first = self._config.order == UpdateConfig.ORDER_START_FIRST
        stops = () if start_first else slot.live
        held = not start_first and (bool(stops) or bool(stopping(slot, self._view.nodes)))
        new_task = NewTask(
            slot=slot.number,
            node_id=slot.node_id,
            desired_state=task_state.READY if held else task_state.RUNNING,
            previous=slot.live[-1] if slot.live else slot.newest,
        )
        desire = tuple((task.id, task_state.SHUTDOWN) for task in stops)
        plan.steps.append(
            Step(desire=desire, create=new_task, live=frozenset(task.id for task in slot.live))
        )
