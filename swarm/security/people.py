"""As whom does a person with a certificate count, and what does the certificate of one say? Pure."""

from collections.abc import Mapping
from dataclasses import replace

from swarm.api.v1.users_pb2 import User, UserRole
from swarm.errors import NotPermitted
from swarm.security.identity import Identity, Role

ROLES: Mapping[int, Role] = {
    UserRole.USER_ROLE_VIEWER: Role.VIEWER,
    UserRole.USER_ROLE_OPERATOR: Role.OPERATOR,
    UserRole.USER_ROLE_ADMIN: Role.ADMIN,
}


class UnknownUser(NotPermitted):
    """A certificate is good, but its user is not in this copy of the store: removed, or newer."""


def user_key(user: User) -> str:
    """Return what a certificate says of whose it is: names are given again, ids are not."""
    return f"{user.id}.{user.generation}"


def user_id(identity: Identity) -> str:
    """Return the id of the user whom a certificate names."""
    return identity.user_key.partition(".")[0]


def person_standing(user: User | None, identity: Identity) -> Identity:
    """Return a person with the role and scope that the store gives now; raises NotPermitted.

    `user` is what the store has under `user_id(identity)`.
    """
    generation = identity.user_key.partition(".")[2]
    if user is None:
        raise UnknownUser(
            f"user {identity.user} was removed from the cluster: an administrator makes users"
            " (swarmctl user create)"
        )
    role = ROLES.get(user.spec.role)
    if role is None:
        raise NotPermitted(f"user {identity.user} has a role that this manager does not know: update it")
    if not generation.isdecimal() or int(generation) < user.generation:
        raise NotPermitted(
            f"this certificate of user {identity.user} was revoked: an administrator gives you a new one"
            " (swarmctl user renew)"
        )
    return replace(
        identity,
        role=role,
        user=user.spec.annotations.name,
        scope=tuple(user.spec.scope),
        image_names=tuple(user.spec.image_names),
    )
