"""What must the managers still be told about tasks?

One report is under way at a time. What changes meanwhile is gathered, the newest status of each task,
and goes out when the report is acknowledged: the busier the managers, the fewer and larger the reports.
A new session, or a report that stays unanswered, makes everything unsent again; managers drop what they
know.
"""

from collections.abc import Mapping

from swarm.api.v1.dispatcher_pb2 import StatusReport, TaskStatusUpdate
from swarm.api.v1.types_pb2 import TaskStatus

REPORT_UPDATES = 500  # about 150 kB
UNANSWERED_S = 10.0  # a manager without a leader answers late; saying it again then does no harm


class Reporter:
    """Keeps reporting the latest status of every task until a manager acknowledges it."""

    def __init__(self) -> None:
        self._unsent: dict[str, TaskStatus] = {}
        self._under_way: dict[str, TaskStatus] = {}
        self._sequence = 0
        self._sent_s = 0.0

    def changed(self, task_id: str, status: TaskStatus) -> None:
        """Report this status of a task; a newer one replaces it."""
        self._unsent[task_id] = status

    def forget(self, task_id: str) -> None:
        """Report nothing more of a task that the managers forgot."""
        self._unsent.pop(task_id, None)
        self._under_way.pop(task_id, None)

    def session_opened(self, statuses: Mapping[str, TaskStatus]) -> None:
        """Begin anew with the latest status of every task of this node."""
        self._under_way = {}
        self._sequence = 0
        self._unsent = dict(statuses)

    def take(self, now_s: float) -> StatusReport | None:
        """Return the next report, None while one is under way or there is nothing to say."""
        if self._under_way and now_s - self._sent_s >= UNANSWERED_S:
            self._unsent = {**self._under_way, **self._unsent}
            self._under_way = {}
        if self._under_way or not self._unsent:
            return None
        chosen = list(self._unsent)[:REPORT_UPDATES]
        self._under_way = {task_id: self._unsent.pop(task_id) for task_id in chosen}
        self._sequence += 1
        self._sent_s = now_s
        updates = [
            TaskStatusUpdate(task_id=task_id, status=status) for task_id, status in self._under_way.items()
        ]
        return StatusReport(sequence=self._sequence, updates=updates)

    def acknowledged(self, sequence: int) -> bool:
        """Every report up to `sequence` is committed; whether there is more to say."""
        if self._under_way and sequence >= self._sequence:
            self._under_way = {}
        return bool(self._unsent) and not self._under_way
