"""How does a machine become what it is to be? Ask it, plan, do the steps; again when the connection is lost.

What was under way when a connection is lost may be done or not: only the machine knows, so it is asked anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarm.clock import SECOND, Clock
from swarm.errors import SwarmError
from swarm.machine import bundle
from swarm.machine.archive import Archive
from swarm.machine.endpoint import Secrets
from swarm.machine.errors import MachineError, PreCheckFailed, Unhealthy, Unreachable
from swarm.machine.host_keys import HostKey, HostKeyPolicy
from swarm.machine.membership import Membership
from swarm.machine.plan import Kind, Step, Wish, notes, plan, refusals
from swarm.machine.probe import Facts, parse_facts, script
from swarm.machine.ssh import KeyRing, Link, linked
from swarm.machine.store import MachineStore, Record

RECONNECTS_MAX = 4  # in a row without anything done between them
PROBE_TIMEOUT_S = 300.0  # its swarmctl may take three minutes on an emulated machine
UNPACK_TIMEOUT_S = 1200.0  # an emulated machine among busy ones needs ten minutes
PACKAGES_TIMEOUT_S = 600.0
HEALTH_TIMEOUT_S = 60
WATCH_S = 30
DAMAGED = 76  # exit code of unpack.sh: the upload is removed, once more
WENT_BACK = 8
Tell = Callable[[str, str], None]  # name of a machine, what happens there


@dataclass(frozen=True, slots=True)
class Ways:
    """How machines are reached and what is put on them; the same for all machines of a command."""

    store: MachineStore
    clock: Clock
    bundles: Path
    secrets: Secrets = field(default_factory=Secrets)
    policy: HostKeyPolicy = field(default_factory=HostKeyPolicy)
    trusted: tuple[tuple[str, tuple[HostKey, ...]], ...] = ()  # keys that the user trusts elsewhere
    timeout_s: float = 60.0  # how long to wait for a machine that does not answer
    health_timeout_s: int = HEALTH_TIMEOUT_S
    watch_s: int = WATCH_S  # how long a release has to last before the one of before is given up

    @asynccontextmanager
    async def connect(self, record: Record) -> AsyncIterator[Link]:
        """Be connected to a machine; what it shows at the first meeting is pinned. Raises MachineError."""
        if not record.endpoint.hop.host:
            raise Unreachable(f"{record.name} has no address yet: create it again, that goes on")
        ring = KeyRing(self.store.host_keys(record.name), self.policy, dict(self.trusted))
        async with linked(record.endpoint, self.secrets, ring, self.timeout_s) as link:
            self.store.save_host_keys(record.name, ring.known)
            yield link


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with a machine besides what its record says."""

    dry_run: bool = False
    packages: bool = True
    release: str = ""  # one that the machine has already, or only its version; "" is ours
    archive: Archive | None = None  # a release from a file, instead of ours
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The machine as it is now, what was done (or would be), and what people should know."""

    record: Record
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


async def probe(link: Link) -> Facts:
    """Return what a machine is; raises MachineError."""
    done = await link.run(script("probe.sh"), timeout_s=PROBE_TIMEOUT_S)
    return parse_facts(done.out)


async def provision(ways: Ways, record: Record, membership: Membership, order: Order, tell: Tell) -> Outcome:
    """Make a machine what its record says; the record is kept at every turn. Raises MachineError."""
    work = _Work(ways, record, membership, order, tell)
    in_vain = 0
    while True:
        before = work.progress
        try:
            async with ways.connect(work.record) as link:
                return await work.bring(link)
        except Unreachable as error:
            in_vain = 0 if work.progress > before else in_vain + 1
            if not work.connected or in_vain > RECONNECTS_MAX:
                work.failed(error)
                raise
            tell(record.name, f"{error}; connecting again")
            work.connected = False
        except SwarmError as error:
            work.failed(error)
            raise


class _Work:
    def __init__(self, ways: Ways, record: Record, membership: Membership, order: Order, tell: Tell) -> None:
        self.record = record
        self.connected = False
        self._uploaded = 0
        self._ways, self._membership, self._order = ways, membership, order
        self._tell = tell
        self._done: list[Step] = []

    @property
    def progress(self) -> tuple[int, int]:
        """How far it came; it has an end, as there are so many kinds of steps, and bytes to upload."""
        return len({step.kind for step in self._done}), self._uploaded

    async def bring(self, link: Link) -> Outcome:
        self.connected = True
        facts = await probe(link)
        with _about(self.record):
            target = bundle.target_of(facts)
            wish = self._wish(facts, self._release(facts, target))
            reasons = refusals(facts, wish, self._ways.clock.now_ns() // SECOND)
            if reasons:
                raise PreCheckFailed("; ".join(reasons))
        steps = plan(facts, wish)
        if any(step.kind is Kind.JOIN for step in steps):
            self._membership.check_joinable()
        if self._order.dry_run:
            return Outcome(self.record, steps, tuple(notes(facts, wish)))
        if any(step.kind is Kind.UPLOAD for step in steps):
            with _about(self.record):
                await self._archive(
                    target
                )  # before the first step: there may be no packages for its processor
        for number, step in enumerate(steps, 1):
            self._tell(self.record.name, f"[{number}/{len(steps)}] {step.title}")
            self._note(step.kind, "begun")
            await self._do(step, link, facts, target)
            self._note(step.kind, "done")
            self._done.append(step)
        if steps:
            facts = await probe(link)
            again = replace(wish, labels=())
            seen = replace(facts, busy=False)  # by somebody else: it is their turn now
            left = [step.title for step in plan(seen, again) if step.kind is not Kind.PACKAGES]
            if left:
                raise Unhealthy(
                    f"{self.record.endpoint.hop}: after all steps it still lacks: {'; '.join(left)}"
                )
        self._seen(facts)
        return Outcome(self.record, tuple(self._done), tuple(notes(facts, wish)))

    def _wish(self, facts: Facts, release: str) -> Wish:
        record = self.record
        return Wish(
            release=release,
            unit=self._unit(),
            role=record.role,
            founds=record.role == "manager" and self._membership.may_found(record.name),
            cluster_id=self._membership.cluster_id,
            node_id=record.node_id,
            begun=record.begun or self._order.adopt,
            labels=_lacking(record),
            packages=self._order.packages,
            taken_by=self._membership.whose(facts.node_id, but=record.name),
        )

    def _release(self, facts: Facts, target: bundle.Target) -> str:
        """Return the name of the release that the machine is to have; raises PreCheckFailed."""
        order = self._order
        if order.release:
            return named_release(order.release, facts.complete)
        if order.archive is None:
            return bundle.content().release(target)
        if order.archive.python != target.python:
            raise PreCheckFailed(
                f"{order.archive.release} is for Python {order.archive.python}, the machine has "
                f"{target.python}: swarmctl machine bundle --python {target.python} makes one for it"
            )
        return order.archive.release

    def _unit(self) -> str:
        if self._order.release:
            return ""
        return self._order.archive.unit if self._order.archive is not None else bundle.unit_digest()

    async def _archive(self, target: bundle.Target) -> Path:
        if self._order.archive is not None:
            return self._order.archive.path
        return await asyncio.to_thread(bundle.build, target, self._ways.bundles)

    async def _do(self, step: Step, link: Link, facts: Facts, target: bundle.Target) -> None:
        match step.kind:
            case Kind.PACKAGES:
                words = (facts.packages, *step.words)
                await self._script(link, script("packages.sh"), *words, timeout_s=PACKAGES_TIMEOUT_S)
            case Kind.UPLOAD:
                await self._upload(link, target)
            case Kind.UNPACK:
                await self._unpack(link, facts, target)
            case Kind.ACTIVATE:
                await self._activate(link, step.words[0])
            case Kind.INIT:
                again = self.record.begun
                self._keep(replace(self.record, begun=True))
                await self._membership.found(link, self.record, again=again)
            case Kind.JOIN:
                self._keep(replace(self.record, begun=True))
                await self._membership.join(link, self.record)
            case Kind.LABEL:
                await self._membership.label(link, self.record, step.words)
                self._keep(replace(self.record, labelled=self.record.labels))

    async def _script(self, link: Link, text: str, *words: str, timeout_s: float) -> None:
        done = await link.run(text, *words, timeout_s=timeout_s)
        if done.code:
            raise MachineError(f"{link.endpoint.hop}: {done.last_words or f'exit code {done.code}'}")

    async def _upload(self, link: Link, target: bundle.Target) -> None:
        archive = await self._archive(target)
        told = 0

        def progress(there: int, size: int) -> None:
            nonlocal told
            self._uploaded = max(self._uploaded, there)
            percent = there * 100 // max(size, 1)
            if percent >= told + 25:
                told = percent
                self._tell(self.record.name, f"uploaded {percent}% of {size >> 20} MB")

        await link.upload(archive, _staged(archive), progress)

    async def _unpack(self, link: Link, facts: Facts, target: bundle.Target) -> None:
        archive = await self._archive(target)
        release = archive.name.removesuffix(".tar.gz")
        digest = await asyncio.to_thread(bundle.file_digest, archive)
        words = (release, digest, _staged(archive), facts.python_path, facts.python, link.endpoint.hop.user)
        done = await link.run(script("unpack.sh"), *words, timeout_s=UNPACK_TIMEOUT_S)
        if done.code == DAMAGED:
            self._tell(self.record.name, done.last_words)
            await self._upload(link, target)
            done = await link.run(script("unpack.sh"), *words, timeout_s=UNPACK_TIMEOUT_S)
        if done.code:
            raise MachineError(f"{link.endpoint.hop}: unpacking failed: {done.last_words}")

    async def _activate(self, link: Link, release: str) -> None:
        health_s, watch_s = self._ways.health_timeout_s, self._ways.watch_s
        longest_s = health_s * 2 + watch_s + UNPACK_TIMEOUT_S
        words = (release, str(health_s), str(watch_s))
        done = await link.run(script("activate.sh"), *words, timeout_s=longest_s)
        if done.code == WENT_BACK:
            raise Unhealthy(f"{link.endpoint.hop}: {done.last_words}")
        if done.code:
            raise MachineError(f"{link.endpoint.hop}: {done.last_words or f'exit code {done.code}'}")

    def _seen(self, facts: Facts) -> None:
        """Keep what it is; nobody comes in between, so of two who are the same machine one is told."""
        if other := self._membership.whose(facts.node_id, but=self.record.name):
            raise MachineError(
                f"{self.record.endpoint.hop}: it has become node {facts.node_id} as machine {other}: they "
                "are the same machine; leave one out, and forget it: swarmctl machine rm --keep-remote "
                f"{self.record.name}"
            )
        seen = replace(
            self.record,
            state="ready",
            error="",
            node_id=facts.node_id or self.record.node_id,
            cluster_id=facts.cluster_id or self.record.cluster_id,
            release=facts.release,
        )
        self._keep(seen)
        if seen.role == "manager" and seen.node_id:
            self._membership.settle()

    def failed(self, error: SwarmError) -> None:
        """Keep why it went wrong; a dry run leaves no trace."""
        if self._order.dry_run:
            return
        state = "failed" if not self.record.release else "ready"
        self._note("provision", f"failed: {error}")
        self._keep(replace(self.record, state=state, error=str(error)))
        if self.record.role == "manager":
            self._membership.give_up(self.record.name)

    def _keep(self, record: Record) -> None:
        if record != self.record:
            self._ways.store.save(record)
        self.record = record

    def _note(self, step: str, what: str) -> None:
        now = self._ways.clock.now_ns()
        self._ways.store.write_journal(self.record.name, {"time_ns": now, "step": step, "what": what})


@contextmanager
def _about(record: Record) -> Iterator[None]:
    """Say of which machine a refusal is."""
    try:
        yield
    except PreCheckFailed as error:
        raise PreCheckFailed(f"{record.endpoint.hop}: {error}") from error


def named_release(wanted: str, there: Sequence[str]) -> str:
    """Return the release of a name, or the only one of a version; raises PreCheckFailed."""
    if wanted in there:
        return wanted
    of_version = [release for release in there if release.rpartition("-")[0] == wanted]
    if len(of_version) == 1:
        return of_version[0]
    has = f"it has: {', '.join(there) or 'none'}"
    if of_version:
        raise PreCheckFailed(f"several of its releases are of version {wanted}, name one; {has}")
    raise PreCheckFailed(f"it has no release {wanted}; {has}")


def _staged(archive: Path) -> str:
    """Return where an archive waits, below the home of who uploads it; each try goes on there."""
    return f".cache/swarmctl/{archive.name}.part"


def _lacking(record: Record) -> tuple[str, ...]:
    """Return the labels that were not put on the node yet."""
    if not record.role:
        return ()
    items = sorted(record.labels.items())
    return tuple(f"{key}={value}" for key, value in items if record.labelled.get(key) != value)
