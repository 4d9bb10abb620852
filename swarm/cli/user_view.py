"""Users as people see them."""

from typing import Any

from swarm.api.v1.users_pb2 import User
from swarm.cli.inspect_view import when
from swarm.cli.render import ordered
from swarm.cli.templates.values import LabelText
from swarm.cli.user import role_of
from swarm.clock import nanoseconds
from swarm.model.labels import has_label
from swarm.model.units import format_age

View = dict[str, Any]


def selected(user: User, wanted: dict[str, list[str]]) -> bool:
    """Whether filters fit a user: values of one are alternatives, but labels must all be there."""
    name, labels = user.spec.annotations.name, user.spec.annotations.labels
    return (
        _any(wanted.get("id"), user.id.startswith)
        and _any(wanted.get("name"), name.startswith)
        and _any(wanted.get("role"), role_of(user).__eq__)
        and all(has_label(labels, one) for one in wanted.get("label", ()))
    )


def _any(values: list[str] | None, fits: Any) -> bool:
    return values is None or any(map(fits, values))


def row(user: User, now_ns: int) -> dict[str, str]:
    """Return what `user ls` shows of a user."""
    left_ns = nanoseconds(user.certificate_expires_at) - now_ns
    return {
        "ID": user.id,
        "Name": user.spec.annotations.name,
        "Role": role_of(user),
        "Scope": ",".join(user.spec.scope) or "-",
        "Expires": f"in {format_age(left_ns)}" if left_ns > 0 else "expired",
        "ExpiresAt": when(user.certificate_expires_at),
        "CreatedAt": f"{format_age(now_ns - nanoseconds(user.meta.created_at))} ago",
        "CreatedBy": user.created_by or "-",
        "Labels": LabelText(user.spec.annotations.labels),
    }


def data(user: User) -> View:
    """Return a user as `user inspect` prints it."""
    return {
        "ID": user.id,
        "Version": {"Index": user.meta.version.index},
        "CreatedAt": when(user.meta.created_at),
        "UpdatedAt": when(user.meta.updated_at),
        "CreatedBy": user.created_by,
        "CertificateExpiresAt": when(user.certificate_expires_at),
        "Generation": user.generation,
        "Spec": {
            "Name": user.spec.annotations.name,
            "Labels": ordered(user.spec.annotations.labels),
            "Role": role_of(user),
            "Scope": list(user.spec.scope),
            "ImageNames": list(user.spec.image_names),
        },
    }


def pretty(user: User) -> str:
    """Return a user for people."""
    labels = [f" - {key}={value}" for key, value in sorted(user.spec.annotations.labels.items())]
    return "\n".join(
        [
            f"ID: {user.id}",
            f"Name: {user.spec.annotations.name}",
            f"Role: {role_of(user)}",
            f"Scope: {', '.join(user.spec.scope) or 'everything'}",
            *([f"Names of images: {', '.join(user.spec.image_names)}"] if user.spec.image_names else []),
            *(["Labels:", *labels] if labels else []),
            f"Certificate expires: {when(user.certificate_expires_at)}",
            f"Created: {when(user.meta.created_at)}" + (f" by {user.created_by}" if user.created_by else ""),
        ]
    )
