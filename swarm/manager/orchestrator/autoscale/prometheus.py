"""What does Prometheus say? One value a query; asked by the leader, in bounded time and size.

The address and the answer are other people's: no redirects, no proxies of the environment, and of an error
only what Prometheus says itself.
"""

from __future__ import annotations  # so that no signature loads httpx

import asyncio
import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from math import isfinite
from typing import TYPE_CHECKING, Any

from swarm.lazy import lazily
from swarm.manager.orchestrator.autoscale.rules import Answer, Query

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")  # memory that a cluster without such rules does not need

TIMEOUT_S = 3.0  # for all queries of a look together
AT_ONCE = 16
ANSWER_BYTES_MAX = 64 * 1024
PROBLEM_CHARACTERS = 200


class Prometheus:
    """Asks queries. One instance serves one event loop."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ask(self, queries: Collection[Query]) -> Mapping[Query, Answer]:
        """Return an answer to every query; what went wrong, or took too long, is in it. Raises nothing."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(query: Query) -> Answer:
            async with turns:
                return await self._ask(query)

        asking = {query: asyncio.create_task(one(query)) for query in queries}
        if asking:
            try:
                await asyncio.wait(asking.values(), timeout=self._timeout_s)
            finally:
                for task in asking.values():
                    task.cancel()
                await asyncio.gather(*asking.values(), return_exceptions=True)
        late = Answer(problem=f"Prometheus did not answer within {self._timeout_s:g} s")
        return {query: late if task.cancelled() else task.result() for query, task in asking.items()}

    async def _ask(self, query: Query) -> Answer:
        address, expression = query
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s, trust_env=False, headers={"Accept-Encoding": "identity"}
            )
        url = f"{address.rstrip('/')}/api/v1/query"
        try:
            async with self._client.stream("GET", url, params={"query": expression}) as answer:
                body = bytearray()
                async for piece in answer.aiter_raw():  # nothing is unpacked: it could grow a thousandfold
                    body += piece
                    if len(body) > ANSWER_BYTES_MAX:
                        return Answer(problem=f"the answer is larger than {ANSWER_BYTES_MAX // 1024} KiB")
                return read_answer(answer.status_code, bytes(body))
        except httpx.TimeoutException:
            return Answer(problem=f"Prometheus did not answer within {self._timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 -- no address may end the work of the leader
            return Answer(problem=_cut(f"Prometheus cannot be asked: {str(error) or type(error).__name__}"))


def read_answer(status: int, body: bytes) -> Answer:
    """Return the value in an answer of `/api/v1/query`, or why there is none that could be used."""
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        page = None
    if not isinstance(page, dict) or page.get("status") not in {"success", "error"}:
        return Answer(problem=f"the answer is not Prometheus' (HTTP {_named(status)})")
    if page["status"] == "error" or status != HTTPStatus.OK:
        return Answer(problem=_cut(f"Prometheus refuses the query: {page.get('error', _named(status))}"))
    return _value_of(page.get("data"))


def _value_of(data: Any) -> Answer:
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if kind == "vector" and isinstance(result, list):
        if not result:
            return Answer(problem="the query has no result")
        if len(result) > 1:
            return Answer(
                problem=f"the query has {len(result)} results instead of one: use sum() or the like"
            )
        result = result[0].get("value") if isinstance(result[0], dict) else None
    elif kind != "scalar":
        return Answer(problem=_cut(f"the result is of type {kind}, not one value"))
    try:
        value = float(result[1])  # type: ignore[index] # what is no pair raises what is caught
    except (TypeError, ValueError, IndexError, KeyError):
        return Answer(problem="the result holds no number")
    if not isfinite(value) or value < 0:
        return Answer(problem=f"the value is {value:g}")
    return Answer(value)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= PROBLEM_CHARACTERS else f"{line[:PROBLEM_CHARACTERS]}…"
