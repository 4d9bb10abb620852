"""What does an argument or option name? Told by the word in the usage, or by whose command it is. Pure."""

import re
from collections.abc import Mapping, Sequence

import click

# What an argument is called in the usage -> whose names it takes.
_WORD = re.compile(
    r"\b(CONFIG|CONTAINER|CONTEXT|IMAGE|NETWORK|NODE|SECRET|SERVICE|STACK|TASK|USER|VOLUME)\b"
)
# Without such a word: what `name`, `names` and `node` are in a group, but not in these of its commands.
_OF_GROUP: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "context": ("CONTEXT", ("create", "import")),
    "dev": ("DEV NODE", ()),
    "machine": ("MACHINE", ("create",)),
    "user": ("USER", ("create",)),
}
_NAMING = frozenset({"name", "names", "node"})
_ARGUMENTS: Mapping[tuple[str, str], Sequence[str]] = {
    ("container commit", "reference"): ["IMAGE"],
    ("container cp", "source"): ["CONTAINER:"],
    ("container cp", "target"): ["CONTAINER:"],
    ("doctor", "machine"): ["MACHINE"],
    ("image ls", "repository"): ["IMAGE"],
    ("image pull", "reference"): ["IMAGE"],
    ("image push", "reference"): ["IMAGE"],
    ("image tag", "target"): ["IMAGE"],
    ("inspect", "refs"): ["SERVICE", "NODE", "TASK", "NETWORK", "VOLUME", "SECRET", "CONFIG", "IMAGE"],
    ("login", "registry"): ["REGISTRY"],
    ("logout", "registry"): ["REGISTRY"],
    ("machine exec", "names"): ["MACHINE,"],
    ("machine scp", "source"): ["MACHINE:"],
    ("machine scp", "target"): ["MACHINE:"],
    ("stack logs", "services"): ["SERVICE OF STACK"],
}
_OPTIONS: Mapping[str, str] = {
    "--cluster": "CLUSTER",
    "--config": "CONFIG",
    "--config-add": "CONFIG",
    "--config-rm": "CONFIG",
    "--context": "CONTEXT",
    "--depends-on": "SERVICE",
    "--depends-on-add": "SERVICE",
    "--depends-on-rm": "SERVICE",
    "--from": "CONTEXT",
    "--image": "IMAGE",
    "--log-driver": "LOG DRIVER",
    "--network": "NETWORK",
    "--network-add": "NETWORK",
    "--network-rm": "NETWORK",
    "--node": "NODE",
    "--secret": "SECRET",
    "--secret-add": "SECRET",
    "--secret-rm": "SECRET",
}
_OPTIONS_OF: Mapping[tuple[str, str], str] = {
    ("audit", "--user"): "USER",
    ("dev", "--name"): "DEV",
    ("machine", "--driver"): "MACHINE DRIVER",
    ("network", "--driver"): "NETWORK DRIVER",
    ("secret", "--driver"): "SECRET DRIVER",
    ("stack", "--to"): "REVISION OF STACK",
    ("volume", "--driver"): "VOLUME DRIVER",
}


def kinds(path: str, param: click.Parameter) -> list[str]:
    """Return whose names a parameter of the command at `path` (`service rm`) takes; none: it names nothing.

    A kind may end with what comes after the name (`:`) or between names (`,`).
    """
    group, _, verb = path.partition(" ")
    if isinstance(param, click.Option):
        named = [_OPTIONS_OF[group, one] for one in param.opts if (group, one) in _OPTIONS_OF]
        return named or [_OPTIONS[one] for one in param.opts if one in _OPTIONS]
    name = param.name or ""
    if (path, name) in _ARGUMENTS:
        return list(_ARGUMENTS[path, name])
    if param.metavar is not None and ":" not in param.metavar and (found := _WORD.findall(param.metavar)):
        return list(dict.fromkeys(["DEV NODE" if group == "dev" else one for one in found]))
    if group in _OF_GROUP and name in _NAMING and verb not in _OF_GROUP[group][1]:
        return [_OF_GROUP[group][0]]
    return ["IMAGE"] if name == "image" and param.metavar is None else []
