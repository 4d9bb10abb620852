"""Die at every step of making and of removing the network of a node, and see what comes next.

Usage: crash_process.py RUN_DIR RESOLV_CONF, in the namespace of a node. Prints what was wrong, one a line,
and at the end how many deaths there were. Each life is a fork of this process, which has one thread.
"""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

import structlog

from swarm.agent.network import journal, links, namespaces, nft
from swarm.agent.network.base import PublishedPort, TaskNetwork
from swarm.agent.network.netlink import Netlink
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.network.router import RouterNetwork
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayEndpoint, OverlayNetwork, OverlayPeer

RUN_DIR, RESOLV_CONF = Path(sys.argv[1]), Path(sys.argv[2])
NETWORKS = [TaskNetwork("shop", ("10.5.0.20", "fd05::20")), TaskNetwork("back", ("10.6.0.20",))]
Step = Callable[[RouterNetwork], Awaitable[Any]]


def said(net: str, vxlan_id: int, subnets: list[str]) -> OverlayChanges:
    def router(number: int) -> list[str]:
        return [subnet.split("/")[0].removesuffix("0") + str(number) for subnet in subnets]

    far = [address[:-1] + "77" for address in router(1)]
    return OverlayChanges(
        network_id=net,
        network=OverlayNetwork(
            id=net,
            vxlan_id=vxlan_id,
            subnets=[Subnet(subnet=one) for one in subnets],
            router_addresses=router(1),
            internal=True,
        ),
        peers=[OverlayPeer(node_id="n2", address="10.99.0.2", router_addresses=router(2))],
        endpoints=[OverlayEndpoint(task_id="far", node_id="n2", addresses=far)],
    )


SAID = [said("shop", 4097, ["10.5.0.0/24", "fd05::/64"]), said("back", 4098, ["10.6.0.0/24"])]


async def up(network: RouterNetwork) -> None:
    await network.setup()
    await apply(network, SAID)
    await network.attach("task1", [PublishedPort("tcp", 8080, 80)], NETWORKS)


async def attached_again(network: RouterNetwork) -> None:
    await network.keep_only(["task1"])
    await up(network)


async def down(network: RouterNetwork) -> None:
    await network.setup()
    await network.detach("task1")
    await apply(network, [])


async def left_again(network: RouterNetwork) -> None:
    await network.setup()
    await network.keep_only([])
    await apply(network, [])


async def torn_down(network: RouterNetwork) -> None:
    await network.teardown()


async def apply(network: RouterNetwork, changes: list[OverlayChanges]) -> None:
    state = OverlayState()
    await network.apply(state, state.apply(changes, complete=True))


def life(step: Step, dies_at: int = 0) -> bool:
    """Live in a fork; return whether it came to its end before its `dies_at`-th deed (0: never)."""
    child = os.fork()
    if child == 0:
        if dies_at:
            count_deeds(dies_at)
        try:
            asyncio.run(_live(step))
        except BaseException as error:  # noqa: BLE001 -- said by the parent
            print(f"FAULT {step.__name__}, dying at {dies_at}: {error!r}", flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status)


async def _live(step: Step) -> None:
    network = RouterNetwork(RUN_DIR, IPv4Network("172.30.0.0/16"), RESOLV_CONF)
    await step(network)
    await network.close()


def count_deeds(dies_at: int) -> None:
    """Be killed right after the deed of that number: a change of the kernel or of the journal."""
    left = [dies_at]

    def counted(deed: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any, **options: Any) -> Any:
            result = deed(*arguments, **options)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return done

    for owner, name in (
        (Netlink, "run"),
        (nft, "run"),
        (journal, "save"),
        (namespaces, "create"),
        (namespaces, "remove"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))


def machine() -> dict[str, str]:
    """What there is in every namespace of the node."""
    places = {"node": namespaces.OWN}
    for folder in ("netns", "overlays"):
        paths = (RUN_DIR / folder).iterdir() if (RUN_DIR / folder).is_dir() else ()
        places |= {f"{folder}/{path.name}": path for path in paths}
    places_there = {name: _whatever_address(inside(path)) for name, path in places.items()}
    return {**places_there, "files": str(sorted(path.name for path in RUN_DIR.glob("*")))}


def _whatever_address(there: dict[str, Any]) -> str:
    """A task that was begun again has the node's next address."""
    return re.sub(r"172\.30\.0\.\d\d|[0-9a-f:]+::ac1e:[0-9a-f]{1,4}|tac1e00..", "TASK", str(there))


def inside(path: Path) -> dict[str, Any]:
    with netlink_in(path) as netlink:
        there = {link.index: link.name for link in links.list_links(netlink)}
        routes = [
            route
            for family in (AF_INET, AF_INET6)
            for route in links.list_routes(netlink, family)
            if route.is_main and not route.destination.is_link_local
        ]
        with namespaces.entered(path):
            rules = nft.run("list ruleset")
        return {
            "links": sorted(there.values()),
            "addresses": {
                name: sorted(map(str, links.list_addresses(netlink, index))) for index, name in there.items()
            },
            "routes": sorted(
                f"{one.destination} {one.gateway} {there.get(one.interface)}" for one in routes
            ),
            "rules": [line for line in rules.splitlines() if "packets" not in line],
        }


def compare(what: str, wanted: dict[str, str], there: dict[str, str]) -> None:
    for place in sorted(wanted.keys() | there.keys()):
        if wanted.get(place) != there.get(place):
            print(f"FAULT {what}: {place} is {there.get(place)}, not {wanted.get(place)}", flush=True)


def die_through(step: Step, begin: Step, again: Step, wanted: dict[str, str]) -> int:
    """Die at each deed of `step`, done after `begin`; `again` must bring about what is wanted."""
    for dies_at in range(1, 1000):
        life(begin)
        finished = life(step, dies_at)
        life(again)
        compare(f"{step.__name__}, dying at {dies_at}", wanted, wait_for(wanted))
        if finished:
            return dies_at - 1
    raise AssertionError("it never comes to an end")


def wait_for(wanted: dict[str, str]) -> dict[str, str]:
    """The kernel removes namespaces, and cables with them, in its own time."""
    end = time.monotonic() + 60
    while (there := machine()) != wanted and time.monotonic() < end:
        signal.sigtimedwait([], 0.02)
    return there


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    bare = machine()
    life(up)
    complete = machine()
    life(left_again)
    empty = machine()
    deaths = die_through(up, torn_down, attached_again, complete)
    deaths += die_through(down, up, left_again, empty)
    deaths += die_through(torn_down, up, torn_down, bare)
    print(f"DEATHS {deaths}")


main()
