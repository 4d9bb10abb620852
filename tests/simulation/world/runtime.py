"""What runs on one machine: containers that start, crash, hang and end as their image says.

The word an image begins with says how it behaves: `bad` cannot be pulled, `nostart` does not start, `stuck`
never gets there, `crash` ends badly after a while and `quits` well; `job` does its work and ends, `flaky`
sometimes without having done it. Everything else runs for ever.
"""

import random
from dataclasses import dataclass, field, replace

from swarm.agent import task_events as events
from swarm.agent.network.base import Sandbox
from swarm.api.v1.objects_pb2 import Task
from swarm.runtime.base import ContainerInfo, ContainerState

FOR_EVER_S = 1e9
START_TIMEOUT_S = 120.0  # as the worker has it


@dataclass
class Faults:
    """How likely things go wrong; all zero: a calm day."""

    proposal: float = 0.0  # a commit fails, and may come true later
    lose: float = 0.0  # a report gets lost
    repeat: float = 0.0  # a report comes twice, the second time late
    crash: float = 0.0  # a container that should run for ever ends after a while
    reject: float = 0.0  # a pull fails for good
    hiccup: float = 0.0  # an instruction fails, and would not the next time
    slow: float = 0.0  # an instruction takes long
    hang: float = 0.0  # a container does not stop


@dataclass
class Container:
    """One container."""

    task: Task
    state: ContainerState = ContainerState.CREATED
    exit_code: int = 0
    ends_at_s: float = FOR_EVER_S

    def info(self) -> ContainerInfo:
        """Return what a driver would say of it."""
        return ContainerInfo(self.task.id, self.state, pid=1, exit_code=self.exit_code)


@dataclass
class Runtime:
    """The containers and published ports of one machine; `perform` says what comes of an instruction."""

    random: random.Random
    faults: Faults
    containers: dict[str, Container] = field(default_factory=dict)
    ports: dict[int, str] = field(default_factory=dict)  # published here → task id

    def duration_s(self, task: Task, instruction: events.Instruction) -> float:
        """Return how long an instruction takes."""
        draw = self.random.random
        if isinstance(instruction, events.StartContainer) and task.spec.container.image.startswith("stuck"):
            return START_TIMEOUT_S
        if isinstance(instruction, events.RetryLater | events.Drain):
            return instruction.delay_s
        usual = 0.4 if isinstance(instruction, events.PullImage | events.StopContainer) else 0.08
        if self.faults.slow and draw() < self.faults.slow:
            usual *= 30
        return usual * draw()

    def perform(self, task: Task, instruction: events.Instruction, now_s: float) -> events.Event:
        """Do it, or fail."""
        if isinstance(instruction, events.RetryLater):
            return events.RetryDue()
        if isinstance(instruction, events.Drain):
            return events.Drained()
        if isinstance(instruction, events.StopContainer):
            return self._stop(task)
        if self.faults.hiccup and self.random.random() < self.faults.hiccup:
            return events.InstructionFailed("simulated: not now", temporary=True)
        return self._do(task, instruction, now_s)

    def _do(self, task: Task, instruction: events.Instruction, now_s: float) -> events.Event:
        match instruction:
            case events.InspectContainer():
                held = self.containers.get(task.id)
                return events.Inspected(held.info() if held else None)
            case events.PullImage():
                return self._pull(task)
            case events.AttachNetwork():
                return self._attach(task)
            case events.CreateContainer():
                self.containers.setdefault(task.id, Container(task))
                return events.ContainerCreated()
            case events.StartContainer():
                return self._start(task, now_s)
            case events.RemoveContainer():
                self.containers.pop(task.id, None)
                return events.ContainerRemoved()
            case events.DetachNetwork():
                self.ports = {port: holder for port, holder in self.ports.items() if holder != task.id}
                return events.NetworkDetached()
        raise AssertionError(f"no way to carry out {instruction}")

    def _pull(self, task: Task) -> events.Event:
        if task.spec.container.image.startswith("bad") or (
            self.faults.reject and self.random.random() < self.faults.reject
        ):
            return events.InstructionFailed("no such image", temporary=False)
        return events.ImagePulled("sha256:1")

    def _attach(self, task: Task) -> events.Event:
        wanted = [port.published_port for port in task.endpoint.ports]
        if any(self.ports.get(port, task.id) != task.id for port in wanted):
            return events.InstructionFailed("port taken", temporary=True)
        self.ports.update(dict.fromkeys(wanted, task.id))
        return events.NetworkAttached(Sandbox(task.id, "", "", ""))

    def _start(self, task: Task, now_s: float) -> events.Event:
        image = task.spec.container.image
        container = self.containers.get(task.id)
        if container is None:
            return events.InstructionFailed("there is no such container", temporary=False)
        if image.startswith("stuck"):
            return events.InstructionFailed("it took too long", temporary=True)
        if image.startswith("nostart"):
            return events.InstructionFailed("no such command", temporary=False)
        container.state = ContainerState.RUNNING
        container.ends_at_s, container.exit_code = self._fate(image, now_s)
        return events.ContainerStarted(container.info())

    def _fate(self, image: str, now_s: float) -> tuple[float, int]:
        """Return when a container that starts now ends, and with which exit code."""
        draw = self.random.random
        if image.startswith(("crash", "quits")):
            return now_s + 4 * draw(), int(image.startswith("crash"))
        if image.startswith(("job", "flaky")):
            return now_s + 0.2 + 4 * draw(), int(image.startswith("flaky") and draw() < 0.4)
        if self.faults.crash and draw() < self.faults.crash:
            return now_s + 40 * draw() ** 2, int(draw() < 0.7)
        return FOR_EVER_S, 0

    def _stop(self, task: Task) -> events.Event:
        if self.faults.hang and self.random.random() < self.faults.hang:
            return events.InstructionFailed("simulated: it does not stop", temporary=True)
        container = self.containers.get(task.id)
        if container is None:
            return events.ContainerStopped(None)
        if container.state is ContainerState.RUNNING:
            container.state, container.exit_code = ContainerState.EXITED, 143
        return events.ContainerStopped(replace(container.info(), pid=0))
