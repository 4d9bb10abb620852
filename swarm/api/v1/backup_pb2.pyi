import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import raft_pb2 as _raft_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BackupCount(_message.Message):
    __slots__ = ("kind", "count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    count: int
    def __init__(self, kind: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class BackupHeader(_message.Message):
    __slots__ = ("cluster_id", "index", "created_at", "version", "store_version", "counts", "with_images")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STORE_VERSION_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    WITH_IMAGES_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    index: int
    created_at: _timestamp_pb2.Timestamp
    version: str
    store_version: int
    counts: _containers.RepeatedCompositeFieldContainer[BackupCount]
    with_images: bool
    def __init__(self, cluster_id: _Optional[str] = ..., index: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ..., store_version: _Optional[int] = ..., counts: _Optional[_Iterable[_Union[BackupCount, _Mapping]]] = ..., with_images: _Optional[bool] = ...) -> None: ...

class BackupRecords(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, records: _Optional[_Iterable[bytes]] = ...) -> None: ...

class BackupEnd(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: int
    def __init__(self, records: _Optional[int] = ...) -> None: ...

class BackupArchive(_message.Message):
    __slots__ = ("names", "reference")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    reference: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., reference: _Optional[str] = ...) -> None: ...

class BackupPart(_message.Message):
    __slots__ = ("header", "membership", "records", "end", "archive", "archive_chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: BackupHeader
    membership: _raft_pb2.RaftMembership
    records: BackupRecords
    end: BackupEnd
    archive: BackupArchive
    archive_chunk: bytes
    def __init__(self, header: _Optional[_Union[BackupHeader, _Mapping]] = ..., membership: _Optional[_Union[_raft_pb2.RaftMembership, _Mapping]] = ..., records: _Optional[_Union[BackupRecords, _Mapping]] = ..., end: _Optional[_Union[BackupEnd, _Mapping]] = ..., archive: _Optional[_Union[BackupArchive, _Mapping]] = ..., archive_chunk: _Optional[bytes] = ...) -> None: ...

class CreateBackupRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBackupPointRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBackupPointResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class RestoreOptions(_message.Message):
    __slots__ = ("advertise_addr", "listen_addr", "force", "ca_key_pem")
    ADVERTISE_ADDR_FIELD_NUMBER: _ClassVar[int]
    LISTEN_ADDR_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    CA_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    advertise_addr: str
    listen_addr: str
    force: bool
    ca_key_pem: bytes
    def __init__(self, advertise_addr: _Optional[str] = ..., listen_addr: _Optional[str] = ..., force: _Optional[bool] = ..., ca_key_pem: _Optional[bytes] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("options", "part")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    options: RestoreOptions
    part: BackupPart
    def __init__(self, options: _Optional[_Union[RestoreOptions, _Mapping]] = ..., part: _Optional[_Union[BackupPart, _Mapping]] = ...) -> None: ...

class RejoinRequest(_message.Message):
    __slots__ = ("manager_addrs",)
    MANAGER_ADDRS_FIELD_NUMBER: _ClassVar[int]
    manager_addrs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, manager_addrs: _Optional[_Iterable[str]] = ...) -> None: ...

class RejoinResponse(_message.Message):
    __slots__ = ("node_id", "cluster_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    cluster_id: str
    def __init__(self, node_id: _Optional[str] = ..., cluster_id: _Optional[str] = ...) -> None: ...
