"""Somebody who asks the control API all the time: `python -m bench.placement.asker SOCKET NAME`.

One request of each kind is under way at a time. Prints the seconds that each took when standard input ends.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlStub

PAUSE_S = 0.05  # between an answer and the next question
GIVE_UP_S = 30.0
SERVICES_MAX = 500  # that one asker creates


def questions(stub: Any, name: str) -> dict[str, Callable[[int], Awaitable[object]]]:
    """Return what is asked, by name."""

    async def list_nodes(number: int) -> object:
        filters = control.Filters(names=[f"nobody-{number}"])
        return await stub.ListNodes(control.ListNodesRequest(filters=filters), timeout=GIVE_UP_S)

    async def list_services(number: int) -> object:
        return await stub.ListServices(control.ListServicesRequest(), timeout=GIVE_UP_S)

    async def get_service(number: int) -> object:
        return await stub.GetService(control.GetServiceRequest(ref="load-0"), timeout=GIVE_UP_S)

    async def create_service(number: int) -> object:
        if number >= SERVICES_MAX:
            await asyncio.sleep(GIVE_UP_S)
            return None
        request = control.CreateServiceRequest(skip_image_resolution=True)
        request.spec.annotations.name = f"{name}-{number}"
        request.spec.task.container.image = "example.com/web:1"
        request.spec.replicated.replicas = 1
        return await stub.CreateService(request, timeout=GIVE_UP_S)

    return {
        "ListServices": list_services,
        "GetService": get_service,
        "ListNodes": list_nodes,
        "CreateService": create_service,
    }


async def ask(act: Callable[[int], Awaitable[object]], seconds: list[float], failures: list[str]) -> None:
    """Ask for ever."""
    number = 0
    while True:
        began_s = time.monotonic()
        try:
            await act(number)
        except grpc.aio.AioRpcError as error:
            failures.append(f"{error.code().name}: {error.details()}")
        seconds.append(time.monotonic() - began_s)
        number += 1
        await asyncio.sleep(PAUSE_S)


async def run(socket: str, name: str) -> None:
    """Ask until standard input ends, then tell."""
    async with grpc.aio.insecure_channel(socket) as channel:
        seconds: dict[str, list[float]] = {}
        failures: dict[str, list[str]] = {}
        jobs = [
            asyncio.create_task(ask(act, seconds.setdefault(what, []), failures.setdefault(what, [])))
            for what, act in questions(ControlStub(channel), name).items()
        ]
        print("asking", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    print(json.dumps({"seconds": seconds, "failures": failures}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2]))
