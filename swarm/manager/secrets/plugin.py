"""Secret drivers of others: Docker's plugin protocol, version 1, over the Unix sockets of a manager."""

from __future__ import annotations  # so that no signature loads httpx

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.errors import TaskRejected, Unavailable
from swarm.lazy import lazily
from swarm.manager.secrets.question import Answer, Lookup, Question
from swarm.model.limits import SECRET_BYTES

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 2 * SECRET_BYTES.value
PROBLEM_CHARACTERS = 400
_TYPE = {"Content-Type": "application/vnd.docker.plugins.v1.2+json"}


class SecretPlugin:
    """A Driver: one plugin, asked for each task."""

    def __init__(self, name: str, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        """`path` is the socket on which it listens."""
        self._name = name
        self._path = path
        self._timeout_s = timeout_s

    def per_task(self, question: Question) -> bool:
        """Return that it is told the task, so its answer may depend on it."""
        return True

    async def close(self) -> None:
        """See Driver: no connection outlives a question."""

    async def read(self, question: Question, lookup: Lookup) -> Answer:
        """See Driver."""
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._post(json.dumps(request_of(question)).encode())
        except TimeoutError:
            raise Unavailable(f"the secret plugin {self._name} did not answer in time") from None
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(f"the secret plugin {self._name} does not answer: {error}") from None
        return answer_in(self._name, status, body)

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        transport = httpx.AsyncHTTPTransport(uds=str(self._path))
        async with (
            httpx.AsyncClient(transport=transport, timeout=self._timeout_s, trust_env=False) as client,
            client.stream(
                "POST", "http://plugin/SecretProvider.GetSecret", content=body, headers=_TYPE
            ) as answer,
        ):
            content = bytearray()
            async for piece in answer.aiter_raw():
                content += piece
                if len(content) > ANSWER_BYTES_MAX:
                    raise TaskRejected(f"the secret plugin {self._name} gave more than a secret may have")
            return answer.status_code, bytes(content)


def request_of(question: Question) -> Mapping[str, Any]:
    """Return what a plugin is asked: Docker's fields, and the options, which Docker does not have."""
    task = question.task
    return {
        "SecretName": question.secret_name,
        "SecretLabels": dict(question.secret_labels),
        "ServiceHostname": task.hostname,
        "ServiceName": task.service_name,
        "ServiceID": task.service_id,
        "ServiceLabels": dict(task.service_labels),
        "TaskID": task.id,
        "TaskName": task.name,
        "TaskImage": task.image,
        "NodeID": task.node_id,
        "Options": dict(question.options),
    }


def answer_in(name: str, status: int, body: bytes) -> Answer:
    """Return what a plugin gave; raises TaskRejected with what it says against it."""
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        page = None
    if not isinstance(page, dict):
        raise TaskRejected(f"the secret plugin {name} answers with what is no object in JSON ({status})")
    if page.get("Err") or status >= 400:
        said = " ".join(str(page.get("Err") or f"HTTP status {status}").split())
        raise TaskRejected(f"the secret plugin {name} says: {said[:PROBLEM_CHARACTERS]}")
    try:
        value = base64.b64decode(page.get("Value") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise TaskRejected(f"the secret plugin {name} gave what is not in base64") from None
    return Answer(value, reusable=not page.get("DoNotReuse", False))
