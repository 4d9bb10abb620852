"""Clients that read and change registers by version through the control API, and write down what they saw.

A register is a service without replicas; its value is a label. Nobody else changes such a service, so each
version of it stands for one value. Every client talks to the socket of one manager, whatever happens to it.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetServiceRequest,
    RemoveServiceRequest,
    UpdateServiceRequest,
)
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.dev.plan import Node
from swarm.errors import NameConflict, NotFound, NotLeader, StaleVersion, SwarmError, TransientError
from swarm.manager.controlapi.forward import STALE_KEY
from tests.linearizability.history import Operation, Outcome, unknown_end

LABEL = "value"
INITIAL = "0"
TIMEOUT_S = 5.0
CREATION_S = 180.0  # of all registers
# Whoever gives up soon asks a suspended manager again, and is answered when that wakes and leads no more.
TIMEOUTS_S = (0.7, 1.5, TIMEOUT_S)
PAUSE_S = 0.05  # after an error: whoever is dead or cut off is not asked in a tight loop


@dataclass
class Log:
    """What all clients saw together."""

    history: list[Operation] = field(default_factory=list)
    stale_reads: int = 0  # answered and marked as perhaps not current: no promise, nothing to check

    def count(self, outcome: Outcome) -> int:
        return sum(operation.outcome is outcome for operation in self.history)

    @property
    def writes(self) -> int:
        """How many writes were acknowledged."""
        return sum(o.outcome is Outcome.OK and not o.is_read for o in self.history)

    def longest_gap_s(self) -> float:
        """How long nobody succeeded with a write."""
        times = sorted(o.returned for o in self.history if o.outcome is Outcome.OK and not o.is_read)
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def channel(node: Node) -> grpc.aio.Channel:
    """Return a connection of its own to a manager's socket."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50),
               ("grpc.min_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]  # fmt: skip
    return grpc.aio.insecure_channel(node.host.replace("unix://", "unix:"), options=options)


async def create(node: Node, names: Sequence[str]) -> dict[str, str]:
    """Make registers; return the ids of their services by name."""
    async with channel(node) as opened, asyncio.timeout(CREATION_S):
        return {name: await _create(ControlStub(opened), name) for name in names}


async def _create(stub: Any, name: str) -> str:
    """Make a register, if need be again and again: on a busy machine managers may be without a leader."""
    request = CreateServiceRequest(spec=spec(name, INITIAL), skip_image_resolution=True)
    made = False
    while True:
        try:
            if made:
                answer = await stub.GetService(GetServiceRequest(ref=name), timeout=TIMEOUT_S)
            else:
                answer = await stub.CreateService(request, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if isinstance(failure, NameConflict):  # an earlier try was committed, its answer lost
                made = True
            elif not _is_explained(failure):
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return str(answer.service.id)


async def remove(node: Node, names: Sequence[str]) -> None:
    """Remove registers, whatever of them there is."""
    async with channel(node) as opened:
        stub: Any = ControlStub(opened)
        for name in names:
            try:
                await stub.RemoveService(RemoveServiceRequest(ref=name), timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                if not (isinstance(failure, NotFound) or _is_explained(failure)):
                    raise


def spec(name: str, value: str) -> ServiceSpec:
    """Return a register's spec with another value."""
    wanted = ServiceSpec()
    wanted.annotations.name = name
    wanted.annotations.labels[LABEL] = value
    wanted.task.container.image = "none:1"
    wanted.replicated.replicas = 0
    return wanted


def value_of(service: Service) -> str:
    return service.spec.annotations.labels[LABEL]


class Client:
    """One client: one operation at a time, now a read and now a write."""

    def __init__(self, name: str, node: Node, ids: dict[str, str], log: Log, choice: random.Random) -> None:
        """`ids` are the registers: service ids by name."""
        self.name = name
        self._node = node
        self._ids = ids
        self._log = log
        self._choice = choice
        self._numbers = itertools.count(1)
        self._known: dict[str, Service] = {}

    async def run(self, over: asyncio.Event, pace_s: float = 0.0) -> None:
        """Work until `over`, resting up to twice `pace_s` between operations."""
        async with channel(self._node) as opened:
            stub: Any = ControlStub(opened)
            while not over.is_set():
                key = self._choice.choice(list(self._ids))
                known = self._known.get(key)
                good = await (
                    self.read(stub, key)
                    if known is None or self._choice.random() < 0.3
                    else self.write(stub, key, known)
                )
                await asyncio.sleep(self._choice.random() * 2 * pace_s if good else PAUSE_S)

    async def read(self, stub: Any, key: str) -> bool:
        """Read a register; tell whether it was answered for sure."""
        begin = time.monotonic()
        call = stub.GetService(GetServiceRequest(ref=self._ids[key]), timeout=self._timeout_s())
        try:
            service = (await call).service
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if _is_explained(failure) or await is_stale(call):
                return False
            raise failure from error
        end = time.monotonic()
        if await is_stale(call):
            self._log.stale_reads += 1
            return False
        self._known[key] = service
        seen = Operation(self.name, key, begin, end, Outcome.OK, seen=value_of(service),
                         version=service.meta.version.index)  # fmt: skip
        self._log.history.append(seen)
        return True

    async def write(self, stub: Any, key: str, known: Service) -> bool:
        """Give a register a new value if it still has the version known; tell whether it worked."""
        written = f"{self.name}-{next(self._numbers)}"
        version = known.meta.version.index
        request = UpdateServiceRequest(id=known.id, version=version, skip_image_resolution=True)
        request.spec.CopyFrom(spec(key, written))
        begin = time.monotonic()
        outcome, service = await self._update(stub, request)
        returned = unknown_end(outcome, time.monotonic())
        # The answer shows the service as it is by then: somebody may have changed it once more.
        is_ours = service is not None and value_of(service) == written
        new_version = service.meta.version.index if service is not None and is_ours else 0
        self._log.history.append(
            Operation(
                self.name,
                key,
                begin,
                returned,
                outcome,
                expected=value_of(known),
                written=written,
                version=new_version,
                expected_version=version,
            )
        )
        if service is None:
            self._known.pop(key)
        else:
            self._known[key] = service
        return outcome is Outcome.OK

    def _timeout_s(self) -> float:
        return self._choice.choice(TIMEOUTS_S)

    async def _update(self, stub: Any, request: UpdateServiceRequest) -> tuple[Outcome, Service | None]:
        try:
            return Outcome.OK, (await stub.UpdateService(request, timeout=self._timeout_s())).service
        except grpc.aio.AioRpcError as error:
            return outcome_of(from_rpc_error(error)), None


def outcome_of(error: SwarmError) -> Outcome:
    """What a failed write may have done; raises what no fault explains."""
    if isinstance(error, StaleVersion | NotLeader):
        return Outcome.FAILED
    if _is_explained(error):
        return Outcome.UNKNOWN
    raise error


def _is_explained(error: SwarmError) -> bool:
    """Whether a fault of machine or network can be the reason; gRPC's own errors have no class of ours."""
    return isinstance(error, TransientError) or type(error) is SwarmError


async def is_stale(call: Any) -> bool:
    """Whether the manager that answered could not ask a majority."""
    return any(pair[0] == STALE_KEY for pair in await call.trailing_metadata() or ())
