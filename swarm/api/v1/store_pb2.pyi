import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import objects_pb2 as _objects_pb2
from swarm.api.v1 import users_pb2 as _users_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreObject(_message.Message):
    __slots__ = ("node", "service", "task", "cluster", "image", "secret", "config", "volume", "network", "stack", "attachment", "user")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    node: _objects_pb2.Node
    service: _objects_pb2.Service
    task: _objects_pb2.Task
    cluster: _objects_pb2.Cluster
    image: _objects_pb2.Image
    secret: _objects_pb2.Secret
    config: _objects_pb2.Config
    volume: _objects_pb2.Volume
    network: _objects_pb2.Network
    stack: _objects_pb2.Stack
    attachment: _objects_pb2.Attachment
    user: _users_pb2.User
    def __init__(self, node: _Optional[_Union[_objects_pb2.Node, _Mapping]] = ..., service: _Optional[_Union[_objects_pb2.Service, _Mapping]] = ..., task: _Optional[_Union[_objects_pb2.Task, _Mapping]] = ..., cluster: _Optional[_Union[_objects_pb2.Cluster, _Mapping]] = ..., image: _Optional[_Union[_objects_pb2.Image, _Mapping]] = ..., secret: _Optional[_Union[_objects_pb2.Secret, _Mapping]] = ..., config: _Optional[_Union[_objects_pb2.Config, _Mapping]] = ..., volume: _Optional[_Union[_objects_pb2.Volume, _Mapping]] = ..., network: _Optional[_Union[_objects_pb2.Network, _Mapping]] = ..., stack: _Optional[_Union[_objects_pb2.Stack, _Mapping]] = ..., attachment: _Optional[_Union[_objects_pb2.Attachment, _Mapping]] = ..., user: _Optional[_Union[_users_pb2.User, _Mapping]] = ...) -> None: ...

class StoreAction(_message.Message):
    __slots__ = ("kind", "object", "base_version")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_CREATE: _ClassVar[StoreAction.Kind]
        KIND_UPDATE: _ClassVar[StoreAction.Kind]
        KIND_REMOVE: _ClassVar[StoreAction.Kind]
    KIND_CREATE: StoreAction.Kind
    KIND_UPDATE: StoreAction.Kind
    KIND_REMOVE: StoreAction.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: StoreAction.Kind
    object: StoreObject
    base_version: int
    def __init__(self, kind: _Optional[_Union[StoreAction.Kind, str]] = ..., object: _Optional[_Union[StoreObject, _Mapping]] = ..., base_version: _Optional[int] = ...) -> None: ...

class StoreTransaction(_message.Message):
    __slots__ = ("actions",)
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[StoreAction]
    def __init__(self, actions: _Optional[_Iterable[_Union[StoreAction, _Mapping]]] = ...) -> None: ...

class StoreEntry(_message.Message):
    __slots__ = ("proposer", "sequence", "transactions", "base_index", "at", "level")
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    BASE_INDEX_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    proposer: str
    sequence: int
    transactions: _containers.RepeatedCompositeFieldContainer[StoreTransaction]
    base_index: int
    at: _timestamp_pb2.Timestamp
    level: int
    def __init__(self, proposer: _Optional[str] = ..., sequence: _Optional[int] = ..., transactions: _Optional[_Iterable[_Union[StoreTransaction, _Mapping]]] = ..., base_index: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., level: _Optional[int] = ...) -> None: ...

class ProposerRecord(_message.Message):
    __slots__ = ("proposer", "sequence", "index")
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    proposer: str
    sequence: int
    index: int
    def __init__(self, proposer: _Optional[str] = ..., sequence: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class SnapshotRecord(_message.Message):
    __slots__ = ("object", "proposer", "format")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    object: StoreObject
    proposer: ProposerRecord
    format: SnapshotFormat
    def __init__(self, object: _Optional[_Union[StoreObject, _Mapping]] = ..., proposer: _Optional[_Union[ProposerRecord, _Mapping]] = ..., format: _Optional[_Union[SnapshotFormat, _Mapping]] = ...) -> None: ...

class SnapshotFormat(_message.Message):
    __slots__ = ("level", "version")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    level: int
    version: str
    def __init__(self, level: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...
