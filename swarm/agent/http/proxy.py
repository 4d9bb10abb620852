"""Sees to it that the HTTP proxy of this node is what the managers say, and that there is one.

Tasks that come and go are commands to the proxy that runs. Everything else (routes, certificates, ports, a
router that was made anew) is a new process, which takes over. What fails is tried again, and said in the
node's status; a proxy that runs goes on meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from swarm.agent.assignments import DataChanges
from swarm.agent.http.base import Counters
from swarm.agent.http.commands import Key, Standing, commands, proof_commands, proofs_shown, standings
from swarm.agent.http.config import digest_of
from swarm.agent.http.counters import Sums, counted
from swarm.agent.http.plan import Wanted, wanted_proxy
from swarm.agent.http.process import PROGRAM, ProxyFiles, Running, find_program
from swarm.agent.http.sockets import Ports, Sockets, close_sockets, open_sockets, sockets_of
from swarm.agent.network import namespaces
from swarm.agent.overlay.state import OverlayState, Touched
from swarm.api.v1.objects_pb2 import Secret
from swarm.api.v1.types_pb2 import HttpProxyStatus
from swarm.clock import Clock
from swarm.errors import SwarmError, Unavailable
from swarm.runtime.processes import Process

log = structlog.get_logger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.2, 10.0
AGAIN_S = 1.0  # for tasks that still have connections when they are gone


class NodeHttpProxy:
    """Implements HttpProxy; needs root."""

    def __init__(self, run_dir: Path, router: Callable[[str], Path], clock: Clock) -> None:
        """`router` returns the namespace of a network's router."""
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._files = ProxyFiles(run_dir)
        self._router = router
        self._wanted: Wanted | None = None
        self._known = False  # whether the managers, or what was kept of them, said anything
        self._data: dict[str, bytes] = {}
        self._default = b""
        self._sockets: Sockets = {}
        self._ports: Ports | None = None
        self._running: Running | None = None
        self._process: Process | None = None
        self._there: dict[Key, Standing] | None = None  # None: it has to be asked
        self._proofs: dict[str, str] | None = None  # as well
        self._problem = ""
        self._sums = Sums()
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    # The contract.

    async def start(self) -> None:
        """See HttpProxy."""
        if self._working is None:
            self._working = asyncio.create_task(self._work(), name="http-proxy")

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """See HttpProxy."""
        self._wanted = wanted_proxy(state)
        self._known = True
        if not touched:
            self._there = self._proofs = None
        self._wake.set()

    def take_data(self, changes: DataChanges) -> None:
        """See HttpProxy."""
        if changes.complete:
            self._data.clear()
        for item in changes.put:
            if isinstance(item, Secret):
                self._data[item.id] = item.spec.secret_data
        for data_id in changes.drop:
            self._data.pop(data_id, None)
        if self._wanted is not None:
            self._wake.set()

    def status(self) -> HttpProxyStatus | None:
        """See HttpProxy."""
        wanted = self._wanted
        if wanted is None:
            return None
        running = self._running
        return HttpProxyStatus(
            running=running is not None,
            problem=self._problem,
            version=running.version if running is not None else "",
            http_port=wanted.http_port,
            https_port=wanted.https_port,
            proofs=sorted(self._proofs or ()),
        )

    async def counters(self) -> Counters:
        """See HttpProxy."""
        async with self._turn:
            await self._count()
            return self._sums.all()

    async def teardown(self) -> None:
        """See HttpProxy."""
        await self._stop_working()
        async with self._turn:
            await self._end()

    async def close(self) -> None:
        """See HttpProxy."""
        await self._stop_working()
        async with self._turn:
            self._forget()
            self._known = False

    async def _stop_working(self) -> None:
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait({self._working})
            self._working = None

    # The work.

    async def _work(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            await self._woken()
            self._wake.clear()
            before = self.status()
            try:
                async with self._turn:
                    left = await self._follow()
                self._problem, retry_s = "", RETRY_FIRST_S
            except Exception as error:  # whatever it is, it must not end the care for the proxy
                reason = str(error) or type(error).__name__
                if reason != self._problem:
                    expected = isinstance(error, OSError | SwarmError)
                    log.warning("http.not_applied", reason=reason, exc_info=not expected)
                self._problem, self._there, self._proofs, left = reason, None, None, False
                self._later(retry_s)
                retry_s = min(2 * retry_s, RETRY_MAX_S)
            if left:
                self._later(AGAIN_S)
            if self.status() != before:
                self.changed()

    def _later(self, wait_s: float) -> None:
        asyncio.get_running_loop().call_later(wait_s, self._wake.set)

    async def _woken(self) -> None:
        """Return when something changed, or the proxy has ended."""
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._wake.wait())]
        if self._process is not None:
            waiting.append(asyncio.create_task(self._process.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _follow(self) -> bool:
        """Have the proxy be what it should be; return whether something is left to be done."""
        if not self._known:
            return False
        wanted = self._wanted
        if wanted is None:
            await self._end()
            return False
        if self._process is not None and not self._process.alive:
            log.warning("http.proxy_ended", pid=self._process.pid)
            self._release()
        if self._running is None:
            await self._adopt(wanted)
        try:
            changed = await self._renew(wanted)
        except (OSError, SwarmError):
            if self._running is not None:
                await self._change_tasks(wanted)  # it is not what it should be; at least it knows the tasks
            raise
        return False if changed else await self._change_tasks(wanted)

    async def _renew(self, wanted: Wanted) -> bool:
        """Start another process if one is needed; return whether it was."""
        await self._ensure_sockets(wanted)
        router = self._router(wanted.network_id)
        if not namespaces.is_namespace(router):
            raise Unavailable("the ingress network is not there on this node yet")
        certificates, missing = self._certificates(wanted)
        running = self._running
        digest = digest_of(wanted, certificates)
        if running is None or (
            not missing and (running.digest != digest or running.namespace != namespaces.inode(router))
        ):
            await self._replace(wanted, certificates, router)
            return True
        return False

    async def _replace(self, wanted: Wanted, certificates: Mapping[str, bytes], router: Path) -> None:
        from swarm.model.http_certificates import self_signed

        program = find_program()
        if program is None:
            raise Unavailable(f"{PROGRAM} is not installed on this node (apt-get install {PROGRAM})")
        await self._count()
        self._default = self._default or await asyncio.to_thread(self_signed, "swarm", self._clock.now_ns())
        pids = await asyncio.to_thread(self._files.pids)
        running = await asyncio.to_thread(
            self._files.start,
            program,
            wanted,
            certificates,
            self._default,
            self._sockets,
            router,
            pids,
        )
        self._release()
        self._hold(running, wanted)
        self._proofs = dict(wanted.proofs)
        log.info("http.proxy_started", pid=running.pid, routes=len(wanted.backends), instead_of=pids)

    async def _change_tasks(self, wanted: Wanted) -> bool:
        await self._change_proofs(wanted)
        if self._there is None:
            self._there = standings(await self._ask("show servers state"))
        todo = list(commands(wanted, self._there))
        if not todo:
            return False
        await self._ask(*todo)
        self._there = standings(await self._ask("show servers state"))
        left = list(commands(wanted, self._there))
        log.debug("http.tasks_changed", commands=len(todo), left=len(left))
        return bool(left)

    async def _change_proofs(self, wanted: Wanted) -> None:
        show = f"show map {self._files.proofs}"
        if self._proofs is None:
            self._proofs = proofs_shown(await self._ask(show))
        todo = list(proof_commands(wanted, self._proofs, str(self._files.proofs)))
        if todo:
            await self._ask(*todo)
            self._proofs = proofs_shown(await self._ask(show))

    async def _adopt(self, wanted: Wanted) -> None:
        """Take over the proxy that an earlier life of the agent started, if there is one."""
        with contextlib.suppress(OSError):
            running = await asyncio.to_thread(self._files.ask_who)
            self._hold(running, wanted)
            log.info("http.proxy_adopted", pid=running.pid)

    def _hold(self, running: Running, wanted: Wanted) -> None:
        self._running, self._there, self._proofs = running, None, None
        self._process = Process.open(running.pid)
        self._sums.begin(wanted)

    def _release(self) -> None:
        self._running = self._there = self._proofs = None
        if self._process is not None:
            self._process.close()
            self._process = None

    async def _ensure_sockets(self, wanted: Wanted) -> None:
        ports = Ports(wanted.http_port, wanted.https_port)
        if self._sockets and self._ports == ports:
            return
        close_sockets(self._sockets)
        self._sockets = {}
        if self._running is not None:
            self._sockets = await asyncio.to_thread(sockets_of, self._running.pid, ports)
        if not self._sockets:
            self._sockets = open_sockets(ports)
        self._ports = ports

    def _certificates(self, wanted: Wanted) -> tuple[dict[str, bytes], bool]:
        """Return the certificates that are known, and whether some are still to come."""
        from swarm.model.http_certificates import certificate_problem

        found: dict[str, bytes] = {}
        missing = False
        for secret_id in wanted.secret_ids:
            data = self._data.get(secret_id)
            missing = missing or data is None
            if data and not certificate_problem(data):
                found[secret_id] = data
        return found, missing

    async def _ask(self, *lines: str) -> str:
        return await asyncio.to_thread(self._files.ask, list(lines))

    async def _count(self) -> None:
        if self._running is not None:
            with contextlib.suppress(OSError):
                self._sums.add(counted(await self._ask("show stat -1 2 -1")))

    async def _end(self) -> None:
        """Have no proxy and no sockets."""
        if self._running is not None or self._files.folder.exists():
            await asyncio.to_thread(self._files.stop)
            log.info("http.proxy_stopped")
        self._forget()

    def _forget(self) -> None:
        self._release()
        close_sockets(self._sockets)
        self._sockets, self._ports = {}, None
