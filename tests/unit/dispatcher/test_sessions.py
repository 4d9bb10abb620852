"""What a session keeps of what an agent says of itself."""

import asyncio

from swarm.api.v1.dispatcher_pb2 import Hello
from swarm.manager.dispatcher.sessions import AgentSession
from swarm.model.limits import DESCRIPTION_TEXT_CHARACTERS


async def test_a_description_is_cut_before_anybody_compares_or_stores_it() -> None:
    hello = Hello()
    hello.description.hostname = "h" * 100_000
    session = AgentSession("n1", "s1", "10.0.0.1", 0.0, hello, asyncio.Event())
    assert session.description is not None
    assert len(session.description.hostname) == DESCRIPTION_TEXT_CHARACTERS.value
    assert AgentSession("n1", "s2", "10.0.0.1", 0.0, Hello(), asyncio.Event()).description is None
