import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MeasureDisk(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: bool
    def __init__(self, items: _Optional[bool] = ...) -> None: ...

class CollectImages(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DiskItem(_message.Message):
    __slots__ = ("name", "id", "size_bytes", "active", "users", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: str
    size_bytes: int
    active: bool
    users: _containers.RepeatedScalarFieldContainer[str]
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., id: _Optional[str] = ..., size_bytes: _Optional[int] = ..., active: _Optional[bool] = ..., users: _Optional[_Iterable[str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DiskKind(_message.Message):
    __slots__ = ("count", "active", "size_bytes", "reclaimable_bytes", "items")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECLAIMABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    count: int
    active: int
    size_bytes: int
    reclaimable_bytes: int
    items: _containers.RepeatedCompositeFieldContainer[DiskItem]
    def __init__(self, count: _Optional[int] = ..., active: _Optional[int] = ..., size_bytes: _Optional[int] = ..., reclaimable_bytes: _Optional[int] = ..., items: _Optional[_Iterable[_Union[DiskItem, _Mapping]]] = ...) -> None: ...

class FileSystem(_message.Message):
    __slots__ = ("path", "total_bytes", "free_bytes", "total_inodes", "free_inodes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_INODES_FIELD_NUMBER: _ClassVar[int]
    FREE_INODES_FIELD_NUMBER: _ClassVar[int]
    path: str
    total_bytes: int
    free_bytes: int
    total_inodes: int
    free_inodes: int
    def __init__(self, path: _Optional[str] = ..., total_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., total_inodes: _Optional[int] = ..., free_inodes: _Optional[int] = ...) -> None: ...

class DiskUsage(_message.Message):
    __slots__ = ("images", "containers", "volumes", "file_system")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    FILE_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    images: DiskKind
    containers: DiskKind
    volumes: DiskKind
    file_system: FileSystem
    def __init__(self, images: _Optional[_Union[DiskKind, _Mapping]] = ..., containers: _Optional[_Union[DiskKind, _Mapping]] = ..., volumes: _Optional[_Union[DiskKind, _Mapping]] = ..., file_system: _Optional[_Union[FileSystem, _Mapping]] = ...) -> None: ...
