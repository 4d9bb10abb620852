"""What can be set on a node: file, environment and flags become one frozen `Settings`.

Flags win over the environment (SWARM_*), which wins over the file, which wins over the defaults below.
This is the only reader of the three.
"""

import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.errors import InvalidArgument
from swarm.model.registries import RegistryRules, parse_rules

if TYPE_CHECKING:
    pass

DEFAULT_FILE = Path("/etc/swarm/swarmd.toml")
ENVIRONMENT_PREFIX = "SWARM_"
DEFAULT_PORT = 2377
SOCKET_PATH_BYTES_MAX = 107  # sun_path less its terminating zero byte


_REPEATABLE = {
    "cdi_dirs": "--cdi-dir",
    "engine_labels": "--engine-label",
    "insecure_registries": "--insecure-registry",
    "node_generic_resource": "--node-generic-resource",
    "registry_mirrors": "--registry-mirror",
    "blocked_registries": "--blocked-registry",
}


def _about(text: str, *choices: str) -> Mapping[str, Any]:
    return {"help": text, "choices": choices}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one node. Durations in seconds, addresses HOST:PORT."""

    state_dir: Path = field(
        default=Path("/var/lib/swarm"), metadata=_about("where the node keeps what must survive a reboot")
    )
    run_dir: Path = field(
        default=Path("/run/swarm"), metadata=_about("where the node keeps what must not survive a reboot")
    )
    socket: Path = field(
        default=Path(), metadata=_about("Unix socket for swarmctl; default RUN_DIR/swarmd.sock")
    )
    listen_addr: str = field(
        default="0.0.0.0:2377", metadata=_about("where a manager listens for other nodes")
    )
    advertise_addr: str = field(
        default="", metadata=_about("HOST, HOST:PORT or interface at which others reach this node")
    )
    data_path_addr: str = field(
        default="",
        metadata=_about(
            "address or interface of this node for what containers of different nodes say to each other;"
            " default: the address that managers see it at"
        ),
    )
    metrics_addr: str = field(
        default="0.0.0.0:9323", metadata=_about("where to serve /metrics and /healthz; empty: nowhere")
    )
    runtime: str = field(
        default="auto",
        metadata=_about("what runs containers", "auto", "oci", "docker", "starter", "process", "fake"),
    )
    docker_socket: Path = field(
        default=Path("/var/run/docker.sock"),
        metadata=_about("where the engine answers that the runtime `docker` uses"),
    )
    cgroup_parent: str = field(
        default="swarm", metadata=_about("cgroup below which the containers of this node are")
    )
    node_subnet: str = field(
        default="172.30.0.0/16", metadata=_about("network of the tasks, local to this node")
    )
    hostname: str = field(default="", metadata=_about("name of this node; default: the machine's"))
    engine_labels: Mapping[str, str] = field(
        default_factory=dict, metadata=_about("labels of this node, KEY=VALUE, repeatable")
    )
    node_generic_resource: tuple[str, ...] = field(
        default=(),
        metadata=_about("what tasks can reserve here besides cpu and memory: ssd=3, gpu=UUID1; repeatable"),
    )
    cdi_dirs: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            "where CDI specifications of devices are, the last one counts most; repeatable;"
            " default /etc/cdi and /var/run/cdi"
        ),
    )
    cdi_hooks: str = field(
        default="refuse",
        metadata=_about(
            "whether devices whose CDI specifications run programs here are given", "refuse", "allow"
        ),
    )
    subordinate_ids: str = field(
        default="1879048192:268435456",
        metadata=_about("user and group ids for containers with users of their own, FIRST:SIZE"),
    )
    insecure_registries: tuple[str, ...] = field(
        default=(), metadata=_about("registries (HOST[:PORT]) to ask without TLS, repeatable")
    )
    disk_soft_percent: int = field(
        default=85, metadata=_about("so full a disk of the node makes unused images go early")
    )
    disk_hard_percent: int = field(
        default=95, metadata=_about("so full a disk of the node keeps new tasks away")
    )
    registry_mirrors: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            "who is asked before a registry, REGISTRY=HOST[:PORT][/PATH]; repeatable, asked in this order"
        ),
    )
    blocked_registries: tuple[str, ...] = field(
        default=(),
        metadata=_about("registries (HOST[:PORT], * for any text) that are never asked, repeatable"),
    )
    log_level: str = field(
        default="info", metadata=_about("least level to log", "debug", "info", "warning", "error")
    )
    log_format: str = field(
        default="auto", metadata=_about("auto: console on a terminal, else json", "auto", "console", "json")
    )
    raft_election_timeout_s: float = field(
        default=0.6, metadata=_about("a follower waits 1 to 2 times this for its leader")
    )
    raft_heartbeat_s: float = field(
        default=0.1, metadata=_about("how often a leader reports to its followers")
    )
    raft_snapshot_interval: int = field(default=10000, metadata=_about("log entries between two snapshots"))

    @property
    def registry_rules(self) -> RegistryRules:
        """Mirrors and blocked registries; raises InvalidArgument."""
        return parse_rules(self.registry_mirrors, self.blocked_registries)

    @property
    def certificate_file(self) -> Path:
        """Key, certificate and root certificate of this node."""
        return self.state_dir / "certificates" / "node.pem"

    @property
    def cdi_directories(self) -> tuple[Path, ...]:
        """Where CDI specifications are; of two for one device that in the later directory counts."""
        return tuple(map(Path, self.cdi_dirs or ("/etc/cdi", "/var/run/cdi")))

    @property
    def node_file(self) -> Path:
        """What this node knows of its cluster without asking anybody."""
        return self.state_dir / "node.json"

    @property
    def lock_file(self) -> Path:
        """Held by the daemon that owns `state_dir`."""
        return self.state_dir / "swarmd.lock"

    @property
    def audit_dir(self) -> Path:
        """What this manager wrote down of calls."""
        return self.state_dir / "audit"

    @property
    def raft_dir(self) -> Path:
        """Journal and snapshots of a manager."""
        return self.state_dir / "raft"

    @property
    def key_file(self) -> Path:
        """The keys that a manager's files are encrypted with."""
        return self.state_dir / "raft.keys"

    @property
    def agent_dir(self) -> Path:
        """Task database and per-task files of the agent."""
        return self.state_dir / "agent"

    @property
    def images_dir(self) -> Path:
        """The node's image store."""
        return self.state_dir / "images"

    @property
    def containers_dir(self) -> Path:
        """What the runtime driver keeps per container."""
        return self.state_dir / "containers"

    @property
    def csi_dir(self) -> Path:
        """Where storage plugins (CSI) have their sockets, NAME.sock."""
        return self.run_dir / "csi"

    @property
    def cluster_volumes_dir(self) -> Path:
        """Where cluster volumes are mounted."""
        return self.state_dir / "cluster-volumes"

    @property
    def volumes_dir(self) -> Path:
        """Volumes of this node, with what is in them."""
        return self.state_dir / "volumes"

    @property
    def plain_dir(self) -> Path:
        """What the node writes down of containers that belong to no service; not the cluster's."""
        return self.state_dir / "plain"

    @property
    def network_dir(self) -> Path:
        """What the node's network keeps per task."""
        return self.state_dir / "network"


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None
) -> Settings:
    """Return the settings; `flags` holds what was given on the command line (None: not given).

    `file` None reads the default file if it exists. Raises InvalidArgument naming the setting and where the
    bad value came from.
    """
    values: dict[str, Any] = {}
    for source, given in (
        (str(file or DEFAULT_FILE), _read_file(file)),
        ("the environment", _read_environment(environment)),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ):
        for name, value in given.items():
            values[name] = _parse(name, value, source)
    values.setdefault("hostname", "")
    values["hostname"] = values["hostname"] or socket.gethostname()
    run_dir = values.get("run_dir", _default("run_dir"))
    values.setdefault("socket", run_dir / "swarmd.sock")
    settings = Settings(**values)
    _check(settings)
    return settings


def settings_options(command: "Callable[..., Any]") -> "Callable[..., Any]":
    """Add one click option per setting, and --config, to a command; absent options arrive as None."""
    import click

    for item in reversed(fields(Settings)):
        command = _click_option(click, item)(command)
    path = click.Path(path_type=Path, dir_okay=False)
    text = f"settings file; default {DEFAULT_FILE} if it exists"
    return click.option("--config", type=path, default=None, help=text)(command)


def _click_option(click: Any, item: "Field[Any]") -> Callable[..., Any]:
    repeatable = item.name in _REPEATABLE
    flag = _REPEATABLE.get(item.name) or "--" + item.name.replace("_", "-")
    choices = item.metadata["choices"]
    default = _default(item.name)
    shown = "" if default in ("", {}, (), Path()) else f"  [default: {default}]"
    option: Callable[..., Any] = click.option(
        flag,
        item.name,
        type=click.Choice(choices) if choices else str,
        default=None,
        multiple=repeatable,
        callback=(lambda _context, _parameter, value: value or None) if repeatable else None,
        help=item.metadata["help"] + shown,
    )
    return option


def _default(name: str) -> Any:
    item = next(item for item in fields(Settings) if item.name == name)
    return {} if item.default is MISSING else item.default


def _read_file(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file is None:
            return {}
        raise InvalidArgument(f"there is no settings file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"the settings file {path} cannot be read: {error}") from error
    given = {name.replace("-", "_"): value for name, value in given.items()}  # as the flags are written
    known = {item.name for item in fields(Settings)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise InvalidArgument(
            f"{path}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    return given


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for item in fields(Settings):
        value = environment.get(ENVIRONMENT_PREFIX + item.name.upper())
        if value is not None:
            found[item.name] = value
    return found


def _parse(name: str, value: Any, source: str) -> Any:
    """Return `value` in the type of the setting `name`; raises InvalidArgument."""
    try:
        return _parse_as(_default(name), value)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{name} from {source}: {error}") from error


def _parse_as(default: Any, value: Any) -> Any:
    if isinstance(default, Path):
        return Path(os.path.abspath(_text(value)))  # noqa: PTH100 - resolve() would follow symbolic links
    if isinstance(default, Mapping):
        return _labels(value)
    if isinstance(default, tuple):
        items = value.split(",") if isinstance(value, str) else value
        return tuple(filter(None, (_text(item).strip() for item in items)))
    if isinstance(value, bool):
        raise TypeError(f"{value!r} is not a {type(default).__name__}")  # bool is an int in Python only
    if isinstance(default, float):
        return float(value)
    return int(value) if isinstance(default, int) else _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, str | Path):
        raise TypeError(f"{value!r} is not a text")
    return str(value)


def _labels(value: Any) -> Mapping[str, str]:
    """Return labels given as a table (file), a list of KEY=VALUE (flags) or one text with commas."""
    if isinstance(value, Mapping):
        return {str(key): _text(text) for key, text in value.items()}
    items = value.split(",") if isinstance(value, str) else value
    labels = {}
    for item in filter(None, (text.strip() for text in items)):
        key, equals, text = item.partition("=")
        if not key or not equals:
            raise ValueError(f"{item!r} is not KEY=VALUE")
        labels[key] = text
    return labels


def split_address(address: str) -> tuple[str, int]:
    """Return (host, port) of HOST:PORT or [HOST]:PORT; raises InvalidArgument."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise InvalidArgument(f"{address!r} is not HOST:PORT")
    return host, int(port)


def _check(settings: Settings) -> None:
    """Raise InvalidArgument for values that cannot work."""
    parse_rules(settings.registry_mirrors, settings.blocked_registries)
    if settings.node_generic_resource:
        from swarm.model.generic_resources import parse_owned

        parse_owned(settings.node_generic_resource)
    for directory in settings.cdi_directories:
        if not directory.is_absolute():
            raise InvalidArgument(f"cdi_dirs: {directory} is not an absolute path")
    for item in fields(settings):
        choices, value = item.metadata["choices"], getattr(settings, item.name)
        if choices and value not in choices:
            raise InvalidArgument(f"{item.name} is {value!r}; it must be one of {', '.join(choices)}")
    if not 0 < settings.disk_soft_percent < settings.disk_hard_percent <= 100:
        raise InvalidArgument(
            f"disk_soft_percent ({settings.disk_soft_percent}) must be above 0 and below disk_hard_percent "
            f"({settings.disk_hard_percent}), and that at most 100"
        )
    split_address(settings.listen_addr)
    if settings.metrics_addr:
        split_address(settings.metrics_addr)
    try:
        IPv4Network(settings.node_subnet)
    except ValueError as error:
        raise InvalidArgument(f"node_subnet: {error}") from error
    if len(os.fsencode(settings.socket)) > SOCKET_PATH_BYTES_MAX:
        raise InvalidArgument(
            f"the socket path {settings.socket} is longer than the {SOCKET_PATH_BYTES_MAX} bytes the system"
            " allows: choose a shorter run_dir or socket"
        )
    if not 0 < 3 * settings.raft_heartbeat_s < settings.raft_election_timeout_s:
        raise InvalidArgument("raft_heartbeat_s must be less than a third of raft_election_timeout_s")
    if settings.raft_snapshot_interval < 1:
        raise InvalidArgument("raft_snapshot_interval must be at least 1")
