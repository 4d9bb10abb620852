"""Somebody looks on at a container and types at it; unlike a command's caller, they may leave it behind."""

import asyncio

from swarm.agent.containers.conversation import Conversation
from swarm.api.v1.containers_pb2 import ContainerOutput
from swarm.api.v1.plain_pb2 import AttachContainer
from swarm.errors import FailedPrecondition, NotFound, SwarmError
from swarm.runtime.base import Attachment, RuntimeDriver


async def attend(
    driver: RuntimeDriver,
    container_id: str,
    wanted: AttachContainer,
    conversation: Conversation,
    attached: "asyncio.Future[None] | None" = None,
) -> None:
    """Answer with what a container that is created or runs writes, and with its exit code.

    `attached` is set once nothing that it writes from then on can be missed.
    """
    attachment = await driver.attach(container_id)
    try:
        await attachment.resize(wanted.rows, wanted.columns)
        if attached is not None and not attached.done():
            attached.set_result(None)
        await conversation.send(ContainerOutput(started=True))
        await _converse(driver, container_id, attachment, wanted, conversation)
    finally:
        await attachment.close()


async def _converse(
    driver: RuntimeDriver,
    container_id: str,
    attachment: Attachment,
    wanted: AttachContainer,
    conversation: Conversation,
) -> None:
    ended = asyncio.create_task(driver.wait(container_id))
    sending = asyncio.Lock()
    passing = asyncio.create_task(_pass_on(attachment, conversation, sending))
    obeying = asyncio.create_task(_obey(driver, container_id, attachment, conversation))
    feeding = asyncio.create_task(_feed(attachment, conversation)) if wanted.stdin else None
    tasks = [ended, passing, obeying, *([feeding] if feeding else [])]
    try:
        await asyncio.wait((ended, obeying), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            obeying.result()
            async with sending:  # cancelled in the middle, a message would take the conversation with it
                passing.cancel()
            await conversation.send(ContainerOutput(done=True))  # they detached
            return
        await passing  # its last output
        await conversation.send(ContainerOutput(exit_code=_code(ended)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _code(ended: "asyncio.Task[object]") -> int:
    try:
        return int(getattr(ended.result(), "exit_code", 0))
    except NotFound:
        raise FailedPrecondition("the container was removed") from None


async def _pass_on(attachment: Attachment, conversation: Conversation, sending: asyncio.Lock) -> None:
    async for stream, data in attachment.output():
        async with sending:
            await conversation.send_chunks(data, stream)


async def _feed(attachment: Attachment, conversation: Conversation) -> None:
    async for data in conversation.data():
        await attachment.write(data)
    await attachment.close_stdin()


async def _obey(
    driver: RuntimeDriver, container_id: str, attachment: Attachment, conversation: Conversation
) -> None:
    """Resize and signal; returns when the caller detaches."""
    while True:
        order = await conversation.orders.get()
        kind = order.WhichOneof("input")
        if kind == "detach":
            return
        if kind == "resize":
            await attachment.resize(order.resize.rows, order.resize.columns)
        elif kind == "signal":
            try:
                await driver.kill(container_id, order.signal)
            except SwarmError:
                continue  # it has ended: its exit code is on its way
