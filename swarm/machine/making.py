"""How does a machine come to be, before swarm is put on it? Its driver makes it; then it has to let us in.

What never became a node is taken away again if its driver made it out of nothing.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from swarm.errors import NameConflict, SwarmError
from swarm.machine.drivers.base import Made, Making, driver
from swarm.machine.endpoint import Endpoint
from swarm.machine.errors import AuthRefused, HostKeyRefused, HostKeyUnknown, MachineError, Unreachable
from swarm.machine.host_keys import HostKey
from swarm.machine.membership import Membership
from swarm.machine.plan import Kind, Step
from swarm.machine.probe import script
from swarm.machine.provision import Order, Outcome, Tell, Ways, provision
from swarm.machine.store import Record

BOOT_TIMEOUT_S = 300.0  # from running until it lets us in
BOOT_POLL_S = 1.0
BOOT_TELL_S = 15.0


@dataclass(slots=True)
class Maker:
    """Makes one machine; `record` is what is known of it by now, and kept."""

    ways: Ways
    record: Record
    tell: Tell
    boot_timeout_s: float = BOOT_TIMEOUT_S

    def _making(self) -> Making:
        def note(made: Mapping[str, str]) -> None:
            self._keep(replace(self.record, made=made))

        return Making(
            self.record,
            self.ways.store.folder(self.record.name),
            note,
            lambda text: self.tell(self.record.name, text),
            self.ways.timeout_s,
        )

    def _keep(self, record: Record) -> None:
        if record != self.record:
            self.ways.store.save(record)
        self.record = record

    async def foresee(self) -> str:
        """Return what would be made, "" when nothing. Raises MachineError."""
        return await driver(self.record.driver).foresee(self._making())

    async def make(self) -> Record:
        """Have the machine made, or found, and wait until it lets us in; returns its record."""
        made_by = driver(self.record.driver)
        before = self.record.endpoint
        made = await made_by.create(self._making())
        self._reached(made)
        if made_by.disposable and (made.host_keys or made.endpoint != before):
            await self._boot(fresh=bool(made.host_keys))
        if made.host_keys:
            await self._replace_host_key()
        return self.record

    async def act(self, action: str) -> Record:
        """Start, stop or restart it; what was started lets us in again. Raises MachineError."""
        made = await driver(self.record.driver).act(action, self._making())
        if made is not None:
            self._reached(made)
            await self._boot(fresh=False)
        return self.record

    async def destroy(self) -> None:
        """Destroy it; no error when it is gone. Raises MachineError."""
        await driver(self.record.driver).act("destroy", self._making())

    def _reached(self, made: Made) -> None:
        """Keep how it is reached; a machine at another address is known by the keys that it had."""
        store, name = self.ways.store, self.record.name
        known = store.host_keys(name)
        place, before = made.endpoint.hop.place, self.record.endpoint.hop.place
        keys = (*known.get(before, ()), *made.host_keys)
        if keys and (place != before or made.host_keys):
            kept = {where: found for where, found in known.items() if where != before}
            store.save_host_keys(name, {**kept, place: tuple(dict.fromkeys(keys))})
        self._keep(replace(self.record, endpoint=made.endpoint))

    async def _boot(self, *, fresh: bool) -> None:
        """Wait until it lets us in. A fresh machine may still show other keys, or not know ours yet."""
        loop = asyncio.get_running_loop()
        deadline, told = loop.time() + max(self.boot_timeout_s, self.ways.timeout_s), loop.time()
        hurried = replace(self.ways, timeout_s=0.0)
        while True:
            try:
                async with hurried.connect(self.record) as link:
                    await link.run("exit 0", root=False)
                    return
            except HostKeyUnknown:
                raise
            except (Unreachable, AuthRefused, HostKeyRefused) as error:
                patient = isinstance(error, Unreachable) or fresh
                if not patient or loop.time() > deadline:
                    raise
                if loop.time() - told > BOOT_TELL_S:
                    told = loop.time()
                    self.tell(self.record.name, f"waiting until it lets us in: {error}")
            await asyncio.sleep(BOOT_POLL_S)

    async def _replace_host_key(self) -> None:
        """Have the machine show a host key that nobody else has seen; a cut leaves both of them pinned."""
        from swarm.machine.cloud import first_boot

        store, name, place = self.ways.store, self.record.name, self.record.endpoint.hop.place
        private = first_boot.new_key()
        new = first_boot.host_key_of(private)
        store.save_host_keys(name, _pinned(store.host_keys(name), place, new, alone=False))
        async with self.ways.connect(self.record) as link:
            done = await link.run(script("host_key.sh"), stdin=private.encode())
        if done.code:
            raise MachineError(
                f"{self.record.endpoint.hop}: cannot replace the SSH host key: {done.last_words}"
            )
        store.save_host_keys(name, _pinned(store.host_keys(name), place, new, alone=True))
        await self._boot(fresh=True)
        self._keep(replace(self.record, made={**self.record.made, "settled": "yes"}))
        (store.folder(name) / first_boot.FIRST_HOST_KEY).unlink(missing_ok=True)

    async def undo(self, *, keep: bool) -> None:
        """Take away what was made for nothing: it never became a node. Says what it does, raises nothing."""
        store, name = self.ways.store, self.record.name
        with suppress(SwarmError):
            self.record = store.load(name)  # what was noted while it was provisioned
        record = self.record
        if not driver(record.driver).disposable or record.is_somebody:
            return
        if keep and record.made:
            self.tell(name, f"it is kept, and costs what it costs: swarmctl machine rm {name}")
            return
        try:
            if record.made:
                self.tell(name, "no node came of it: what was made is taken away (--keep-failed leaves it)")
                await self.destroy()
            store.remove(name)
        except SwarmError as error:
            self.tell(name, f"it could not be taken away: {error}; swarmctl machine rm {name}")
            self._keep(replace(record, state="failed", error=str(error)))


def _pinned(
    known: Mapping[str, tuple[HostKey, ...]], place: str, new: HostKey, *, alone: bool
) -> dict[str, tuple[HostKey, ...]]:
    return {**known, place: (new,) if alone else (*known.get(place, ()), new)}


async def make_node(
    ways: Ways, record: Record, membership: Membership, order: Order, tell: Tell, *, keep: bool = False
) -> Outcome:
    """Make a machine, and make it a node; `keep`: also one that does not become any. Raises MachineError."""
    maker = Maker(ways, record, tell)
    if order.dry_run:
        foreseen = await maker.foresee()
        if foreseen:
            return Outcome(record, (Step(Kind.MAKE, foreseen),))
        return await provision(ways, record, membership, order, tell)
    try:
        return await provision(ways, await maker.make(), membership, order, tell)
    except HostKeyUnknown:
        raise  # of a host on the way to it; somebody may be asked
    except SwarmError:
        await maker.undo(keep=keep)
        raise
    finally:
        if record.role == "manager":
            membership.give_up(record.name)  # nobody waits for it for ever; harmless when it is there


def resumed(before: Record, wanted: Record) -> Record:
    """Return a machine as it is to be, with what is known of it; raises NameConflict for another machine."""
    if before.made and (before.driver, dict(before.options)) != (wanted.driver, dict(wanted.options)):
        told = ", ".join(f"{key}={value}" for key, value in sorted(before.options.items()))
        raise NameConflict(
            f"machine {before.name} was begun with {told}: say the same, or swarmctl machine rm "
            f"{before.name}"
        )
    return replace(
        before,
        driver=wanted.driver,
        endpoint=_reached_now(before.endpoint, wanted.endpoint),
        advertise_addr=wanted.advertise_addr,
        data_path_addr=wanted.data_path_addr,
        labels=wanted.labels,
        options=wanted.options,
    )


def _reached_now(before: Endpoint, wanted: Endpoint) -> Endpoint:
    """Return what was said now, and what was found out before: the host, whose driver knows it."""
    if wanted.hop.host:
        return wanted
    hop = replace(before.hop, user=wanted.hop.user or before.hop.user, port=wanted.hop.port)
    return Endpoint(hop, wanted.key or before.key, wanted.jumps or before.jumps)
