"""Which machines is a cluster to have? A YAML file, checked word by word before anything is done.

cluster: prod
defaults: {user: admin, key: ~/.ssh/prod, jump: gate.example.com}
machines:
  m1: {host: 10.0.0.1, role: manager}
  w1: {host: 10.0.0.4, role: worker, labels: {disk: ssd}}
  w2: {driver: cloud, options: {region: eu-central-1, image: ami-…, size: t3.small}}
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from swarm.errors import InvalidArgument
from swarm.machine import ssh_config
from swarm.machine.drivers.base import check_options, driver
from swarm.machine.endpoint import SSH_PORT, Endpoint, Hop, parse_jumps
from swarm.machine.store import NAME, Record

REACHING_KEYS = ("user", "port", "key", "jump")
MACHINE_KEYS = (
    *REACHING_KEYS,
    *("host", "role", "advertise_addr", "data_path_addr", "labels", "driver", "options"),
)
TOP_KEYS = ("cluster", "defaults", "machines")
ROLES = ("manager", "worker")
MACHINES_MAX = 1000


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Refuses a key that stands twice: the machine that was written first would be left out silently."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} is there twice", problem_mark=key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return node


def parse_inventory(text: str, config: Path | None = None) -> list[Record]:
    """Return the machines of a file, managers first; raises InvalidArgument that names the place."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 a safe one
    except yaml.YAMLError as error:
        raise InvalidArgument(f"this is not YAML: {' '.join(str(error).split())}") from error
    top = _mapping(data, "the file")
    _check_keys(top, TOP_KEYS, "the file")
    cluster = str(top.get("cluster") or "default")
    if not NAME.fullmatch(cluster):
        raise InvalidArgument(f'cluster: "{cluster}" cannot be a name: letters, digits, - _ . (63 at most)')
    defaults = _mapping(top.get("defaults") or {}, "defaults")
    _check_keys(defaults, (*REACHING_KEYS, "driver", "options"), "defaults")
    machines = _mapping(top.get("machines"), "machines")
    if not 0 < len(machines) <= MACHINES_MAX:
        raise InvalidArgument(f"machines: there are {len(machines)}; write 1 to {MACHINES_MAX}")
    found = [_record(str(name), item, defaults, cluster, config) for name, item in machines.items()]
    if not any(record.role == "manager" for record in found):
        raise InvalidArgument("machines: none has `role: manager`; a cluster needs one")
    _check_places(found)
    return sorted(found, key=lambda record: record.role != "manager")


def _record(name: str, item: Any, defaults: Mapping[str, Any], cluster: str, config: Path | None) -> Record:
    where = f"machines.{name}"
    if not NAME.fullmatch(name):
        raise InvalidArgument(f'{where}: "{name}" cannot be a name: letters, digits, - _ . (63 at most)')
    own = _mapping(item, where)
    given = {**defaults, **own}
    _check_keys(given, MACHINE_KEYS, where)
    role = given.get("role", "worker")
    if role not in ROLES:
        raise InvalidArgument(f"{where}.role: write manager or worker, not {role!r}")
    port = given.get("port", 0)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 1 << 16:
        raise InvalidArgument(f"{where}.port: {port!r} is not a port")
    common = _texts(defaults.get("options") or {}, "defaults.options")
    if given.get("driver") != defaults.get("driver"):
        common = {}  # those of another driver
    options = {**common, **_texts(own.get("options") or {}, f"{where}.options")}
    try:
        made_by = driver(str(given.get("driver") or "generic"))
        check_options(made_by, options)
        reach = _reached(given, port, config, makes=made_by.makes)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error}") from error
    return Record(
        name=name,
        driver=made_by.name,
        endpoint=reach,
        cluster=cluster,
        role=str(role),
        advertise_addr=str(given.get("advertise_addr") or ""),
        data_path_addr=str(given.get("data_path_addr") or ""),
        labels=_texts(given.get("labels") or {}, f"{where}.labels"),
        options=options,
    )


def _reached(given: Mapping[str, Any], port: int, config: Path | None, *, makes: bool) -> Endpoint:
    """Return what is written of how a machine is reached; `makes`: its driver knows where it is."""
    user, key, jump = (given.get(name) for name in ("user", "key", "jump"))
    if makes and not given.get("host"):
        hop = Hop("", port or SSH_PORT, str(user or ""))
        file = str(Path(str(key)).expanduser()) if key else ""
        return Endpoint(hop, file, parse_jumps(str(jump or ""), str(user or "root")))
    if not given.get("host"):
        raise InvalidArgument("where is it? Write host: [USER@]HOST[:PORT]")
    return ssh_config.endpoint(
        str(given["host"]),
        user=str(user or ""),
        port=port,
        key=str(key or ""),
        jumps=str(jump) if jump is not None else None,
        config=config,
    )


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{where}: write KEY: VALUE lines, not {type(value).__name__}")
    return value


def _texts(value: Any, where: str) -> dict[str, str]:
    return {str(key): str(text) for key, text in _mapping(value, where).items()}


def _check_keys(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InvalidArgument(f"{where}: there is no {key!r}; {hint}")


def _check_places(records: list[Record]) -> None:
    seen: dict[tuple[tuple[str, int], ...], str] = {}
    for record in records:
        # The same address behind another gate is another machine.
        way = tuple((hop.host, hop.port) for hop in (*record.endpoint.jumps, record.endpoint.hop))
        host = record.endpoint.hop.host
        if host and way in seen:
            raise InvalidArgument(f"machines.{record.name}: {host} is {seen[way]} already")
        seen[way] = record.name
