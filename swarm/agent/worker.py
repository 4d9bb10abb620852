"""Carries out what the task machine asks for: on the runtime, the image store and the network of this node.

Per task one instruction at a time, beside it the wait for the container's end. Tasks go on side by side,
but only so many create and start containers at once: more would only make each of them slower.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from swarm.agent import task_events as events
from swarm.agent.assignments import Changes
from swarm.agent.container import (
    NodeFacts,
    container_config,
    published_ports,
    registry_credentials,
    resolver_client,
    template_context,
)
from swarm.agent.database import Database, StoredTask
from swarm.agent.health import begun, is_news, is_worth_keeping
from swarm.agent.health_monitor import watch
from swarm.agent.network.base import NodeNetwork, Sandbox
from swarm.agent.overlay.feed import OverlayFeed, networks_of
from swarm.agent.probes import Answer, Prober
from swarm.agent.resolver.base import Resolver
from swarm.agent.task_files import TaskFiles
from swarm.agent.task_images import TaskImages
from swarm.agent.task_machine import Phase, Step, TaskRecord, advance, begin
from swarm.agent.task_status import loggable_reason
from swarm.agent.task_volumes import TaskVolumes
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HealthStatus, TaskStatus
from swarm.clock import Clock
from swarm.errors import TaskFailure, TransientError
from swarm.model.health import WORDS, check_of, merged
from swarm.model.task_state import COMPLETE, READY, state_name
from swarm.runtime.base import RuntimeDriver
from swarm.runtime.images.base import BlobSource, ImageStore

log = structlog.get_logger(__name__)

# Creating and starting take fractions of a second; a driver that takes this long will not come back.
START_TIMEOUT_S = 120.0
CLEAN_TIMEOUT_S = 60.0
STOP_EXTRA_S = 30.0  # on top of the grace period
PROGRESS_S = 2.0  # how often progress becomes a status


@dataclass(slots=True)
class _Held:
    """A task and what is going on for it."""

    record: TaskRecord
    current: asyncio.Task[None] | None = None
    waiter: asyncio.Task[None] | None = None
    prober: asyncio.Task[None] | None = None
    health: HealthStatus = field(default_factory=begun)
    progress: str = ""  # not told yet
    teller: asyncio.Task[None] | None = None


class Worker:
    """All tasks of this node."""

    def __init__(  # noqa: PLR0913 -- one argument for each part of the node
        self,
        driver: RuntimeDriver,
        images: ImageStore,
        network: NodeNetwork,
        database: Database,
        source: BlobSource,
        clock: Clock,
        facts: Callable[[], NodeFacts],
        *,
        files: TaskFiles,
        volumes: TaskVolumes,
        resolver: Resolver,
        overlays: OverlayFeed,
        starts_max: int,
    ) -> None:
        """`starts_max`: how many containers are created and started at once."""
        self._driver = driver
        self._images = images
        self._network = network
        self._database = database
        self._source = source
        self._clock = clock
        self._facts = facts
        self._files = files
        self._volumes = volumes
        self._resolver = resolver
        self._mounted_images = TaskImages(images, source)
        self._overlays = overlays
        self._starts = asyncio.Semaphore(starts_max)
        self._prober = Prober(driver, starts_max)
        self._held: dict[str, _Held] = {}
        self._arriving: dict[str, Task] = {}  # to be held as soon as they are on disk
        self._waiting: dict[str, StoredTask] = {}  # resumed when a manager sends their password again
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False
        self.started = asyncio.Event()  # it takes tasks
        self._empty = asyncio.Event()
        self.on_status: Callable[[str, TaskStatus], None] = lambda task_id, status: None
        self.on_change: Callable[[], None] = lambda: None  # a task came or went
        self.on_forgotten: Callable[[str], None] = lambda task_id: None
        self.explain: Callable[[Exception], str] = str  # what to tell people of an error
        self.neighbours: Callable[[], frozenset[str]] = frozenset  # ids of containers without a task

    async def run(self) -> None:
        """Host everything under way, until cancelled; containers live on."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.started.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._stopping = True

    # What is asked of it.

    @property
    def held(self) -> Mapping[str, TaskRecord]:
        """Every task of this node by id."""
        return {task_id: held.record for task_id, held in self._held.items()}

    def held_ids(self) -> frozenset[str]:
        """Return the ids of the tasks that need no start."""
        return frozenset(self._held) | frozenset(self._arriving) | frozenset(self._waiting)

    def image_digests(self) -> frozenset[str]:
        """Return the manifests that tasks were prepared with, those that they mount included."""
        own = {held.record.image_digest for held in self._held.values() if held.record.image_digest}
        return self._mounted_images.digests() | own

    def statuses(self) -> dict[str, TaskStatus]:
        """Return what the managers should know of the tasks they want."""
        return {task_id: held.record.status for task_id, held in self._held.items() if held.record.wanted}

    async def introduce(self, stored: Iterable[StoredTask]) -> None:
        """Tell the name server of the tasks of an earlier life that may still ask it."""
        for one in stored:
            if one.status.state < COMPLETE:
                with contextlib.suppress(TaskFailure):  # it would not have come this far
                    await self._introduce(one.task, one.status.address)

    def resume(self, stored: Iterable[StoredTask]) -> None:
        """Take up the tasks of an earlier life.

        One that may still have to be pulled with a password waits until a manager sends it again.
        """
        for one in stored:
            if one.credentials_withheld and one.status.state < READY and one.wanted:
                self._waiting[one.task.id] = one
            else:
                self._begin(one.task, one.status, one)

    def apply(self, changes: Changes, index: int) -> None:
        """Do what the managers want; `index` is how far in their log that is.

        Stopping and updating never wait for the disk; a start does, because a container that this node
        does not remember after a restart would be removed.
        """
        self._files.apply(changes.data)
        for task_id in changes.remove:
            self._arriving.pop(task_id, None)
            self._end_wait(task_id)
            if task_id in self._held:
                self._database.put_unwanted(task_id)
                self._deliver(task_id, events.Unwanted())
            else:
                self._database.delete_task(task_id)
        for task in changes.update:
            if task.id in self._arriving:
                self._arriving[task.id] = task
            self._end_wait(task.id, task)
            held = self._held.get(task.id)
            if held is not None:
                self._database.put_task(task, held.record.status)
                self._deliver(task.id, events.Wanted(task))
        for task in changes.start:
            self._arriving[task.id] = task
            self._database.put_task(task, task.status)
        stored = self._database.put_applied_index(index)
        if changes.start:
            self.spawn(self._start_when_stored([task.id for task in changes.start], stored))

    async def remove_all(self) -> None:
        """Stop and remove every task; returns when nothing is left."""
        self._arriving.clear()
        for task_id in list(self._waiting):
            self._end_wait(task_id)
        for task_id in list(self._held):
            self._database.put_unwanted(task_id)
            self._deliver(task_id, events.Unwanted())
        while self._held:
            self._empty.clear()
            await self._empty.wait()

    async def remove_strangers(self) -> None:
        """Remove containers, sandboxes and files that belong to no task of this node."""
        for info in await self._driver.adopt():
            if info.id not in self._known_ids():
                log.warning("agent.unknown_container_found", task_id=info.id)
                try:
                    await self._driver.remove(info.id)
                except Exception:  # it stays until the next start; the known ones must go on
                    log.exception("agent.unknown_container_not_removed", task_id=info.id)
        await self._resolver.keep_only(self._known_ids())
        await self._network.keep_only(self._known_ids())
        await self._files.keep_only(self._known_ids)
        self.spawn(self._volumes.keep_only(self._known_ids))  # no task waits for a plugin that is silent

    def _known_ids(self) -> frozenset[str]:
        return self.held_ids() | self.neighbours()

    # Events and instructions.

    async def _start_when_stored(self, task_ids: list[str], stored: asyncio.Future[None]) -> None:
        await stored
        for task_id in task_ids:
            task = self._arriving.pop(task_id, None)
            if task is not None:
                self._begin(task, None)

    def _begin(self, task: Task, status: TaskStatus | None, stored: StoredTask | None = None) -> None:
        # Without what an earlier life knew of the image, the user's part is all there is to go by.
        config = stored.health_config if stored is not None else task.spec.container.healthcheck
        step = begin(task, status, self._clock.now_ns(), check_of(config))
        self._held[task.id] = held = _Held(step.record)
        if stored is not None and stored.health.state:
            held.health = stored.health
        self._follow(task.id, step, step.record.status)
        self.on_status(task.id, step.record.status)
        if stored is not None and not stored.wanted:
            self._deliver(task.id, events.Unwanted())
        self.on_change()

    def _end_wait(self, task_id: str, task: Task | None = None) -> None:
        waiting = self._waiting.pop(task_id, None)
        if waiting is not None:
            self._begin(task or waiting.task, waiting.status, waiting)

    def _deliver(self, task_id: str, event: events.Event) -> None:
        held = self._held.get(task_id)
        if held is None:
            return
        before = held.record.status
        self._follow(task_id, advance(held.record, event, self._clock.now_ns()), before)

    def _follow(self, task_id: str, step: Step, before: TaskStatus) -> None:
        held = self._held[task_id]
        held.record = step.record
        if held.prober is not None and step.record.phase is not Phase.RUNNING:
            held.prober.cancel()  # it stops, or has ended: its health is of no interest any more
            held.prober = None
        status = step.record.status
        if status is not before:
            self._database.put_status(task_id, status)
            if status.state != before.state:
                _log_status(step.record)
            if step.record.wanted:
                self.on_status(task_id, status)
        for instruction in () if self._stopping else step.instructions:
            self._carry_out(task_id, held, instruction)

    def _carry_out(self, task_id: str, held: _Held, instruction: events.Instruction) -> None:
        match instruction:
            case events.Forget():
                self._forget(task_id, held.record)
            case events.CancelCurrent():
                if held.current is not None:
                    held.current.cancel("given up")
            case events.WaitContainer():
                held.waiter = self.spawn(self._attempt(task_id, instruction))
            case events.WatchHealth():
                held.prober = self.spawn(self._watch_health(task_id, held, instruction))
            case _:
                if isinstance(instruction, events.StopContainer) and held.waiter is not None:
                    held.waiter.cancel()  # a wait that fails now must not count as the result of the stop
                held.current = self.spawn(self._attempt(task_id, instruction))

    def _forget(self, task_id: str, record: TaskRecord) -> None:
        del self._held[task_id]
        self.on_forgotten(task_id)
        if record.wanted:  # again, after it was removed: a task is one attempt, so all it can do is say so
            self._begin(record.task, record.status)
            return
        self._database.delete_task(task_id)
        log.info("agent.task_forgotten", task_id=task_id)
        self.on_change()
        if not self._held:
            self._empty.set()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something that ends with this worker; errors end the worker."""
        assert self._group is not None, "the worker does not run"
        return self._group.create_task(work)

    async def _attempt(self, task_id: str, instruction: events.Instruction) -> None:
        """Carry out one instruction and deliver what came of it."""
        held = self._held[task_id]
        try:
            event = await self._perform(task_id, held, instruction)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # Given up by the machine, not by the end of the agent.
            if self._stopping or task is None or task is not held.current:
                raise
            task.uncancel()
            event = events.InstructionFailed("given up", temporary=True)
        except TaskFailure as error:
            event = events.InstructionFailed(self.explain(error), temporary=False)
        except (TransientError, TimeoutError) as error:
            event = events.InstructionFailed(str(error) or "it took too long", temporary=True)
        except Exception as error:  # whatever a driver raises must cost one task, not the node
            log.exception("agent.instruction_failed", task_id=task_id, step=type(instruction).__name__)
            event = events.InstructionFailed(f"{type(error).__name__}: {error}", temporary=False)
        if self._held.get(task_id) is held:
            self._deliver(task_id, event)

    async def _perform(self, task_id: str, held: _Held, instruction: events.Instruction) -> events.Event:
        match instruction:
            case events.PullImage():
                return await self._pull(task_id, held)
            case events.AttachNetwork():
                networks = await self._overlays.join(held.record.task)
                async with asyncio.timeout(START_TIMEOUT_S):
                    ports = published_ports(held.record.task)
                    sandbox = await self._network.attach(task_id, ports, networks)
                    await self._introduce(held.record.task, sandbox.address)
                    return events.NetworkAttached(sandbox)
            case events.CreateContainer() | events.StartContainer():
                return await self._create_or_start(task_id, held.record, instruction)
            case events.WaitContainer():
                return events.ContainerEnded(await self._driver.wait(task_id))
            case events.StopContainer(grace_s=grace_s):
                async with asyncio.timeout(grace_s + STOP_EXTRA_S):
                    await self._driver.stop(task_id, grace_s)
                    return events.ContainerStopped(await self._driver.inspect(task_id))
            case events.Drain(delay_s=delay_s):
                await asyncio.sleep(delay_s)
                return events.Drained()
            case events.RetryLater(delay_s=delay_s):
                await asyncio.sleep(delay_s)
                return events.RetryDue()
            case _:
                return await self._clean(task_id, held.record.task, instruction)

    async def _introduce(self, task: Task, address: str) -> None:
        if address:
            network_ids = [one.network_id for one in networks_of(task) if one.addresses]
            await self._resolver.attach(resolver_client(task, address, network_ids, self._facts()))

    async def _clean(self, task_id: str, task: Task, instruction: events.Instruction) -> events.Event:
        async with asyncio.timeout(CLEAN_TIMEOUT_S):
            match instruction:
                case events.InspectContainer():
                    return events.Inspected(await self._driver.inspect(task_id))
                case events.RemoveContainer():
                    await self._driver.remove(task_id)
                    return events.ContainerRemoved()
                case events.DetachNetwork():
                    await self._files.wipe(task)  # no process can read them any more, nor may anybody else
                    await self._volumes.release(task)
                    await self._resolver.detach(task_id)
                    self._mounted_images.forget(task)
                    await self._network.detach(task_id)
                    return events.NetworkDetached()
        raise AssertionError(f"no way to carry out {instruction}")

    async def _watch_health(self, task_id: str, held: _Held, what: events.WatchHealth) -> None:
        """Keep and tell what probes find out, beginning with what was found out before."""

        def ask() -> Awaitable[Answer | None]:
            return self._prober.ask(task_id, what.check, held.record.status.address)

        def tell(health: HealthStatus) -> None:
            before, held.health = held.health, health
            if is_worth_keeping(before, health):
                self._database.put_health(task_id, health)
            if is_news(before, health):
                if before.state != health.state:
                    state = WORDS[health.state]
                    log.info("agent.health_changed", task_id=task_id, state=state)
                self._deliver(task_id, events.HealthChanged(health))

        self._deliver(task_id, events.HealthChanged(held.health))
        await watch(task_id, what.check, held.health, what.started_ns, ask, self._clock, tell)

    async def _pull(self, task_id: str, held: _Held) -> events.Event:
        def show(message: str) -> None:
            held.progress = message
            if held.teller is None or held.teller.done():
                held.teller = self.spawn(self._tell_progress(task_id, held))

        try:
            return await self._prepare(task_id, held.record.task, show)
        finally:
            held.progress = ""  # what came of it is the news now

    async def _tell_progress(self, task_id: str, held: _Held) -> None:
        """Tell the last word of all that comes within a while: what takes long may say nothing after it."""
        while held.progress and self._held.get(task_id) is held:
            message, held.progress = held.progress, ""
            self._deliver(task_id, events.Progress(message))
            await asyncio.sleep(PROGRESS_S)

    async def _prepare(self, task_id: str, task: Task, show: Callable[[str], None]) -> events.Event:
        spec = task.spec.container
        config = await self._images.ensure(
            spec.image, spec.image_digest, registry_credentials(task), self._source, show
        )
        await self._mounted_images.pull(task, show)
        await self._volumes.wait(task, template_context(task, self._facts()), show)
        health = merged(spec.healthcheck, config.healthcheck)
        check = check_of(health)
        if check is not None:  # on disk before there is anything to check
            await self._database.put_health_config(task_id, health)
        return events.ImagePulled(config.digest, check)

    async def _create_or_start(
        self, task_id: str, record: TaskRecord, instruction: events.Instruction
    ) -> events.Event:
        async with self._starts, asyncio.timeout(START_TIMEOUT_S):
            if isinstance(instruction, events.StartContainer):
                return events.ContainerStarted(await self._driver.start(task_id))
            sandbox = record.sandbox or Sandbox(task_id, "", "", "")
            facts = self._facts()
            config = container_config(record.task, record.image_digest, sandbox, facts)
            context = template_context(record.task, facts)
            config = await self._files.add_to(config, record.task, context)
            config = await self._volumes.add_to(config, record.task, context)
            config = await self._mounted_images.add_to(config, record.task, context)
            await self._driver.create(config)
            return events.ContainerCreated()


def _log_status(record: TaskRecord) -> None:
    log.info(
        "agent.task_state_changed",
        task_id=record.task.id,
        service_id=record.task.service_id,
        slot=record.task.slot,
        state=state_name(record.status.state),
        reason=loggable_reason(record.status),
    )
