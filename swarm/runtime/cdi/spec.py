"""What does a CDI specification say? Pure: a parsed document becomes frozen values, or one clear error.

The Container Device Interface: a file names the devices of one kind (VENDOR/CLASS), and says for each, and
for all of them, what must be edited in a container's config.json.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from swarm.errors import InvalidArgument
from swarm.model.devices import is_kind, is_name

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

_VERSION = re.compile(r"v?[01]\.\d+\.\d+")
_PERMISSIONS = re.compile(r"[rwm]{0,3}")
# What nobody here can do: a container without it would not be what the specification promises.
_UNSUPPORTED = ("intelRdt", "netDevices")


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device file in the container; what is None is as on the host."""

    path: str
    host_path: str  # empty: as `path`
    kind: str = ""  # b, c, u, p; empty: as on the host
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    permissions: str = "rwm"
    uid: int | None = None
    gid: int | None = None

    @property
    def source(self) -> str:
        """The path on the host."""
        return self.host_path or self.path


@dataclass(frozen=True, slots=True)
class HostMount:
    """A path of the host in the container."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """A program of the host that runs, as root, while the container is made or ends."""

    name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Edits:
    """What is added to a container."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[HostMount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = ()
    unsupported: tuple[str, ...] = ()  # names of edits that are asked for and cannot be made

    def __add__(self, other: "Edits") -> "Edits":
        return Edits(
            self.env + other.env,
            self.device_nodes + other.device_nodes,
            self.mounts + other.mounts,
            self.hooks + other.hooks,
            self.additional_gids + other.additional_gids,
            self.unsupported + other.unsupported,
        )


@dataclass(frozen=True, slots=True)
class CdiSpec:
    """The devices of one kind that one file describes."""

    kind: str
    devices: Mapping[str, Edits] = field(default_factory=lambda: MappingProxyType({}))
    edits: Edits = Edits()  # for a container that has any of the devices


def read_spec(document: object) -> CdiSpec:
    """Return what a parsed file says; raises InvalidArgument with what is wrong and where."""
    top = _mapping(document, "the specification")
    version, kind = _text(top, "cdiVersion", "the specification"), _text(top, "kind", "the specification")
    if not _VERSION.fullmatch(version):
        raise InvalidArgument(f'cdiVersion "{version}" is not one that this version of swarm knows')
    if not is_kind(kind):
        raise InvalidArgument(f'kind "{kind}" is not VENDOR/CLASS')
    devices: dict[str, Edits] = {}
    for one in _list(top, "devices", "the specification"):
        device = _mapping(one, "a device")
        name = _text(device, "name", "a device")
        if not is_name(name):
            raise InvalidArgument(f'"{name}" is not the name of a device')
        if name in devices:
            raise InvalidArgument(f'the device "{name}" is there twice')
        devices[name] = _edits(device.get("containerEdits"), f'the device "{name}"')
    if not devices:
        raise InvalidArgument("it has no devices")
    return CdiSpec(kind, MappingProxyType(devices), _edits(top.get("containerEdits"), "the specification"))


def _edits(given: object, where: str) -> Edits:
    if given is None:
        return Edits()
    edits = _mapping(given, f"containerEdits of {where}")
    return Edits(
        env=_env(edits, where),
        device_nodes=tuple(_device_node(one, where) for one in _list(edits, "deviceNodes", where)),
        mounts=tuple(_mount(one, where) for one in _list(edits, "mounts", where)),
        hooks=tuple(_hook(one, where) for one in _list(edits, "hooks", where)),
        additional_gids=tuple(_number(one, "additionalGids", where) for one in _gids(edits, where)),
        unsupported=tuple(name for name in _UNSUPPORTED if edits.get(name)),
    )


def _gids(edits: Mapping[str, Any], where: str) -> list[Any]:
    return [one for one in _list(edits, "additionalGids", where) if one != 0]  # as CDI says: 0 is ignored


def _device_node(given: object, where: str) -> DeviceNode:
    node = _mapping(given, f"a device node of {where}")
    kind, permissions = _optional(node, "type", where), _optional(node, "permissions", where)
    if kind not in {"", "b", "c", "u", "p"}:
        raise InvalidArgument(f'a device node of {where} has the type "{kind}", not one of b, c, u, p')
    if not _PERMISSIONS.fullmatch(permissions):
        raise InvalidArgument(
            f'a device node of {where} has the permissions "{permissions}", not of r, w, m'
        )
    numbers = {
        name: None if node.get(key) is None else _number(node[key], key, where)
        for name, key in (("major", "major"), ("minor", "minor"), ("file_mode", "fileMode"))
    }
    owner = {
        key: None if node.get(key) is None else _number(node[key], key, where) for key in ("uid", "gid")
    }
    return DeviceNode(
        path=_path(node, "path", where),
        host_path=_path(node, "hostPath", where) if node.get("hostPath") else "",
        kind=kind,
        permissions=permissions or "rwm",
        **numbers,
        **owner,
    )


def _mount(given: object, where: str) -> HostMount:
    mount = _mapping(given, f"a mount of {where}")
    return HostMount(
        host_path=_text(mount, "hostPath", where),
        container_path=_path(mount, "containerPath", where),
        options=_texts(mount, "options", where),
        kind=_optional(mount, "type", where),
    )


def _hook(given: object, where: str) -> Hook:
    hook = _mapping(given, f"a hook of {where}")
    name = _text(hook, "hookName", where)
    if name not in HOOKS:
        raise InvalidArgument(f'a hook of {where} has the name "{name}", not one of {", ".join(HOOKS)}')
    return Hook(
        name=name,
        path=_path(hook, "path", where),
        args=_texts(hook, "args", where),
        env=_env(hook, where),
        timeout=None if hook.get("timeout") is None else _number(hook["timeout"], "timeout", where),
    )


def _env(given: Mapping[str, Any], where: str) -> tuple[str, ...]:
    variables = _texts(given, "env", where)
    for one in variables:
        if not one.partition("=")[0] or "=" not in one:
            raise InvalidArgument(f'env of {where} has "{one}", which is not NAME=VALUE')
    return variables


# What stands at a place in the document.


def _mapping(given: object, what: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{what} is not a table of names and values")
    return given


def _list(given: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
    found = given.get(key)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise InvalidArgument(f"{key} of {where} is not a list")
    return found


def _texts(given: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = _list(given, key, where)
    if not all(isinstance(one, str) for one in found):
        raise InvalidArgument(f"{key} of {where} holds something that is not a text")
    return tuple(found)


def _optional(given: Mapping[str, Any], key: str, where: str) -> str:
    return _text(given, key, where) if given.get(key) not in {None, ""} else ""


def _text(given: Mapping[str, Any], key: str, where: str) -> str:
    found = given.get(key)
    if not isinstance(found, str) or not found or "\0" in found:
        raise InvalidArgument(f"{key} of {where} is not a text")
    return found


def _path(given: Mapping[str, Any], key: str, where: str) -> str:
    path = _text(given, key, where)
    if not path.startswith("/"):
        raise InvalidArgument(f'{key} of {where} is "{path}", which is not an absolute path')
    return path


def _number(found: object, key: str, where: str) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise InvalidArgument(f"{key} of {where} is {found!r}, which is not a number of at least 0")
    return found
