"""What people ask of containers: may they, whom does it concern, and who cannot answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput, ContainerQuestion, ContainerRequest
from swarm.clock import Clock, SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, NotPermitted, SwarmError
from swarm.manager.containers.calls import ContainerCalls
from swarm.manager.containers.committing import LoadImages, check_commit, take_in
from swarm.manager.containers.confining import Confined
from swarm.manager.containers.following import EventFollower, of_node
from swarm.manager.containers.place import JudgeNodes, as_if_task, check_plain, choose
from swarm.manager.store.store import Store
from swarm.pacing import Pacer
from swarm.security.identity import Identity

log = structlog.get_logger(__name__)

VIEWING = frozenset({"list", "inspect", "top", "stats", "wait", "list_volumes", "logs", "disk", "events"})
VOLUMES = frozenset({"list_volumes", "create_volume", "remove_volume", "prune_volumes"})
INTERNAL = frozenset({"controller_call", "attach_volume", "detach_volume"})
NODE_WIDE = frozenset({"list", "stats", "prune", "disk", "collect_images", "events"}) | VOLUMES
NODES_AT_ONCE = 100
FOLLOWED_NODES = 200  # each is a stream for as long as somebody looks
ANSWERS = 256


class ContainerControl:
    """Serves people at this manager."""

    def __init__(
        self,
        store: Store,
        calls: ContainerCalls,
        clock: Clock | None = None,
        judge_nodes: JudgeNodes | None = None,
        load: LoadImages | None = None,
    ) -> None:
        """`calls` reaches the nodes; `judge_nodes` says which would take a container that has none yet.

        `load` takes in images that are made of containers.
        """
        self._store = store
        self._calls = calls
        self._clock = clock or SystemClock()
        self._judge_nodes = judge_nodes
        self._load = load

    async def converse(
        self, inputs: AsyncIterator[ContainerInput], who: Identity, *, viewing: bool
    ) -> AsyncIterator[ContainerOutput]:
        """Yield what the nodes concerned answer; with `viewing` only what changes nothing.

        Of several nodes a notice stands for one that cannot answer; of a single one it is the error raised.
        """
        question = await _question(inputs)
        verb = question.request.WhichOneof("verb")
        if verb is None:
            raise InvalidArgument("the request says nothing that this version knows")
        if verb in INTERNAL:
            raise NotPermitted(f"{verb} is for the leader's volume manager only")
        if viewing and verb not in VIEWING:
            raise NotPermitted(f"{verb} changes things: it is not for a viewer")
        confined = Confined(who.scope, self._store)
        confined.check(question, verb)
        if verb == "create":
            question = await self._placed(question)
        if verb == "commit":
            check_commit(question.request.commit)
        _note(question, verb, who)
        outputs = (
            self._follow(question, hears=confined.hears_nodes(verb))
            if question.request.events.follow
            else self._ask_all(self._nodes(question) if confined.hears_nodes(verb) else [], question.request)
            if verb in NODE_WIDE
            else take_in(question.request.commit, self._ask_one(question, inputs), self._load)
            if verb == "commit"
            else self._ask_one(question, inputs)
        )
        async with contextlib.aclosing(outputs):  # type: ignore[type-var]
            async for output in outputs:
                if not confined.shows(output):
                    continue
                if output.HasField("exit_code"):
                    log.info("containers.ended", verb=verb, exit_code=output.exit_code)
                yield output

    def _follow(self, question: ContainerQuestion, *, hears: bool) -> AsyncIterator[ContainerOutput]:
        """Follow the nodes; for somebody who `hears` none of them nothing ever happens."""
        self._nodes(question)
        follower = EventFollower(self._calls, self._clock, question.request)
        return follower.follow(lambda: self._nodes(question) if hears else [])

    async def _ask_one(
        self, question: ContainerQuestion, inputs: AsyncIterator[ContainerInput]
    ) -> AsyncIterator[ContainerOutput]:
        named = question.request.container_id or question.request.WhichOneof("verb") == "create"
        if len(question.node_ids) != 1 or not named:
            raise InvalidArgument("name one container and its node")
        async with contextlib.aclosing(
            self._calls.converse(question.node_ids[0], question.request, inputs)  # type: ignore[type-var]
        ) as outputs:
            async for output in outputs:
                yield output

    async def _placed(self, question: ContainerQuestion) -> ContainerQuestion:
        """Return the request for a new container with the node that is to have it."""
        spec = question.request.create.spec
        check_plain(self._store.view, spec)
        if question.node_ids or self._judge_nodes is None:
            return question
        verdicts = await Pacer(self._clock).run(
            self._judge_nodes(self._store.view, as_if_task(self._store.view, spec), self._clock.now_ns())
        )
        placed = ContainerQuestion(node_ids=[choose(self._store.view, verdicts)])
        placed.request.CopyFrom(question.request)
        return placed

    def _nodes(self, question: ContainerQuestion) -> list[str]:
        if question.node_ids:
            found = list(dict.fromkeys(question.node_ids))
        else:
            found = sorted(node.id for node in self._store.view.nodes)
        follows = question.request.stats.follow or question.request.events.follow
        if follows and len(found) > FOLLOWED_NODES:
            raise FailedPrecondition(
                f"{len(found)} nodes are too many to follow at once (the limit is {FOLLOWED_NODES}): "
                "name some (stats --node, events --filter node=), or ask once (stats --no-stream)"
            )
        return found

    async def _ask_all(
        self, node_ids: list[str], request: ContainerRequest
    ) -> AsyncIterator[ContainerOutput]:
        answers: asyncio.Queue[ContainerOutput | None] = asyncio.Queue(ANSWERS)
        turns = asyncio.Semaphore(FOLLOWED_NODES if request.stats.follow else NODES_AT_ONCE)
        asking = [
            asyncio.create_task(self._gather(node_id, request, answers, turns), name="containers-ask")
            for node_id in node_ids
        ]
        left = len(asking)
        try:
            while left:
                answer = await answers.get()
                if answer is None:
                    left -= 1
                else:
                    yield answer
            yield ContainerOutput(done=True)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _gather(
        self,
        node_id: str,
        request: ContainerRequest,
        answers: "asyncio.Queue[ContainerOutput | None]",
        turns: asyncio.Semaphore,
    ) -> None:
        """Bring one node's answers into `answers`, then None."""
        if request.HasField("events"):
            request = of_node(request, node_id)
        try:
            async with (
                turns,
                contextlib.aclosing(self._calls.converse(node_id, request)) as outputs,  # type: ignore[type-var]
            ):
                async for output in outputs:
                    if not output.done:
                        await answers.put(output)
        except SwarmError as error:
            await answers.put(self._notice(node_id, request, str(error)))
        except Exception as error:  # one node's answer must not hang all others'
            log.exception("containers.asking_failed", node_id=node_id)
            await answers.put(self._notice(node_id, request, str(error)))
        await answers.put(None)

    def _notice(self, node_id: str, request: ContainerRequest, reason: str) -> ContainerOutput:
        verb = request.WhichOneof("verb")
        what = "volumes" if verb in VOLUMES else "events of containers" if verb == "events" else "containers"
        name = self._calls.name(node_id)
        text = reason if name in reason else f"{name}: {reason}"
        return ContainerOutput(node_id=node_id, notice=f"{text}: its {what} are missing here")


async def _question(inputs: AsyncIterator[ContainerInput]) -> ContainerQuestion:
    try:
        first = await anext(inputs)
    except StopAsyncIteration:
        raise InvalidArgument("the first message must be a question") from None
    if not first.HasField("question"):
        raise InvalidArgument("the first message must be a question")
    return first.question


def _note(question: ContainerQuestion, verb: str, who: Identity) -> None:
    """Leave a trace of who did what; of a command only the program, for the rest may be secret."""
    if verb in VIEWING:
        return
    command = question.request.exec.command
    log.info(
        "containers.asked",
        verb=verb,
        who=who.user or who.role.value,
        node_id=",".join(question.node_ids),
        task_id=question.request.container_id,
        container=question.request.create.spec.name,
        program=command[0] if command else "",
        privileged=question.request.exec.privileged,
    )
