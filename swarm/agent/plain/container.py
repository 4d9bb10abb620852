"""One plain container: started, watched, restarted and removed as its people and its policy want it.

What is to be is on disk before it is done. `_turn` lets one start, stop or removal at a time decide; the
attendant waits for the container's end beside it, and takes its turn only to start it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from swarm.agent.container import template_context
from swarm.agent.container_options import limits
from swarm.agent.health import begun
from swarm.agent.health_monitor import watch
from swarm.agent.network.base import Sandbox
from swarm.agent.plain.config import HOST_NETWORK, as_task, given_ports, plain_config, wanted_ports
from swarm.agent.plain.node import Node
from swarm.agent.plain.note import Edit, Note
from swarm.agent.plain.policy import Decision, Ending, Then, after_end, starts_with_agent
from swarm.api.v1.objects_pb2 import Attachment, Task
from swarm.api.v1.plain_pb2 import PlainContainer
from swarm.api.v1.types_pb2 import HealthStatus, ResourceRequirements
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, NotFound, SwarmError
from swarm.model.health import WORDS, HealthCheck, check_of
from swarm.model.plain import validate_plain
from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.processes import signal_number, signal_to_stop

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 120.0
CLEAN_AGAIN_S = 1.0
LOST_EXIT_CODE = 255

OnEvent = Callable[["Plain", str, Mapping[str, str]], None]  # what happened: start, die, …; and more of it
BeforeStart = Callable[[], Awaitable[None]]


class Plain:
    """A plain container. What raises SwarmError has changed nothing but `record.error`."""

    def __init__(self, record: PlainContainer, node: Node, on_gone: Callable[["Plain"], None]) -> None:
        """`on_gone` hears when nothing of it is left."""
        self._note = Note(record, node.records)
        self.health = HealthStatus()
        self.on_event: OnEvent = lambda plain, event, attributes: None
        self._node = node
        self._on_gone = on_gone
        self._turn = asyncio.Lock()
        self._attendant: asyncio.Task[None] | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()  # somebody decided something: a wait for a restart is over
        self._delay_ns = 0

    @property
    def record(self) -> PlainContainer:
        """What is written down of it; never changed in place."""
        return self._note.record

    @property
    def id(self) -> str:
        """The id."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name."""
        return self.record.spec.name

    def task(self) -> Task:
        """Return it in the form of a task."""
        return as_task(self.record)

    @property
    def image(self) -> ImageConfig | None:
        """What its image says; None when that is not here."""
        return self._node.images.image_of(self.id, self.record.image_digest)

    @property
    def restarting(self) -> bool:
        """Whether it waits for its policy to start it again."""
        return self.record.running and self._attendant is not None and bool(self._delay_ns)

    async def change(self, edit: Edit, *, ending: bool = False) -> None:
        """Write down a changed record, see `Note.change`."""
        await self._note.change(edit, ending=ending)

    async def info(self) -> ContainerInfo | None:
        """Return what the runtime knows; None before its first start."""
        return await self._node.driver.inspect(self.id)

    async def warnings(self) -> Sequence[str]:
        """Return what it has less of than was asked for, or would have: before its first start."""
        info = await self.info()
        if info is not None:
            return info.warnings
        try:
            config, _ = plain_config(self.record, Sandbox(self.id, "", "", ""), self._node.facts())
        except SwarmError:
            return ()  # it cannot be at all: its start says why
        return await self._node.driver.foresee(config)

    # What people do.

    async def start(self, before_start: BeforeStart | None = None) -> None:
        """Start it; nothing to do when it runs. Raises SwarmError.

        `before_start` runs when all but the start is done: for who wants to see its first word.
        """
        self._awake.set()
        async with self._turn:
            info = await self.info()
            if info is not None and info.state is ContainerState.RUNNING and self._attendant is not None:
                return
            await self._leave()

            def started(record: PlainContainer) -> None:
                record.stopped, record.restarts = False, 0

            await self.change(started)
            self._delay_ns = 0
            try:
                await self._launch(before_start)
            except BaseException:
                await self.change(lambda record: setattr(record, "running", False), ending=True)
                raise
            self._attend()

    async def stop(self, grace_s: float, signal_name: str = "") -> None:
        """Stop it for good: no policy starts it again until somebody, or the next agent, does.

        Raises InvalidArgument for an unknown signal.
        """
        number = signal_to_stop(signal_name, 0) or self._usual_signal()  # before anything is noted
        await self.note_stopped()
        async with self._turn:
            info = await self.info()
            if info is not None and info.state is ContainerState.RUNNING:
                self.on_event(self, "kill", {"signal": str(number)})
                await self._node.driver.stop(self.id, grace_s, signal_name)
            attendant = self._attendant
        if attendant is not None:
            await asyncio.wait((attendant,))
            self.on_event(self, "stop", {})

    def _usual_signal(self) -> int:
        """Return the signal that asks it to end where nobody names one; an image may say nonsense."""
        name = self.record.spec.container.stop_signal or (self.image.stop_signal if self.image else "")
        try:
            return signal_number(name or "TERM")
        except ValueError:
            return signal_number("TERM")

    async def note_stopped(self) -> None:
        """Write down that what ends it now is not for its policy to mend."""
        await self.change(lambda record: setattr(record, "stopped", True), ending=True)
        self._awake.set()

    async def restart(self, grace_s: float, signal_name: str = "") -> None:
        """Stop it and start it again."""
        if self.record.spec.auto_remove and self._attendant is not None:
            raise FailedPrecondition(f"container {self.name} is removed when it ends (--rm): run it anew")
        await self.stop(grace_s, signal_name)
        await self.start()
        self.on_event(self, "restart", {})

    async def remove(self, *, force: bool) -> None:
        """Leave nothing of it; raises FailedPrecondition while it runs and nothing forces it."""
        info = await self.info()
        if not force and (self.restarting or (info is not None and info.state is ContainerState.RUNNING)):
            state = "paused" if info is not None and info.paused else "running"
            raise FailedPrecondition(f"container {self.name} is {state}: stop it, or remove it by force")
        self._awake.set()
        await self.change(lambda record: setattr(record, "removing", True), ending=True)
        async with self._turn:
            await self._leave()
            if info is not None and info.state is ContainerState.RUNNING:
                await self._end_by_force()
            await self._remove()

    async def _end_by_force(self) -> None:
        """Kill it, so that its end is told before it is gone."""
        await self._node.driver.stop(self.id, 0.0)
        self.on_event(self, "kill", {"signal": "9"})
        ended = await self.info()
        if ended is not None:
            self._told(ended)

    async def limit(self, resources: ResourceRequirements) -> None:
        """Give it other resources, at once if it runs; raises SwarmError, and all is as it was."""
        changed = PlainContainer()
        changed.CopyFrom(self.record)
        changed.spec.resources.CopyFrom(resources)
        validate_plain(changed.spec)
        async with self._turn:
            info = await self.info()
            if info is not None and info.state is ContainerState.RUNNING:
                now, before = limits(resources), limits(self.record.spec.resources)
                await self._node.driver.update(self.id, now, before)
            await self.change(lambda record: record.spec.resources.CopyFrom(resources))

    # Its networks, see `swarm.agent.plain.networks`; each of these in one turn of those.

    async def take_networks(self, given: Attachment) -> None:
        """Be in the networks that the managers gave; raises SwarmError, and it is where it was before."""
        before = self.record

        def attached(record: PlainContainer) -> None:
            del record.spec.networks[:], record.addresses[:]
            record.spec.networks.extend(given.wanted)
            record.addresses.extend(given.networks)

        await self.change(attached)
        try:
            await self.rewire(before)
        except (SwarmError, OSError):
            await self.change(lambda record: _put_back(record, before))
            raise

    async def rewire(self, before: PlainContainer) -> None:
        """Bring it, if it runs, from its networks of before into those that it has now."""
        now = self.record
        if not now.address or (
            before.addresses == now.addresses and before.spec.networks == now.spec.networks
        ):
            return
        async with self._turn:
            if self.record.address:
                await self._node.networks.join(self.record, wanted_ports(self.record))

    # What its agent does.

    async def resume(self) -> None:
        """Take it up from where an earlier agent left it."""
        if self.record.removing:
            await self.remove(force=True)
            return
        info = await self.info()
        if self.record.address and self.record.spec.networks:
            self._rejoining = asyncio.create_task(self._rejoin(), name="plain-rejoin")
        if self.record.running and (info is None or info.state is not ContainerState.CREATED):
            self._attend()
        elif info is not None and info.state is ContainerState.RUNNING:
            # The agent was killed between the start and the note of it.
            await self.change(lambda record: setattr(record, "running", True))
            self._attend()
        elif self.record.running or starts_with_agent(self.record):
            self._attendant = asyncio.create_task(self._start_again(), name=f"plain {self.id}")

    async def introduce(self) -> None:
        """Have names answered for it as they were in an earlier life of the agent."""
        await self._node.networks.introduce(self.record, self.record.address)

    async def _rejoin(self) -> None:
        """Bring to its end what the last agent may have begun; mostly there is nothing to do."""
        try:
            async with self._turn:
                if self.record.address:
                    await self._node.networks.join(self.record, wanted_ports(self.record))
        except (SwarmError, OSError) as error:
            log.warning("agent.plain_container_not_rejoined", container=self.name, reason=str(error))

    async def leave_node(self) -> None:
        """Stop it because its node leaves; its policy counts again when there is an agent again."""
        await self._leave()
        await self._node.driver.stop(self.id, _grace_s(self.record))
        await self._settle()

    async def close(self) -> None:
        """Let go of it; it runs on."""
        if self._rejoining is not None:
            self._rejoining.cancel()
            await asyncio.gather(self._rejoining, return_exceptions=True)
        await self._leave()

    async def _leave(self) -> None:
        attendant, self._attendant = self._attendant, None
        if attendant is not None and attendant is not asyncio.current_task():
            attendant.cancel()
            await asyncio.gather(attendant, return_exceptions=True)

    def _attend(self) -> None:
        self._awake.clear()
        self._attendant = asyncio.create_task(self._watch_over(), name=f"plain {self.id}")
        self._attendant.add_done_callback(_note_failure)

    async def _start_again(self) -> None:
        try:
            await self.start_by_policy()
        except (SwarmError, OSError) as error:
            log.warning("agent.plain_container_not_started", container=self.name, reason=str(error))
            if not await self._go_on(self._decide(Ending(LOST_EXIT_CODE))):
                return
        await self._watch_over()

    async def start_by_policy(self) -> None:
        """Start it because its policy says so; raises SwarmError, OSError."""
        async with self._turn:
            await self._launch()

    async def _watch_over(self) -> None:
        """Wait for the end, again and again while the policy wants it."""
        while True:
            info = await self._end()
            ran_ns = max(0, info.finished_at_ns - info.started_at_ns)
            await self._settle()
            self._told(info)
            if not await self._go_on(self._decide(Ending(info.exit_code, ran_ns))):
                return

    def _decide(self, ending: Ending) -> Decision:
        return after_end(self.record, ending, self._delay_ns)

    async def _go_on(self, decision: Decision) -> bool:
        """Do what was decided; whether it runs again."""
        while decision.then is Then.RESTART:
            self._delay_ns = decision.delay_ns
            await self._wait_for_turn(decision.delay_ns)
            if self.record.stopped or self.record.removing:
                break
            try:
                await self.change(lambda record: setattr(record, "restarts", record.restarts + 1))
                await self.start_by_policy()
            except (SwarmError, OSError) as error:
                log.warning("agent.plain_container_not_restarted", container=self.name, reason=str(error))
                decision = self._decide(Ending(LOST_EXIT_CODE))
            else:
                return True
        self._delay_ns = 0
        await self.change(lambda record: setattr(record, "running", False), ending=True)
        if decision.then is Then.REMOVE and not self.record.removing:
            await self.change(lambda record: setattr(record, "removing", True), ending=True)
            await self._remove()
        return False

    async def _wait_for_turn(self, delay_ns: int) -> None:
        try:
            async with asyncio.timeout(delay_ns / 1e9):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()

    async def _end(self) -> ContainerInfo:
        info = await self.info()
        check = check_of(self.record.healthcheck)
        prober = None
        if info is not None and info.state is ContainerState.RUNNING and check is not None:
            prober = asyncio.create_task(self._probe(check, info.started_at_ns), name="plain-health")
        try:
            return await self._node.driver.wait(self.id)
        except NotFound:
            return ContainerInfo(
                self.id, ContainerState.EXITED, exit_code=LOST_EXIT_CODE, error="the container is gone"
            )
        finally:
            if prober is not None:
                prober.cancel()
                await asyncio.gather(prober, return_exceptions=True)

    async def _probe(self, check: HealthCheck, started_ns: int) -> None:
        def tell(health: HealthStatus) -> None:
            before, self.health = self.health, health
            if before.state != health.state:
                log.info("agent.health_changed", container=self.name, state=WORDS[health.state])
                self.on_event(self, f"health_status: {WORDS[health.state]}", {})

        self.health = begun()
        address = self.record.address
        await watch(
            self.id,
            check,
            self.health,
            started_ns,
            lambda: self._node.prober.ask(self.id, check, address),
            self._node.clock,
            tell,
        )

    async def _launch(self, before_start: BeforeStart | None = None) -> None:
        """Run it; raises SwarmError, after which it does not run and has no address."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):  # a plugin that is silent holds up no other start
                context = template_context(self.task(), self._node.facts())
                await self._node.volumes.wait(self.task(), context)
            async with self._node.starts, asyncio.timeout(START_TIMEOUT_S):
                await self._make_and_start(before_start)
        except (SwarmError, OSError, TimeoutError) as error:
            reason = str(error) or "it took too long"
            await self._settle()
            await self.change(lambda record: setattr(record, "error", reason), ending=True)
            raise
        self._tell_networks("connect")
        self.on_event(self, "start", {})

    async def _make_and_start(self, before_start: BeforeStart | None) -> None:
        driver, spec = self._node.driver, self.record.spec
        image = await self._node.images.ensure(
            spec.container.image, self.record.image_digest, None, self._node.source
        )
        sandbox = Sandbox(self.id, "", "", "")
        if spec.network != HOST_NETWORK:
            sandbox = await self._node.networks.join(self.record, wanted_ports(self.record))

        def running(record: PlainContainer) -> None:
            record.running, record.error, record.image_digest = True, "", image.digest
            del record.published[:]
            record.published.extend(given_ports(sandbox))
            record.address = sandbox.address

        config, context = plain_config(self.record, sandbox, self._node.facts())
        config = await self._node.volumes.add_to(config, self.task(), context)
        config = await self._node.mounted_images.add_to(config, self.task(), context)
        info = await self.info()
        if info is None:
            await driver.create(config)
        elif info.state is ContainerState.EXITED:
            await driver.renew(config)
        await self.change(running)
        if before_start is not None:
            await before_start()
        await driver.start(self.id)

    async def _settle(self) -> None:
        """Free address and ports of what does not run; tried until it works."""
        while True:
            try:
                await self._node.networks.leave(self.id)
                break
            except (SwarmError, OSError) as error:
                log.warning("agent.plain_container_not_detached", container=self.name, reason=str(error))
                await asyncio.sleep(CLEAN_AGAIN_S)

        def ended(record: PlainContainer) -> None:
            del record.published[:]
            record.address = ""

        self.health = HealthStatus()
        await self.change(ended, ending=True)

    async def _remove(self) -> None:
        await self._node.driver.remove(self.id)
        await self._node.networks.leave(self.id)
        await self._node.volumes.release(self.task())
        self._node.mounted_images.forget(self.task())
        await self._node.networks.release(self.record)
        await self._note.forget()
        log.info("agent.plain_container_removed", container=self.name, container_id=self.id)
        self._on_gone(self)

    def _told(self, info: ContainerInfo) -> None:
        log.info(
            "agent.plain_container_ended",
            container=self.name,
            container_id=self.id,
            exit_code=info.exit_code,
            oom_killed=info.oom_killed,
            reason=info.error,
        )
        if info.oom_killed:
            self.on_event(self, "oom", {})
        ran_s = max(0, info.finished_at_ns - info.started_at_ns) // SECOND
        self.on_event(self, "die", {"exitCode": str(info.exit_code), "execDuration": str(ran_s)})
        self._tell_networks("disconnect")

    def _tell_networks(self, event: str) -> None:
        """Tell that it came into all of its networks, or left them, as Docker does at start and end."""
        spec = self.record.spec
        named = [one.network_name or one.network_id for one in spec.networks]
        for name in named or [spec.network or "bridge"]:
            self.on_event(self, event, {"network": name})


def _put_back(record: PlainContainer, before: PlainContainer) -> None:
    del record.spec.networks[:], record.addresses[:]
    record.spec.networks.extend(before.spec.networks)
    record.addresses.extend(before.addresses)


def _grace_s(record: PlainContainer) -> float:
    spec = record.spec.container
    return spec.stop_grace_period_ns / 1e9 if spec.HasField("stop_grace_period_ns") else 10.0


def _note_failure(done: "asyncio.Task[None]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("agent.plain_container_unattended", reason=f"{type(error).__name__}: {error}")
