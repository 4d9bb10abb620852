"""How does a token server give us a token for what we may do at a registry?"""

from __future__ import annotations  # so that no signature loads httpx

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.errors import InvalidArgument, Unauthenticated, Unavailable
from swarm.lazy import lazily
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.documents import parse_object
from swarm.runtime.images.registry_answers import read_document, reason_of
from swarm.runtime.images.registry_auth import basic_authorization

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

_CLIENT_ID = "swarm"
_ANSWER_BYTES_MAX = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Question:
    """What we want a token for; `lasting`: with an identity token, if there are any."""

    server: httpx.URL
    service: str
    scopes: Sequence[str]
    credentials: Credentials | None
    lasting: bool
    asker: str  # what the token is for, in the words of people


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token server gave."""

    bearer: str
    identity: str = ""


async def ask_for_token(client: httpx.AsyncClient, question: Question) -> Tokens:
    """Return the tokens; raises Unauthenticated, Unavailable (also for an answer that makes no sense)."""
    host = question.server.host
    try:
        response = await client.send(_request(client, question), stream=True)
    except httpx.TransportError as error:
        raise Unavailable(f"token server not reachable: {host}: {reason_of(error)}") from error
    status = response.status_code
    try:
        content = await read_document(response, _ANSWER_BYTES_MAX)
        if status in (401, 403):
            raise Unauthenticated(
                f"authentication required: {host} refused the credentials for {question.asker}"
            )
        if status != 200:
            raise Unavailable(f"token server {host} answered {status}")
        answer = parse_object(content, "answer")
    except InvalidArgument as error:
        raise Unavailable(f"token server {host} sent no token: {error}") from error
    bearer, identity = answer.get("token") or answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(bearer, str) or not _TOKEN.fullmatch(bearer):
        raise Unavailable(f"token server {host} sent no token")
    return Tokens(bearer, identity if question.lasting and isinstance(identity, str) else "")


def _request(client: httpx.AsyncClient, question: Question) -> httpx.Request:
    credentials = question.credentials
    service = {"service": question.service} if question.service else {}
    if credentials is not None and credentials.identity_token:
        form = service | {"grant_type": "refresh_token", "client_id": _CLIENT_ID}
        form |= {"scope": " ".join(question.scopes)} if question.scopes else {}
        return client.build_request(
            "POST", question.server, data=form | {"refresh_token": credentials.identity_token}
        )
    headers = {"Authorization": basic_authorization(credentials)} if credentials else {}
    lasting = {"offline_token": "true", "client_id": _CLIENT_ID} if question.lasting else {}
    asked = {"scope": question.scopes} | service | lasting
    return client.build_request("GET", question.server.copy_merge_params(asked), headers=headers)
