"""The network of a node in a process of its own, told what to do by lines of JSON: so that it can be killed.

Usage: agent_process.py RUN_DIR SUBNET RESOLV_CONF
"""

import asyncio
import json
import os
import sys
from dataclasses import asdict
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import structlog
from google.protobuf.json_format import ParseDict

from swarm.agent.network.base import PublishedPort, TaskNetwork
from swarm.agent.network.layout import GATEWAY, Layout
from swarm.agent.network.router import RouterNetwork
from swarm.agent.overlay.state import OverlayState
from swarm.agent.resolver.base import Client
from swarm.agent.resolver.process import ProcessResolver
from swarm.api.v1.overlay_pb2 import OverlayChanges
from swarm.errors import SwarmError

STATE = OverlayState()


async def call(network: RouterNetwork, resolver: ProcessResolver, name: str, arguments: list[Any]) -> Any:
    if name.startswith("resolver_"):
        return await call_resolver(resolver, name.removeprefix("resolver_"), arguments)
    if name == "attach":
        task_id, ports, networks = (*arguments, ())[:3]
        joined = [TaskNetwork(one[0], tuple(one[1]), *one[2:]) for one in networks]
        return asdict(await network.attach(task_id, [PublishedPort(*port) for port in ports], joined))
    if name == "apply":  # messages in hexadecimal, which are everything that there is
        said = [OverlayChanges.FromString(bytes.fromhex(one)) for one in arguments]
        return await network.apply(STATE, STATE.apply(said, complete=True))
    if name == "check":
        return await network.apply(STATE, ())
    if name == "tunnel_key":
        return network.encryption().key.hex()
    if name == "drivers":
        return sorted(network.drivers())
    return await getattr(network, name)(*arguments)


async def call_resolver(resolver: ProcessResolver, name: str, arguments: list[Any]) -> Any:
    if name == "attach":
        return await resolver.attach(Client(**arguments[0]))
    if name in {"apply", "withdraw"}:
        STATE.networks.clear()
        changes = [ParseDict(one, OverlayChanges()) for one in arguments[0]]
        return await getattr(resolver, name)(STATE, STATE.apply(changes, complete=True))
    return await getattr(resolver, name)(*arguments)


async def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    run_dir, subnet, resolv_conf = sys.argv[1:]
    network = RouterNetwork(Path(run_dir), IPv4Network(subnet), Path(resolv_conf))
    layout = Layout(Path(run_dir), IPv4Network(subnet))
    resolver = ProcessResolver(
        layout.run_dir,
        layout.router,
        str(GATEWAY),
        layout.namespace,
        resolv_conf=Path(resolv_conf),
        code=os.environ.get("TEST_CODE", ""),
    )
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = {"result": await call(network, resolver, *json.loads(line))}
        except SwarmError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    await resolver.close()
    await network.close()


asyncio.run(main())
