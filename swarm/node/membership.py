"""Everything that runs on this machine while it is a node of a cluster: agent, manager, renewal."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from swarm.agent.main import Agent
from swarm.api.v1.ca_pb2 import IssueCertificateResponse
from swarm.api.v1.dispatcher_pb2 import NodeInfo
from swarm.clock import SECOND, Clock
from swarm.config import Settings
from swarm.endings import endless
from swarm.errors import FailedPrecondition, SwarmError
from swarm.node.level import note_level, read_level
from swarm.node.machine import Machine, forget_seat, open_machine
from swarm.node.moving import Act, plan_address, recorded_address, tell_leader
from swarm.node.renewal import RenewalLoop
from swarm.node.state import NodeState, managers_of
from swarm.runtime.images.loop import CollectionLoop
from swarm.runtime.images.store import LocalImageStore
from swarm.security.identity import Role, certificate_role
from swarm.security.tls import NodeCredentials

if TYPE_CHECKING:  # a worker must not pay for what only managers need
    from swarm.manager.founding import Foundation
    from swarm.manager.main import Manager
    from swarm.security.keyring import Keyring
    from swarm.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

RETRY_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
ADDRESS_PAUSE_S = 1.0  # between two looks at where the managers think that this one is
_REMOVED = "this manager was removed from the group of managers"


class ManagerEnded(SwarmError):
    """The manager half cannot go on; the message says why."""


class Membership:
    """A node's life between joining and leaving. `run` until cancelled; containers live on."""

    def __init__(  # noqa: PLR0913 - the parts of a node
        self,
        settings: Settings,
        state: NodeState,
        credentials: NodeCredentials,
        images: LocalImageStore,
        clock: Clock,
        metrics: Callable[[], "Metrics"],
        *,
        keyring: "Keyring | None" = None,
        foundation: "Foundation | None" = None,
        on_state: Callable[[NodeState], None],
        on_removed: Callable[[], None],
    ) -> None:
        """`on_state` hears of every change that must survive a restart; `on_removed` that all is over.

        `images` are closed when `run` ends. `keyring` is given when it was open already, `foundation` on the
        node that starts a cluster.
        """
        self.settings = replace(
            settings,
            advertise_addr=state.addr,
            listen_addr=state.listen_addr,
            data_path_addr=state.data_path_addr,
        )
        self.state = state
        self.credentials = credentials
        self.images = images
        self.machine: Machine | None = None
        self.manager: Manager | None = None
        self.agent: Agent | None = None
        self.level = read_level(settings.state_dir)  # of the cluster, as far as its managers have said
        self.problems: dict[str, str] = {}  # part → what is wrong with it now
        self._clock = clock
        self._metrics = metrics
        self.keyring = keyring
        self._foundation = foundation
        self._on_state = on_state
        self._on_removed = on_removed
        self._renewal = RenewalLoop(
            credentials,
            lambda: [addr for _, addr in self.state.managers],
            clock,
            self._renewed,
            self._certificate_problem,
        )
        self._role = credentials.identity.role
        self._role_changed = asyncio.Event()

    @property
    def is_manager(self) -> bool:
        """Whether the certificate makes this node a manager."""
        return self.credentials.identity.role is Role.MANAGER

    def founded(self) -> None:
        """Note that the new cluster stands: from now on this node never founds one again."""
        self._foundation = None

    async def run(self) -> None:
        """Run agent, manager and renewal until cancelled."""
        unsubscribe = self.credentials.subscribe(self._credentials_changed)
        try:
            async with asyncio.TaskGroup() as group:
                for name, run in {
                    "agent": self._run_agent,
                    "role": self._follow_role,
                    "renewal": self._renewal.run,
                    "images": CollectionLoop(self.images, self._clock, self._needed_images).run,
                }.items():
                    group.create_task(endless(run, f"the node's {name}"), name=f"node-{name}")
        finally:
            unsubscribe()
            if self.machine is not None:
                await self.machine.close()
                self.machine = None
            await self.images.close()

    # The agent.

    def _needed_images(self) -> frozenset[str]:
        return self.agent.image_digests() if self.agent is not None else frozenset()

    async def _run_agent(self) -> None:
        """Keep the agent running; what fails is tried again, so that a manager half goes on meanwhile."""
        await self._again_and_again("agent", self._run_agent_once)

    async def _run_agent_once(self) -> None:
        if self.machine is None:
            self.machine = await open_machine(self.settings, self.images)
        self.problems.pop("agent", None)
        self.agent = Agent(
            self.settings,
            self.state.node_id,
            self.credentials,
            lambda: self.state.peers,
            self.machine.driver,
            self.images,
            self.machine.network,
            self._clock,
            self._take_node_info,
            self._on_removed,
            resolver=self.machine.resolver,
            http_proxy=self.machine.http_proxy,
            capabilities=self.machine.capabilities,
            tls_info=lambda: self.credentials.tls_info,
        )
        try:
            await self.agent.run()
        finally:
            self.agent = None

    async def _again_and_again(self, part: str, once: Callable[[], Coroutine[Any, Any, None]]) -> None:
        failures = 0
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await once()
                reason = "it ended by itself"
            except SwarmError as error:
                reason = str(error)
                log.warning("node.part_failed", part=part, reason=reason)
            except Exception as error:
                reason = repr(error)
                log.exception("node.part_failed", part=part, reason=reason)
            self.problems[part] = reason
            failures = 0 if self._clock.monotonic_s() - started_s > 60.0 else failures
            await asyncio.sleep(RETRY_PAUSES_S[min(failures, len(RETRY_PAUSES_S) - 1)])
            failures += 1

    def _take_node_info(self, info: NodeInfo) -> None:
        """Hear from a manager who the managers are, which role this node has, and whom to trust."""
        if info.HasField("trust"):
            trust = info.trust
            if self.credentials.trust_roots(trust.roots_pem, trust.version):
                self._renewal.want_issuer(trust.issuer_digest, trust.renew_within_ns / SECOND)
        if info.managers:
            self._change_state(managers=managers_of(info.managers))
        self._take_level(info.level)
        if certificate_role(info.role) is not self.credentials.identity.role:
            self._renewal.check_role()

    def _take_level(self, level: int) -> None:
        """Hear of the cluster's level; what is on disk from now on is not for older versions."""
        if level <= self.level:
            return
        try:
            note_level(self.settings.state_dir, level)
        except (OSError, SwarmError) as error:  # the managers say it again with their next news
            log.warning("node.level_not_saved", level=level, reason=str(error))
        else:
            self.level = level

    def add_managers(self, addrs: Sequence[str]) -> None:
        """Hear from an operator where managers are; whoever answers there has to prove to be one."""
        known = tuple(pair for pair in self.state.managers if pair[1] not in addrs)
        self._change_state(managers=(*(("", addr) for addr in addrs), *known))

    def _change_state(self, **changes: Any) -> None:
        changed = replace(self.state, **changes)
        if changed != self.state:
            self.state = changed
            self._on_state(changed)

    # The certificate.

    def _credentials_changed(self) -> None:
        if self.agent is not None:
            self.agent.describe_again()

    def certificate_replaced(self, answer: IssueCertificateResponse) -> None:
        """Hear that the managers gave this node a certificate outside of the usual renewals."""
        self.problems.pop("certificate", None)
        self._renewed(answer)

    async def renew_certificate(self) -> None:
        """Get a new key and certificate now; raises Unavailable when no manager gives one."""
        await self._renewal.renew_now()

    def _renewed(self, answer: IssueCertificateResponse) -> None:
        if answer.managers:
            self._change_state(managers=managers_of(answer.managers))
        if self.credentials.identity.role is not self._role:
            self._role = self.credentials.identity.role
            self._role_changed.set()

    def _certificate_problem(self, reason: str) -> None:
        if reason:
            self.problems["certificate"] = reason
        else:
            self.problems.pop("certificate", None)

    # The manager.

    async def _follow_role(self) -> None:
        """Be a manager exactly while the certificate says so."""
        while True:
            self._role_changed.clear()
            if self.is_manager:
                await self._be_manager()
            else:
                self.problems.pop("manager", None)
                self._forget_seat()
                self._forget_keys()
                await self._role_changed.wait()

    async def _be_manager(self) -> None:
        """Keep the manager half running until the role changes."""
        running = asyncio.create_task(self._again_and_again("manager", self._run_manager_once))
        changed = asyncio.create_task(self._role_changed.wait())
        try:
            await asyncio.wait({running, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (running, changed):
                one.cancel()
            await asyncio.gather(running, changed, return_exceptions=True)

    async def _run_manager_once(self) -> None:
        """Start the manager half and watch over it; raises when it cannot go on."""
        from swarm.manager.main import Manager
        from swarm.node.seat import find_seat

        founding = self._foundation is not None
        keyring = await asyncio.to_thread(self.open_keyring)
        seat = await find_seat(
            self.settings, self.state, self.credentials, keyring, self._clock, founding=founding
        )
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def end(reason: str) -> None:
            if not ended.done():
                ended.set_result(reason)

        manager = Manager(
            self.settings,
            self.credentials,
            self.images,
            self._clock,
            self._metrics(),
            seat,
            keyring,
            foundation=self._foundation,
            on_fatal=end,
            on_removed=lambda: end(_REMOVED),
            on_exposed=self._renewal.check_role,
        )
        try:
            await manager.start()
            self.manager = manager
            self.problems.pop("manager", None)
            reason = await self._watch_address(manager, ended)
        finally:
            self.manager = None
            await manager.stop()
        if reason == _REMOVED:
            # Demoted, most likely: then the certificate says so soon. Removed from the cluster: whoever
            # renews the certificate says that. If neither, this node asks for a new seat.
            self._forget_seat()
            self._renewal.check_role()
        raise ManagerEnded(reason)

    async def _watch_address(self, manager: "Manager", ended: "asyncio.Future[str]") -> str:
        """Keep the managers' record and this node of one mind about its address, until the manager ends.

        Returns why it ended; an address that others gave it is a reason, too: it starts again with that.
        """
        while not ended.done():
            recorded = recorded_address(manager.raft)
            act = plan_address(self.state, recorded)
            if act is Act.TAKE_OVER:
                self._change_state(addr=recorded)
                self.settings = replace(self.settings, advertise_addr=recorded)
                return f"its address is {recorded} from now on"
            if act is Act.CONFIRMED:
                self._change_state(moved=False)
                log.info("node.address_confirmed", addr=recorded)
            elif act is Act.TELL:
                try:
                    await tell_leader(manager.raft, self.state.addr, self.credentials)
                except SwarmError as error:
                    log.warning("node.address_not_told", addr=self.state.addr, reason=str(error))
            await asyncio.wait((ended,), timeout=ADDRESS_PAUSE_S)
        return ended.result()

    def open_keyring(self) -> "Keyring":
        """Return the keys of this manager's files; a new log gets a new key."""
        from swarm.manager.raft.files import has_log
        from swarm.security.keyring import create_keyring, open_keyring

        path, is_new = self.settings.key_file, not has_log(self.settings.raft_dir)
        if self.keyring is None:
            with contextlib.suppress(FileNotFoundError):
                self.keyring = open_keyring(path)
        if self.keyring is None:
            if not is_new:
                raise FailedPrecondition(
                    f"the key file {path} is missing, and the Raft log cannot be read without it: restore it"
                    " from a backup, or leave (swarmctl leave --force) and join again"
                )
            self.keyring = create_keyring(path)
        elif is_new:
            self.keyring.renew()
            self.keyring.keep_only(self.credentials.needed_keys)
        return self.keyring

    def _forget_keys(self) -> None:
        """Forget the keys of the files of a manager; a worker has none, and needs none."""
        self.keyring = None
        self.credentials.protect(None)
        self.settings.key_file.unlink(missing_ok=True)

    def _forget_seat(self) -> None:
        """Forget the Raft log: a node that is promoted again joins as a new member."""
        forget_seat(self.settings)
