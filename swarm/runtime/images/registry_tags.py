"""Which tags has a repository in its registry? Page by page, as the registry hands them out."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from swarm.errors import InvalidArgument, Unavailable
from swarm.model.reference import is_tag
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.documents import parse_object, strings_of
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.registry import Access, RegistryClient, Repository
from swarm.runtime.images.registry_answers import read_document
from swarm.runtime.images.registry_auth import credentials_for
from swarm.runtime.images.shown import shown

_PAGE = 1000  # tags asked for at once; a registry may give fewer
_PAGES_MAX = 1000
_QUERY = re.compile(r"[!-~]{1,2000}")


async def list_tags(
    client: RegistryClient, repository: Repository, credentials: Credentials | None, limits: Limits
) -> list[str]:
    """Return the tags in order, none where there are none; of a mirror or of the registry itself.

    Raises NotFound, Unauthenticated, Unavailable, InvalidArgument (no list of tags, or too many),
    NotPermitted (a blocked registry).
    """
    return await client.first_of(
        repository, credentials, lambda place, login: _tags(client, place, login, limits)
    )


async def _tags(
    client: RegistryClient, repository: Repository, credentials: Credentials | None, limits: Limits
) -> list[str]:
    access = Access(repository, credentials_for(repository.domain, credentials))
    found: set[str] = set()
    query = f"n={_PAGE}"
    for _ in range(_PAGES_MAX):
        response = await client.request(access, "GET", f"tags/list?{query}")
        link = response.links.get("next", {}).get("url", "")
        found.update(parse_tags(await read_document(response, limits.document_bytes_max), str(repository)))
        if len(found) > limits.tags_max:
            raise InvalidArgument(
                f"{repository} has more than {limits.tags_max} tags: pull those that you want by name"
            )
        if not link:
            return sorted(found)
        query = next_query(link, str(repository))
    raise Unavailable(f"{repository} lists its tags on more than {_PAGES_MAX} pages")


def parse_tags(page: bytes, repository: str) -> Sequence[str]:
    """Return the tags of a page; raises InvalidArgument."""
    try:
        tags = strings_of(parse_object(page, "list of tags"), "tags")
    except InvalidArgument as error:
        raise InvalidArgument(f"{repository}: {error}") from None
    for tag in tags:
        if not is_tag(tag):
            raise InvalidArgument(f"{repository} lists {shown(tag)}, which is no tag")
    return tags


def next_query(link: str, repository: str) -> str:
    """Return what to ask for the page after: the query of a link.

    Of the link only that: the place is known, and registries behind proxies write one nobody can reach.
    """
    try:
        query = urlsplit(link).query
    except ValueError:
        query = ""
    if not _QUERY.fullmatch(query):
        raise Unavailable(f"{repository} has more tags, and does not say how to ask: {shown(link)}")
    return query
