import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import logs_pb2 as _logs_pb2
from swarm.api.v1 import specs_pb2 as _specs_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlainRestart(_message.Message):
    __slots__ = ("condition", "max_retries")
    class Condition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONDITION_NO: _ClassVar[PlainRestart.Condition]
        CONDITION_ON_FAILURE: _ClassVar[PlainRestart.Condition]
        CONDITION_ALWAYS: _ClassVar[PlainRestart.Condition]
        CONDITION_UNLESS_STOPPED: _ClassVar[PlainRestart.Condition]
    CONDITION_NO: PlainRestart.Condition
    CONDITION_ON_FAILURE: PlainRestart.Condition
    CONDITION_ALWAYS: PlainRestart.Condition
    CONDITION_UNLESS_STOPPED: PlainRestart.Condition
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    condition: PlainRestart.Condition
    max_retries: int
    def __init__(self, condition: _Optional[_Union[PlainRestart.Condition, str]] = ..., max_retries: _Optional[int] = ...) -> None: ...

class PlainSpec(_message.Message):
    __slots__ = ("name", "container", "resources", "placement", "ports", "restart", "auto_remove", "open_stdin", "stdin_once", "network", "networks", "publish_all", "exposed", "mac_address")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    AUTO_REMOVE_FIELD_NUMBER: _ClassVar[int]
    OPEN_STDIN_FIELD_NUMBER: _ClassVar[int]
    STDIN_ONCE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_ALL_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    MAC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    container: _specs_pb2.ContainerSpec
    resources: _types_pb2.ResourceRequirements
    placement: _types_pb2.Placement
    ports: _containers.RepeatedCompositeFieldContainer[_types_pb2.PortConfig]
    restart: PlainRestart
    auto_remove: bool
    open_stdin: bool
    stdin_once: bool
    network: str
    networks: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAttachment]
    publish_all: bool
    exposed: _containers.RepeatedCompositeFieldContainer[_types_pb2.PortConfig]
    mac_address: str
    def __init__(self, name: _Optional[str] = ..., container: _Optional[_Union[_specs_pb2.ContainerSpec, _Mapping]] = ..., resources: _Optional[_Union[_types_pb2.ResourceRequirements, _Mapping]] = ..., placement: _Optional[_Union[_types_pb2.Placement, _Mapping]] = ..., ports: _Optional[_Iterable[_Union[_types_pb2.PortConfig, _Mapping]]] = ..., restart: _Optional[_Union[PlainRestart, _Mapping]] = ..., auto_remove: _Optional[bool] = ..., open_stdin: _Optional[bool] = ..., stdin_once: _Optional[bool] = ..., network: _Optional[str] = ..., networks: _Optional[_Iterable[_Union[_types_pb2.NetworkAttachment, _Mapping]]] = ..., publish_all: _Optional[bool] = ..., exposed: _Optional[_Iterable[_Union[_types_pb2.PortConfig, _Mapping]]] = ..., mac_address: _Optional[str] = ...) -> None: ...

class PlainContainer(_message.Message):
    __slots__ = ("id", "spec", "created_at", "image_digest", "healthcheck", "running", "stopped", "removing", "restarts", "error", "published", "address", "addresses")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    HEALTHCHECK_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    REMOVING_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    id: str
    spec: PlainSpec
    created_at: _timestamp_pb2.Timestamp
    image_digest: str
    healthcheck: _types_pb2.HealthConfig
    running: bool
    stopped: bool
    removing: bool
    restarts: int
    error: str
    published: _containers.RepeatedCompositeFieldContainer[_types_pb2.PortConfig]
    address: str
    addresses: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAddresses]
    def __init__(self, id: _Optional[str] = ..., spec: _Optional[_Union[PlainSpec, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., image_digest: _Optional[str] = ..., healthcheck: _Optional[_Union[_types_pb2.HealthConfig, _Mapping]] = ..., running: _Optional[bool] = ..., stopped: _Optional[bool] = ..., removing: _Optional[bool] = ..., restarts: _Optional[int] = ..., error: _Optional[str] = ..., published: _Optional[_Iterable[_Union[_types_pb2.PortConfig, _Mapping]]] = ..., address: _Optional[str] = ..., addresses: _Optional[_Iterable[_Union[_types_pb2.NetworkAddresses, _Mapping]]] = ...) -> None: ...

class CreateContainer(_message.Message):
    __slots__ = ("spec", "pull")
    class Pull(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PULL_MISSING: _ClassVar[CreateContainer.Pull]
        PULL_ALWAYS: _ClassVar[CreateContainer.Pull]
        PULL_NEVER: _ClassVar[CreateContainer.Pull]
    PULL_MISSING: CreateContainer.Pull
    PULL_ALWAYS: CreateContainer.Pull
    PULL_NEVER: CreateContainer.Pull
    SPEC_FIELD_NUMBER: _ClassVar[int]
    PULL_FIELD_NUMBER: _ClassVar[int]
    spec: PlainSpec
    pull: CreateContainer.Pull
    def __init__(self, spec: _Optional[_Union[PlainSpec, _Mapping]] = ..., pull: _Optional[_Union[CreateContainer.Pull, str]] = ...) -> None: ...

class StartContainer(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RestartContainer(_message.Message):
    __slots__ = ("grace_ns", "signal")
    GRACE_NS_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    grace_ns: int
    signal: str
    def __init__(self, grace_ns: _Optional[int] = ..., signal: _Optional[str] = ...) -> None: ...

class AttachContainer(_message.Message):
    __slots__ = ("start", "stdin", "rows", "columns")
    START_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    start: bool
    stdin: bool
    rows: int
    columns: int
    def __init__(self, start: _Optional[bool] = ..., stdin: _Optional[bool] = ..., rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class RenameContainer(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UpdateContainer(_message.Message):
    __slots__ = ("restart", "resources")
    RESTART_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    restart: PlainRestart
    resources: _types_pb2.ResourceRequirements
    def __init__(self, restart: _Optional[_Union[PlainRestart, _Mapping]] = ..., resources: _Optional[_Union[_types_pb2.ResourceRequirements, _Mapping]] = ...) -> None: ...

class ReadLogs(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: _logs_pb2.LogOptions
    def __init__(self, options: _Optional[_Union[_logs_pb2.LogOptions, _Mapping]] = ...) -> None: ...

class ConnectNetwork(_message.Message):
    __slots__ = ("network",)
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    network: _types_pb2.NetworkAttachment
    def __init__(self, network: _Optional[_Union[_types_pb2.NetworkAttachment, _Mapping]] = ...) -> None: ...

class DisconnectNetwork(_message.Message):
    __slots__ = ("network",)
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    network: str
    def __init__(self, network: _Optional[str] = ...) -> None: ...

class FollowEvents(_message.Message):
    __slots__ = ("since_ns", "follow", "after", "cursors")
    class CursorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    since_ns: int
    follow: bool
    after: str
    cursors: _containers.ScalarMap[str, str]
    def __init__(self, since_ns: _Optional[int] = ..., follow: _Optional[bool] = ..., after: _Optional[str] = ..., cursors: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PlainEvent(_message.Message):
    __slots__ = ("at_ns", "action", "container_id", "name", "image", "attributes", "cursor", "gap", "kept_since_ns")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    KEPT_SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    at_ns: int
    action: str
    container_id: str
    name: str
    image: str
    attributes: _containers.ScalarMap[str, str]
    cursor: str
    gap: bool
    kept_since_ns: int
    def __init__(self, at_ns: _Optional[int] = ..., action: _Optional[str] = ..., container_id: _Optional[str] = ..., name: _Optional[str] = ..., image: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., cursor: _Optional[str] = ..., gap: _Optional[bool] = ..., kept_since_ns: _Optional[int] = ...) -> None: ...
