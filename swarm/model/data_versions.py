"""Which version of a secret or config is one, and what are versions called that another one replaced?

The newest has the name; one before it is called NAME@NUMBER, which nobody can call a new one.
"""

from swarm.api.v1.objects_pb2 import Config, Secret
from swarm.api.v1.specs_pb2 import ConfigReference, SecretReference

_SEPARATOR = "@"


def number_of(item: Secret | Config) -> int:
    """Return the number of a version, 1 and up."""
    return item.number or 1


def family_of(name: str) -> str:
    """Return the name that a version has in common with all others."""
    return name.partition(_SEPARATOR)[0]


def is_replaced(item: Secret | Config) -> bool:
    """Whether a newer version has its name."""
    return _SEPARATOR in item.spec.annotations.name


def old_name(name: str, number: int) -> str:
    """Return what a version is called once another one has its name."""
    return f"{name}{_SEPARATOR}{number}"


def refer_to(reference: SecretReference | ConfigReference, item: Secret | Config) -> None:
    """Make `reference`, which the caller owns, one to this version; its name stays the same for all."""
    name = family_of(item.spec.annotations.name)
    # 0 for the first: a reference to what was never rotated does not change when it is.
    version = item.number if item.number > 1 else 0
    if isinstance(reference, SecretReference):
        reference.secret_id, reference.secret_name = item.id, name
    else:
        reference.config_id, reference.config_name = item.id, name
    reference.version = version
