import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UserRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_ROLE_VIEWER: _ClassVar[UserRole]
    USER_ROLE_OPERATOR: _ClassVar[UserRole]
    USER_ROLE_ADMIN: _ClassVar[UserRole]
USER_ROLE_VIEWER: UserRole
USER_ROLE_OPERATOR: UserRole
USER_ROLE_ADMIN: UserRole

class UserSpec(_message.Message):
    __slots__ = ("annotations", "role", "scope", "image_names")
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_NAMES_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    role: UserRole
    scope: _containers.RepeatedScalarFieldContainer[str]
    image_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., role: _Optional[_Union[UserRole, str]] = ..., scope: _Optional[_Iterable[str]] = ..., image_names: _Optional[_Iterable[str]] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("id", "meta", "spec", "created_by", "generation", "certificate_expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: UserSpec
    created_by: str
    generation: int
    certificate_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[UserSpec, _Mapping]] = ..., created_by: _Optional[str] = ..., generation: _Optional[int] = ..., certificate_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class IssuedUser(_message.Message):
    __slots__ = ("user", "cert_pem", "root_ca_pem", "manager_addrs", "cluster_name")
    USER_FIELD_NUMBER: _ClassVar[int]
    CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    ROOT_CA_PEM_FIELD_NUMBER: _ClassVar[int]
    MANAGER_ADDRS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    user: User
    cert_pem: bytes
    root_ca_pem: bytes
    manager_addrs: _containers.RepeatedScalarFieldContainer[str]
    cluster_name: str
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., cert_pem: _Optional[bytes] = ..., root_ca_pem: _Optional[bytes] = ..., manager_addrs: _Optional[_Iterable[str]] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class CreateUserRequest(_message.Message):
    __slots__ = ("spec", "csr_pem", "lifetime_ns")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_NS_FIELD_NUMBER: _ClassVar[int]
    spec: UserSpec
    csr_pem: bytes
    lifetime_ns: int
    def __init__(self, spec: _Optional[_Union[UserSpec, _Mapping]] = ..., csr_pem: _Optional[bytes] = ..., lifetime_ns: _Optional[int] = ...) -> None: ...

class GetUserRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetUserResponse(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: User
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ...) -> None: ...

class ListUsersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListUsersResponse(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[User]
    def __init__(self, users: _Optional[_Iterable[_Union[User, _Mapping]]] = ...) -> None: ...

class UpdateUserRequest(_message.Message):
    __slots__ = ("id", "version", "spec")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    spec: UserSpec
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[UserSpec, _Mapping]] = ...) -> None: ...

class UpdateUserResponse(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: User
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ...) -> None: ...

class RemoveUserRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class RemoveUserResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RenewUserRequest(_message.Message):
    __slots__ = ("ref", "csr_pem", "lifetime_ns", "revoke")
    REF_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_NS_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    csr_pem: bytes
    lifetime_ns: int
    revoke: bool
    def __init__(self, ref: _Optional[str] = ..., csr_pem: _Optional[bytes] = ..., lifetime_ns: _Optional[int] = ..., revoke: _Optional[bool] = ...) -> None: ...

class AuditRecord(_message.Message):
    __slots__ = ("id", "at", "user", "role", "node_id", "peer", "rpc", "object", "outcome", "reason", "manager_id", "times")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    RPC_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MANAGER_ID_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    id: str
    at: _timestamp_pb2.Timestamp
    user: str
    role: str
    node_id: str
    peer: str
    rpc: str
    object: str
    outcome: str
    reason: str
    manager_id: str
    times: int
    def __init__(self, id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., user: _Optional[str] = ..., role: _Optional[str] = ..., node_id: _Optional[str] = ..., peer: _Optional[str] = ..., rpc: _Optional[str] = ..., object: _Optional[str] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., manager_id: _Optional[str] = ..., times: _Optional[int] = ...) -> None: ...

class ReadAuditRequest(_message.Message):
    __slots__ = ("denied", "users", "since", "tail", "follow")
    DENIED_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    denied: bool
    users: _containers.RepeatedScalarFieldContainer[str]
    since: _timestamp_pb2.Timestamp
    tail: int
    follow: bool
    def __init__(self, denied: _Optional[bool] = ..., users: _Optional[_Iterable[str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tail: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class ReadAuditResponse(_message.Message):
    __slots__ = ("record", "notice")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    record: AuditRecord
    notice: str
    def __init__(self, record: _Optional[_Union[AuditRecord, _Mapping]] = ..., notice: _Optional[str] = ...) -> None: ...
