"""The name service of a node as a process of its own, seen from the agent.

    agent ── control socket ── name server ── UDP and TCP sockets in the router's namespace ── tasks

Both hold the sockets: when the name server dies, questions wait in them for the next one; when the agent
ends, the name server goes on, and the next agent gets them from it. Code that has changed takes over
from what runs without missing a question either.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from swarm.agent.overlay.state import OverlayState, Touched
from swarm.agent.resolver.base import Client
from swarm.agent.resolver.control import FAREWELL_S, version
from swarm.agent.resolver.link import MARK, Link, start_process
from swarm.agent.resolver.listening import Sockets, are_in, close_sockets, open_sockets
from swarm.agent.resolver.zones import Zones, all_of, everything_of
from swarm.errors import SwarmError
from swarm.runtime.processes import carriers, kill_and_wait

log = structlog.get_logger(__name__)
Json: TypeAlias = Any

RETRY_FIRST_S, RETRY_MAX_S = 0.05, 5.0
LIVED_S = 10.0  # one that lived this long has not failed to start
FIRST_WAIT_S = 30.0  # an agent does not wait longer for its name server before it goes on
KILL_WAIT_S = 5.0


class ProcessResolver:
    """Implements Resolver; needs root."""

    def __init__(
        self,
        run_dir: Path,
        namespace: Path,
        address: str,
        of_task: Callable[[str], Path],
        port: int = 53,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        code: str = "",
    ) -> None:
        """Serve at `address` of the network namespace; others are asked as `resolv_conf` says.

        `of_task` returns the network namespace of a task; `code` tells this code from other code.
        """
        self._control = run_dir.absolute() / "resolver.sock"
        self._log = run_dir.absolute() / "resolver.log"
        self._namespace = namespace
        self._address = (address, port)
        self._of_task = of_task
        self._resolv_conf = resolv_conf
        self._version = code or version()
        self._zones = Zones()
        self._state: OverlayState | None = None  # None: what an earlier life said is in force
        self._clients: dict[str, Client] = {}
        self._turn = asyncio.Lock()
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._sockets: Sockets | None = None
        self._supervising: asyncio.Task[None] | None = None

    # The contract.

    async def start(self) -> None:
        """Take over or start the name server, and see to it that there always is one."""
        if self._supervising is None:
            self._supervising = asyncio.create_task(self._supervise(), name="resolver")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WAIT_S):
                await self._linked.wait()

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """See Resolver."""
        async with self._turn:
            first = self._state is None
            if first:
                self._zones = Zones()
                touched = all_of(state)
            self._state = state
            zones = self._zones.follow(state, touched)
            if zones or first:
                await self._tell({"do": "zones", "whole": first, "zones": zones})
            task_ids = {task_id for one in touched for task_id in one.task_ids}
            whole = {one.network_id for one in touched if one.network}
            concerned = [
                client
                for client in self._clients.values()
                if client.task_id in task_ids or not whole.isdisjoint(client.network_ids)
            ]
            if concerned:
                await self._tell(self._introduction(concerned))

    async def withdraw(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """See Withdrawing."""
        async with self._turn:
            if self._state is not None:
                zones = self._zones.withdraw(state, touched)
                if zones:
                    await self._tell({"do": "zones", "whole": False, "zones": zones})
            elif self._link is not None:
                # What an earlier life said is known over there only.
                await self._tell({"do": "withdraw", "zones": everything_of(state)})

    async def attach(self, client: Client) -> None:
        """See Resolver."""
        async with self._turn:
            self._clients[client.task_id] = client
            await self._tell(self._introduction([client]))

    async def detach(self, task_id: str) -> None:
        """See Resolver."""
        async with self._turn:
            self._clients.pop(task_id, None)
            await self._tell({"do": "detach", "task_id": task_id})

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """See Resolver."""
        async with self._turn:
            self._clients = {key: one for key, one in self._clients.items() if key in task_ids}
            await self._tell({"do": "keep", "task_ids": sorted(task_ids)})

    async def counters(self) -> Mapping[str, float]:
        """See Resolver."""
        try:
            return dict(await self._link.ask({"do": "counters"})) if self._link is not None else {}
        except OSError:
            return {}

    async def teardown(self) -> None:
        """See Resolver."""
        await self._stop_supervising()
        with contextlib.suppress(OSError):
            link = await Link.open(self._control)
            await _stop(link)
            await link.close()
            close_sockets(link.sockets)
        await asyncio.to_thread(self._kill_all)
        self._clients, self._state, self._zones = {}, None, Zones()
        for path in (self._control, self._log):
            path.unlink(missing_ok=True)

    async def close(self) -> None:
        """See Resolver."""
        await self._stop_supervising()
        self._clients, self._state = {}, None

    # Keeping one alive.

    async def _supervise(self) -> None:
        retry_s, loop = RETRY_FIRST_S, asyncio.get_running_loop()
        while True:
            began = loop.time()
            link: Link | None = None
            try:
                link = await self._find_or_start()
                await self._tell_everything(link)
                await link.ended()
                log.warning("resolver.ended", pid=link.pid)
            except (OSError, SwarmError) as error:
                log.warning("resolver.not_reached", reason=str(error))
            finally:
                self._linked.clear()
                self._link = None
                if link is not None:
                    await link.close()
                    close_sockets(link.sockets)
            retry_s = RETRY_FIRST_S if loop.time() - began > LIVED_S else min(2 * retry_s, RETRY_MAX_S)
            await asyncio.sleep(retry_s)

    async def _find_or_start(self) -> Link:
        """Return a link to a name server of our version on sockets of our namespace."""
        old = await self._find()
        if old is not None and are_in(old.sockets, self._namespace):
            self._hold(old.sockets)
            if old.version == self._version:
                log.info("resolver.adopted", pid=old.pid)
                return old
        elif self._sockets is None or not are_in(self._sockets, self._namespace):
            self._hold(open_sockets(self._namespace, *self._address), ours=True)
        assert self._sockets is not None
        said: Json = await old.ask({"do": "export"}) if old is not None else None
        await start_process(self._version, self._sockets, self._control, self._resolv_conf, self._log)
        new = await Link.open(self._control)
        log.info("resolver.started", pid=new.pid, instead_of=old.pid if old else 0)
        if old is not None:
            await new.ask({"do": "attach", "clients": said["clients"]})
            await new.ask({"do": "zones", "whole": True, "zones": said["zones"]})
            await new.ask({"do": "listen"})
            await _stop(old)
            await old.close()
            close_sockets(old.sockets)
        return new

    async def _find(self) -> Link | None:
        try:
            return await Link.open(self._control)
        except OSError as error:
            # Whatever is there and does not answer is in the way of the next one.
            killed = await asyncio.to_thread(self._kill_all)
            if killed:
                log.warning("resolver.silent_one_killed", pids=killed, reason=str(error))
            return None

    def _kill_all(self) -> list[int]:
        killed = []
        for process in carriers(f"{MARK}={self._control}"):
            kill_and_wait(process, KILL_WAIT_S)
            killed.append(process.pid)
            process.close()
        return killed

    def _hold(self, sockets: Sockets, *, ours: bool = False) -> None:
        """Keep the sockets beyond the life of this link."""
        if self._sockets is not None:
            close_sockets(self._sockets)
        self._sockets = sockets if ours else (sockets[0].dup(), sockets[1].dup())

    async def _stop_supervising(self) -> None:
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.wait({self._supervising})
            self._supervising = None
        if self._sockets is not None:
            close_sockets(self._sockets)
            self._sockets = None

    # Telling it.

    async def _tell_everything(self, link: Link) -> None:
        async with self._turn:
            if self._clients:
                await link.ask(self._introduction(self._clients.values()))
            if self._state is not None:
                await link.ask({"do": "zones", "whole": True, "zones": self._zones.everything()})
            await link.ask({"do": "listen"})
            self._link = link
        self._linked.set()

    async def _tell(self, message: Json) -> None:
        """Tell the name server something; one that comes back is told everything anyway."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                await self._link.ask(message)

    def _introduction(self, clients: Collection[Client]) -> Json:
        return {
            "do": "attach",
            "clients": [
                {**introduction(one, self._state), "netns_path": str(self._of_task(one.task_id))}
                for one in clients
            ],
        }


async def _stop(link: Link) -> None:
    """Have a name server end, once everybody who asked it something has an answer."""
    with contextlib.suppress(OSError):  # it may have gone already: it looks whether it is replaced
        await link.ask({"do": "stop"})
        async with asyncio.timeout(FAREWELL_S + KILL_WAIT_S):
            await link.ended()


def introduction(client: Client, state: OverlayState | None) -> Json:
    """Return what the name server has to know of a task, with what its own names lead to.

    As with all names: the first of its networks answers, unless another one is named.
    """
    networks = state.networks if state is not None else {}
    found = [networks[one] for one in client.network_ids if one in networks]
    addresses = [] if client.network_ids else [client.address]
    own: dict[str, list[str]] = {}
    for name in {client.hostname.lower(), client.name.lower()} - {""}:
        own[name] = addresses
        for network in found:
            endpoint = network.endpoints.get(client.task_id)
            if endpoint is not None:
                own[f"{name}.{network.network.name.lower()}"] = list(endpoint.addresses)
                own[name] = own[name] or list(endpoint.addresses)
    return {
        "task_id": client.task_id,
        "address": client.address,
        "network_ids": list(client.network_ids),
        "own": own,
        "nameservers": list(client.nameservers),
    }
