"""What is different between two specs? In words for people, the shortest that say it."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

from swarm.api.v1.specs_pb2 import ConfigReference, ContainerSpec, ScaleRule, SecretReference
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.model.autoscale import rule_text
from swarm.model.units import format_duration, format_size

# Levels that say nothing to people: `image`, not `task.container.image`.
_SILENT = frozenset({"task", "container", "annotations", "replicated", "endpoint", "resources"})
_NOTHING = "-"


def changes(before: Message, after: Message) -> Sequence[str]:
    """Return a phrase for everything that differs, e.g. `image web:1 → web:2`; nothing for equal specs."""
    return tuple(_changes(before, after, ()))


def entries(spec: Message) -> Mapping[str, Sequence[str]]:
    """Return everything that a spec says: the values, as text, by their keys as people know them."""
    found: dict[str, list[str]] = {}
    for key, value in _entries(spec, ()):
        found.setdefault(key, []).append(value)
    return found


def _entries(spec: Message, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not spec.ListFields() and path:
        yield _key(path), "set"
    for field, value in spec.ListFields():
        where = path if field.name in _SILENT else (*path, field.name)
        if field.name == "labels" and isinstance(spec, ContainerSpec):
            where = (*path, "container_labels")  # those of the service are just labels
        if _is_map(field):
            yield from ((_key(where), f"{key}={value[key]}") for key in sorted(value))
        elif field.is_repeated:
            yield from ((_key(where), _text(item)) for item in value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from _entries(value, where)
        else:
            yield _key(where), _scalar(field, spec)


def _key(path: tuple[str, ...]) -> str:
    return " ".join(path).removesuffix("_ns").removesuffix("_bytes").replace("_", "-")


def _changes(before: Message, after: Message, path: tuple[str, ...]) -> Iterator[str]:
    if before == after:
        return
    for field in before.DESCRIPTOR.fields:
        old, new = getattr(before, field.name), getattr(after, field.name)
        where = path if field.name in _SILENT else (*path, field.name)
        name = _key(where)
        if _is_map(field):
            yield from _map_changes(name, old, new)
        elif field.is_repeated:
            yield from _list_changes(name, list(map(_text, old)), list(map(_text, new)))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from _changes(old, new, where)
        elif field.name == "scaled_by_hand":
            yield from ("scaled by hand",) if old != new else ()
        elif field.name == "force_update":
            yield from ("forced",) if old != new else ()
        elif field.name == "image_digest":
            if old != new and getattr(before, "image", "") == getattr(after, "image", ""):
                yield "image has another digest"
        else:
            old_text, new_text = _scalar(field, before), _scalar(field, after)
            if old_text != new_text:
                yield f"{name} {old_text} → {new_text}"


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _map_changes(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from _list_changes(
        name, [f"{key}={old[key]}" for key in sorted(old)], [f"{key}={new[key]}" for key in sorted(new)]
    )


def _list_changes(name: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    parts = [f"-{item}" for item in old if item not in new] + [f"+{item}" for item in new if item not in old]
    if parts:
        yield f"{name} {' '.join(parts)}"
    elif list(old) != list(new):
        yield f"{name} in another order"


def _text(item: Any) -> str:
    if isinstance(item, ScaleRule):
        return rule_text(item)
    if isinstance(item, SecretReference | ConfigReference):
        return _reference(item)
    if isinstance(item, NetworkAttachment):
        return _attachment(item)
    return MessageToString(item, as_one_line=True) if isinstance(item, Message) else str(item)


def _attachment(item: NetworkAttachment) -> str:
    """Return e.g. `shop`, or `shop as www,web 10.0.0.7` where more was said."""
    name = item.network_name or item.network_id
    aliases = f" as {','.join(item.aliases)}" if item.aliases else ""
    options = "".join(f" {key}={value}" for key, value in sorted(item.driver_options.items()))
    static = "".join(f" {text}" for text in (item.ipv4_address, item.ipv6_address) if text)
    return f"{name}{aliases}{static}{options}"


def _reference(item: SecretReference | ConfigReference) -> str:
    """Return e.g. `key`, or `key2:tls.key 1000:1000 0400` where more was said."""
    name = item.secret_name if isinstance(item, SecretReference) else item.config_name
    target, version = item.target, f"@{item.version}" if item.version else ""
    found = f"{name}{version}:{target.name}" if target.name not in {"", name, f"/{name}"} else name + version
    if target.uid or target.gid:
        found += f" {target.uid}:{target.gid}"
    return f"{found} {target.mode:04o}" if target.HasField("mode") else found


def _scalar(field: Any, message: Message) -> str:
    if field.has_presence and not message.HasField(field.name):
        return _NOTHING
    value = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_ENUM:
        prefix = "_".join(_snake(field.enum_type.name)) + "_"
        return (
            str(field.enum_type.values_by_number[value].name).removeprefix(prefix).lower().replace("_", "-")
        )
    if isinstance(value, bytes):
        return f"of {len(value)} bytes, {sha256(value).hexdigest()[:12]}" if value else _NOTHING
    if field.name.endswith("_ns"):
        return format_duration(value)
    if field.name.endswith("_bytes"):
        return format_size(value)
    if field.name == "nano_cpus":
        return f"{value / 1e9:g}"
    return str(value).lower() if isinstance(value, bool) else str(value) or _NOTHING


def _snake(name: str) -> list[str]:
    words: list[str] = []
    for letter in name:
        if letter.isupper() or not words:
            words.append("")
        words[-1] += letter.upper()
    return words
