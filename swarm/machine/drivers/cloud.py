"""Machines of clouds: asked for once, found again by a token, opened with a key that is made for them."""

import asyncio
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from swarm.errors import InvalidArgument
from swarm.machine.cloud import credentials
from swarm.machine.cloud.library import Cloud, Order, full_name, open_cloud
from swarm.machine.cloud.plan import Instance, Notes, State, Step, decide, notes_of
from swarm.machine.cloud.wish import EC2, OPTIONS, Wish, wish_of
from swarm.machine.drivers.base import Made, Making, Option
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError, Unreachable
from swarm.machine.host_keys import HostKey
from swarm.machine.store import Record

RUNNING_TIMEOUT_S = 600.0
POLL_S = 1.0
TELL_S = 15.0
UNKNOWN_LOOKS = 4  # at a cloud that was asked for a machine and does not show it, before it is forgotten
USERS = {EC2: "admin"}  # of Debian's images; others: --ssh-user ubuntu, ec2-user
T = TypeVar("T")
_WORDS = {State.PENDING: "running", State.STOPPING: "stopped", State.GONE: "missing"}


class CloudDriver:
    """Machines of EC2, and of whatever else libcloud knows."""

    name = "cloud"
    provisions = True
    makes = True
    disposable = True
    options: tuple[Option, ...] = OPTIONS
    capabilities: frozenset[str] = frozenset({"start", "stop", "restart", "destroy"})

    async def foresee(self, making: Making) -> str:
        """Return that a machine would be made, and of what; the cloud is asked whether it could be."""
        if making.record.made.get("instance"):
            return ""
        work = await _Work.begin(making)
        await work.call(work.cloud.check)
        wish, notes = work.wish, work.notes
        where = f"{wish.provider} {notes.region}".strip()
        return f"make a machine of {where}: {wish.size} with {wish.image}"

    async def create(self, making: Making) -> Made:
        """Have the cloud make the machine, or find the one that it made before; wait until it runs."""
        return await (await _Work.begin(making)).create()

    async def state(self, record: Record) -> str:
        """Return what the cloud says."""
        if not record.made:
            return "missing"
        work = await _Work.begin(Making(record, Path(), lambda _: None, lambda _: None))
        seen = await work.find()
        return "missing" if seen is None else _WORDS.get(seen.state, seen.state.value)

    async def act(self, action: str, making: Making) -> Made | None:
        """Have the cloud do it; a machine that was started may have another address."""
        work = await _Work.begin(making)
        if action == "destroy":
            await work.destroy()
            return None
        return await work.turn(action)


class _Work:
    """One machine and its cloud."""

    def __init__(self, making: Making, wish: Wish, notes: Notes, cloud: Cloud) -> None:
        self.wish, self.notes, self.cloud = wish, notes, cloud
        self._making, self._record = making, making.record

    @classmethod
    async def begin(cls, making: Making) -> "_Work":
        wish = wish_of(making.record.options)
        notes = located(wish, notes_of(making.record.made), dict(os.environ))
        shown = credentials_of(wish, dict(os.environ))
        return cls(making, wish, notes, await asyncio.to_thread(open_cloud, wish, notes, shown))

    async def call(self, what: Callable[..., T], *words: object) -> T:
        """Ask the cloud something that does no harm twice; again while it does not answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._making.timeout_s
        while True:
            try:
                return await asyncio.to_thread(what, *words)
            except Unreachable as error:
                if loop.time() >= deadline:
                    raise
                self._making.tell(f"{error}; asking again")
            await asyncio.sleep(POLL_S)

    async def find(self) -> Instance | None:
        return await self.call(self.cloud.find, self._record.name, self.notes)

    def _note(self, **changed: object) -> None:
        self.notes = replace(self.notes, **changed)  # type: ignore[arg-type]
        self._making.note(self.notes.kept())

    async def create(self) -> Made:
        loop = asyncio.get_running_loop()
        began = unseen_since = told = loop.time()
        if not self.notes.token:
            self._note(token=secrets.token_hex(16))
        while True:
            seen = await self.find()
            if seen is not None:
                unseen_since = loop.time()
                if not self.notes.instance:
                    self._note(instance=seen.id)
            step = decide(
                self.notes,
                seen,
                unseen_s=loop.time() - unseen_since,
                idempotent=self.cloud.idempotent,
                wanted=self.wish.address,
                member=self._record.is_somebody,
            )
            if step is Step.READY and seen is not None:
                return self._made(seen)
            await self._do(step, seen)
            if loop.time() - began > RUNNING_TIMEOUT_S:
                raise Unreachable(
                    f"{self._record.name}: {self._shown(seen)} after {RUNNING_TIMEOUT_S:.0f} s; the same "
                    "again goes on waiting"
                )
            if step is Step.WAIT:
                if loop.time() - told > TELL_S:
                    told = loop.time()
                    self._making.tell(f"waiting: {self._shown(seen)}")
                await asyncio.sleep(POLL_S)

    def _shown(self, seen: Instance | None) -> str:
        if seen is None:
            return "the cloud does not show the machine"
        address = "" if seen.address(self.wish.address) else ", without an address"
        return f"{seen.id} is {seen.state}{address}"

    async def _do(self, step: Step, seen: Instance | None) -> None:
        match step:
            case Step.CREATE:
                await self._ask()
            case Step.START if seen is not None:
                self._making.tell(f"starting {seen.id}")
                await self.call(self.cloud.act, "start", seen)
            case Step.AGAIN:
                self._making.tell(f"{self.notes.instance} is gone; asking for another machine")
                self._note(token=secrets.token_hex(16), asked=False, instance="", settled=False)
            case Step.LOST:
                raise MachineError(
                    f"{self._record.name} was in use, and {self.notes.instance} is gone: "
                    f"swarmctl machine rm {self._record.name}, then create it again"
                )

    async def _ask(self) -> None:
        """Ask for the machine; when the answer is lost, whoever looks next finds out."""
        from swarm.machine.cloud import first_boot

        folder = self._making.folder
        ours = await asyncio.to_thread(first_boot.key_file, folder, first_boot.OURS)
        host = await asyncio.to_thread(first_boot.key_file, folder, first_boot.FIRST_HOST_KEY)
        public = first_boot.public_of(ours.read_text("ascii"))
        key = self.wish.key_name
        if self.cloud.keys and not key:
            key = self.notes.key or "swarm-" + full_name(self._record.name, self.notes.token)
            self._note(key=key)
            await self.call(self.cloud.add_key, key, public)
        allowed = "" if self.cloud.keys else public
        data = first_boot.settings(self._record.name, host.read_text("ascii"), allowed)
        order = Order(self._record.name, self._record.cluster, data, key)
        self._making.tell(f"asking {self.wish.provider} for a machine ({self.wish.size})")
        self._note(asked=True)
        try:
            made = await asyncio.to_thread(self.cloud.create, order, self.notes)
        except Unreachable as error:
            self._making.tell(f"{error}; looking for the machine")
            await asyncio.sleep(POLL_S)
            return
        self._note(instance=made.id)
        self._making.tell(f"{made.id} is {made.state}")

    def _made(self, seen: Instance) -> Made:
        """Return how it is reached; while it was not settled it shows the first host key."""
        from swarm.machine.cloud import first_boot

        known: tuple[HostKey, ...] = ()
        first = self._making.folder / first_boot.FIRST_HOST_KEY
        if not self.notes.settled and first.exists():
            known = (first_boot.host_key_of(first.read_text("ascii")),)
        return Made(self._reach(seen), known)

    def _reach(self, seen: Instance) -> Endpoint:
        from swarm.machine.cloud import first_boot

        before = self._record.endpoint
        key = before.key
        if not key and not self.wish.key_name:
            key = str(self._making.folder / first_boot.OURS)
        user = before.hop.user or USERS.get(self.wish.provider, "root")
        return Endpoint(Hop(seen.address(self.wish.address), before.hop.port, user), key, before.jumps)

    async def turn(self, action: str) -> Made | None:
        """Start, stop or restart it; wait until it is so."""
        seen = await self.find()
        if seen is None or seen.state is State.GONE:
            raise MachineError(
                f"{self._record.name}: the cloud does not have it any more: swarmctl machine rm "
                f"{self._record.name}"
            )
        goal = State.STOPPED if action == "stop" else State.RUNNING
        if action == "restart" or seen.state is not goal:
            seen = await self._settled(seen)
            if action == "restart" or seen.state is not goal:
                await self.call(self.cloud.act, action, seen)
        seen = await self._until(goal)
        return None if goal is State.STOPPED else self._made(seen)

    async def _settled(self, seen: Instance) -> Instance:
        """Wait out what is under way: a machine that is stopping cannot be started."""
        if seen.state in (State.PENDING, State.STOPPING):
            return await self._until(State.RUNNING if seen.state is State.PENDING else State.STOPPED)
        return seen

    async def _until(self, goal: State) -> Instance:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RUNNING_TIMEOUT_S
        while True:
            seen = await self.find()
            there = seen is not None and seen.state is goal
            if seen is not None and there and (goal is State.STOPPED or seen.address(self.wish.address)):
                return seen
            if loop.time() > deadline:
                raise Unreachable(f"{self._record.name}: {self._shown(seen)}, not {goal}")
            await asyncio.sleep(POLL_S)

    async def destroy(self) -> None:
        """Destroy the machine and its key; also when it is gone, or nobody knows whether it was made."""
        if self.notes.asked or self.notes.instance:
            seen = await self.find()
            for _ in range(0 if self.notes.instance else UNKNOWN_LOOKS):
                if seen is not None:
                    break
                await asyncio.sleep(POLL_S)
                seen = await self.find()
            if seen is not None and seen.state is not State.GONE:
                self._making.tell(f"destroying {seen.id}")
                await self.call(self.cloud.act, "destroy", seen)
        if self.notes.key:
            await self.call(self.cloud.remove_key, self.notes.key)


def located(wish: Wish, notes: Notes, environ: dict[str, str]) -> Notes:
    """Return the notes with the place where the machine is, or will be; raises PreCheckFailed."""
    if notes.token or wish.provider != EC2:
        return notes if notes.token else replace(notes, region=wish.region, endpoint=wish.endpoint)
    return replace(
        notes,
        region=wish.region or credentials.aws_region(environ, read_text),
        endpoint=wish.endpoint or credentials.aws_endpoint(environ),
    )


def credentials_of(wish: Wish, environ: dict[str, str]) -> credentials.Credentials:
    """Return who we are to the cloud; raises AuthRefused."""
    if wish.provider == EC2:
        return credentials.of_aws(environ, read_text)
    return credentials.of_any(environ)


def read_text(path: str) -> str:
    """Return the text of a file, "" when there is none; `~` is our home."""
    try:
        return Path(path).expanduser().read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
