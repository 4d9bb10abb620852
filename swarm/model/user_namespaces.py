"""`--userns`: whose users are those of a container? Pure."""

import re
from collections.abc import Iterator

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.model.limits import shown

USERS = 65_536  # as programs expect them: up to `nobody`
USERS_MIN, USERS_MAX = 1_024, 16_777_216


def private_users(mode: str) -> int | None:
    """Return how many users `private` or `private:SIZE` means, 0 for the node's, None for neither."""
    if mode in {"", "host"}:
        return 0
    if mode == "private":
        return USERS
    found = re.fullmatch(r"private:(\d{1,9})", mode, re.ASCII)
    return int(found[1]) if found and USERS_MIN <= int(found[1]) <= USERS_MAX else None


def user_namespace_problems(spec: ContainerSpec) -> Iterator[str]:
    """Yield what is wrong with the users of a container, and what does not go with users of its own."""
    namespaces = spec.namespaces
    users = private_users(namespaces.userns)
    if users is None:
        yield (
            f'the user namespace "{shown(namespaces.userns)}" is neither host nor private[:SIZE], '
            f"with a SIZE of {USERS_MIN} to {USERS_MAX}"
        )
    if not users:
        return
    for what, asked in (
        ("privileged", spec.privileges.privileged),
        *((f"{kind} host", getattr(namespaces, kind) == "host") for kind in ("ipc", "pid", "uts", "cgroup")),
    ):
        if asked:
            yield f"{what} and userns private exclude each other: the node's things need the node's users"
