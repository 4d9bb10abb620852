"""Nothing is given twice, whatever fails, and whoever leads: random stories over two managers' stores."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import EndpointSpec
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.allocator.plan import commit_allocation
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.ipam import parse_address
from swarm.model.networks import range_of
from tests.unit.allocator.making import a_network, a_node, a_plan, a_service, a_task, held, of_others

NETWORKS = {"front": "10.0.0.0/28", "back": "10.0.1.0/29"}  # soon full
STEPS = 100
LOST = (NoQuorum("nobody there"), OutcomeUnknown("who knows"))

KINDS = "task task task allocate allocate place place end end service remove drop lead mode stale restart"
FATES = ("", "", "", "lost", "late", "committed")


def steps_of(seed: int) -> list[tuple[str, int, str]]:
    """Return a story: what happens, to whom, and what becomes of the commit."""
    random = Random(seed)
    first = [("service", number, "") for number in range(3)]
    rest = [
        (random.choice(KINDS.split()), random.getrandbits(16), random.choice(FATES)) for _ in range(STEPS)
    ]
    return first + rest


class Story:
    """Two managers with one log; one of them leads."""

    def __init__(self) -> None:
        objects = [a_network(name, block) for name, block in NETWORKS.items()]
        seed = store_with(*objects, a_node("n1"), a_node("n2"))
        self._frozen = seed.freeze()
        self.stores = [self._fresh("a"), self._fresh("b")]
        self.proposer = LocalProposer(*self.stores)
        for store in self.stores:
            store.attach(self.proposer)
        self.leader = 0
        self.number = 0
        self.old_plan = a_plan(self.view)

    def _fresh(self, name: str) -> Store:
        store = Store(ManualClock(), name)
        store.restore(self._frozen.applied_index, self._frozen.records())
        return store

    def heal(self) -> None:
        """Let nothing fail from now on."""
        self.proposer.commit_late()
        self.proposer = LocalProposer(*self.stores)
        for store in self.stores:
            store.attach(self.proposer)

    @property
    def view(self) -> ReadView:
        return self.stores[self.leader].view

    async def write(self, change, fate: str = "") -> None:  # type: ignore[no-untyped-def]
        if fate:
            self.proposer.fail_next(LOST[self.number % 2], fate)
        with suppress(NoQuorum, OutcomeUnknown, StaleVersion):
            await self.stores[self.leader].update(change, 1.0)

    async def step(self, kind: str, pick: int, fate: str) -> None:
        self.number += 1
        await getattr(self, kind)(pick, fate)

    async def service(self, pick: int, fate: str) -> None:
        networks = [["front"], ["back"], ["front", "back"]][pick % 3]
        service = a_service(f"s{self.number}", *networks)
        await self.write(lambda tx: tx.create(service), fate)

    async def task(self, pick: int, fate: str) -> None:
        services = sorted(self.view.services, key=lambda one: one.id)
        if services:
            task = a_task(services[pick % len(services)], f"t{self.number}")
            await self.write(lambda tx: tx.create(task), fate)

    async def allocate(self, pick: int, fate: str) -> None:
        plan = self.old_plan = a_plan(self.view)
        await self.write(lambda tx: commit_allocation(tx, plan, 1), fate)

    async def stale(self, pick: int, fate: str) -> None:
        """A plan of long ago is carried out."""
        plan = self.old_plan
        await self.write(lambda tx: commit_allocation(tx, plan, 1), fate)

    async def place(self, pick: int, fate: str) -> None:
        def change(task: Task) -> None:
            task.node_id = f"n{pick % 2 + 1}"
            task.status.state = task_state.ASSIGNED

        await self._change_task(task_state.PENDING, change, pick, fate)

    async def end(self, pick: int, fate: str) -> None:
        def change(task: Task) -> None:
            task.status.state = [task_state.COMPLETE, task_state.FAILED, task_state.ORPHANED][pick % 3]

        await self._change_task(task_state.ASSIGNED, change, pick, fate)

    async def remove(self, pick: int, fate: str) -> None:
        tasks = sorted((one for one in self.view.tasks if task_state.is_done(one)), key=lambda one: one.id)
        if tasks:
            gone = tasks[pick % len(tasks)].id
            await self.write(lambda tx: _remove(tx, gone), fate)

    async def drop(self, pick: int, fate: str) -> None:
        services = sorted(one.id for one in self.view.services)
        if services:
            gone = services[pick % len(services)]
            await self.write(lambda tx: _remove(tx, gone), fate)

    async def mode(self, pick: int, fate: str) -> None:
        services = sorted(one.id for one in self.view.services)

        def change(tx: Transaction) -> None:
            service = copy_of(tx.services.get(services[pick % len(services)]))
            service.spec.endpoint.mode = [EndpointSpec.MODE_VIP, EndpointSpec.MODE_DNSRR][pick % 2]
            tx.update(service)

        if services:
            await self.write(change, fate)

    async def lead(self, pick: int, fate: str) -> None:
        self.leader = 1 - self.leader

    async def restart(self, pick: int, fate: str) -> None:
        """A manager comes back with nothing but what the log and its snapshot say."""
        frozen = self.stores[self.leader].freeze()
        self.stores[self.leader].restore(frozen.applied_index, frozen.records())

    async def _change_task(self, state: int, change, pick: int, fate: str) -> None:  # type: ignore[no-untyped-def]
        found = sorted(one.id for one in self.view.tasks if one.status.state == state)

        def update(tx: Transaction) -> None:
            task = tx.tasks.get(found[pick % len(found)])
            if task is not None and task.status.state == state:
                task = copy_of(task)
                change(task)
                tx.update(task)

        if found:
            await self.write(update, fate)


def _remove(tx: Transaction, gone: str) -> None:
    for table in (tx.tasks, tx.services):
        found = table.get(gone)
        if found is not None:
            tx.remove(found)


def check(view: ReadView) -> None:
    """Nobody shares an address; each is one that may be given."""
    mine = held(view)
    holders = Counter((network, address) for network, address, _ in mine)
    assert not [key for key, count in holders.items() if count > 1], mine
    for network, address, service in of_others(view):
        strangers = [who for n, a, who in mine if (n, a) == (network, address) and who != service]
        assert not strangers, (address, service, strangers)
    for network_id, address, _ in mine:
        network = view.networks.get(network_id)
        assert network is not None
        among = range_of(network.subnets[0])
        assert among.first <= parse_address(address) <= among.last  # type: ignore[operator]
        assert parse_address(address) not in among.reserved


async def play(steps: list[tuple[str, int, str]]) -> None:
    story = Story()
    for kind, pick, fate in steps:
        await story.step(kind, pick, fate)
        for store in story.stores:
            check(store.view)
    # Once all that runs has ended and all is allocated, everything is free again but what services have.
    story.heal()
    for task in sorted(one.id for one in story.view.tasks):
        await story.write(lambda tx, task=task: _finish(tx, task))  # type: ignore[misc]
    await story.allocate(0, "")
    check(story.view)
    assert all(who.startswith("service ") for _, _, who in held(story.view))
    # The other manager, asked now, would do the same.
    first, second = (store.view for store in story.stores)
    assert held(first) == held(second)


def _finish(tx: Transaction, task_id: str) -> None:
    task = copy_of(tx.tasks.get(task_id))
    if not task_state.is_done(task):
        task.status.state = task_state.COMPLETE
        tx.update(task)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_nothing_is_given_twice_whatever_is_lost_late_or_led_by_another(seed: int) -> None:
    asyncio.run(play(steps_of(seed)))
