"""Options by which a service refers to secrets and configs."""

from typing import Any

from swarm.api.v1.specs_pb2 import ConfigReference, FileTarget, SecretReference, ServiceSpec
from swarm.cli import parse
from swarm.cli.not_there import tell_not_there
from swarm.errors import InvalidArgument

Given = dict[str, Any]

LISTS = (
    ("--secret", "Give a secret to the containers: NAME, or source=NAME,target=FILE,uid=0,gid=0,mode=0400."),
    (
        "--config",
        "Give a config to the containers: NAME, or source=NAME,target=/PATH,uid=0,gid=0,mode=0440.",
    ),
)
REMOVES = (
    ("--secret-rm", "Secret to take away, by name."),
    ("--config-rm", "Config to take away, by name."),
)
FIELDS = ("source", "src", "target", "uid", "gid", "mode")


def add_references(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--secret` and `--config` gave; with suffix `_add`, in place of what has the same target."""
    for kind in ("secret", "config"):
        texts = given[f"{kind}{suffix}"]
        if not texts:
            continue  # even an empty change would make the message present in the spec
        references: Any = getattr(spec.task.container, f"{kind}s")
        for text in texts:
            new = secret_reference(text) if kind == "secret" else config_reference(text)
            if suffix:
                kept = [old for old in references if _target(old) != _target(new)]
                del references[:]
                references.extend(kept)
            references.append(new)


def remove_references(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--secret-rm` and `--config-rm` named; what is not there is told."""
    for kind in ("secret", "config"):
        for name in given[f"{kind}_rm"]:
            references: Any = getattr(spec.task.container, f"{kind}s")
            kept = [old for old in references if name not in (_name(old), _id(old))]
            if len(kept) == len(references):
                tell_not_there(f"--{kind}-rm", name, kind)
                continue
            del references[:]
            references.extend(kept)


def secret_reference(text: str) -> SecretReference:
    """Return what a value of --secret means."""
    name, target = _read(text, "--secret")
    return SecretReference(secret_name=name, target=target)


def config_reference(text: str) -> ConfigReference:
    """Return what a value of --config means."""
    name, target = _read(text, "--config")
    return ConfigReference(config_name=name, target=target)


def _read(text: str, option: str) -> tuple[str, FileTarget]:
    if "=" not in text and "," not in text:
        return text, FileTarget(name=text if option == "--secret" else f"/{text}")
    values = parse.fields(text, option, FIELDS)
    name = values.get("source", values.get("src", ""))
    if not name:
        raise InvalidArgument(f'{option} "{text}": source=NAME is missing')
    target = FileTarget(name=values.get("target") or (name if option == "--secret" else f"/{name}"))
    target.uid, target.gid = (_number(values.get(key, "0"), key, text, option) for key in ("uid", "gid"))
    if "mode" in values:
        target.mode = _mode(values["mode"], text, option)
    return name, target


def _number(word: str, key: str, text: str, option: str) -> int:
    if not (word.isascii() and word.isdecimal()) or int(word) > 0xFFFF_FFFE:
        raise InvalidArgument(f'{option} "{text}": {key} "{word}" is not the number of a user or group')
    return int(word)


def _mode(word: str, text: str, option: str) -> int:
    try:
        mode = int(word, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise InvalidArgument(f'{option} "{text}": "{word}" is not a mode such as 0440')
    return mode


def _name(one: SecretReference | ConfigReference) -> str:
    return one.secret_name if isinstance(one, SecretReference) else one.config_name


def _id(one: SecretReference | ConfigReference) -> str:
    return one.secret_id if isinstance(one, SecretReference) else one.config_id


def _target(one: SecretReference | ConfigReference) -> str:
    return one.target.name or _name(one)
