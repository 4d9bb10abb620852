from swarm.api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IssueCertificateRequest(_message.Message):
    __slots__ = ("csr_pem", "availability", "previous_cert_pem")
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    csr_pem: bytes
    availability: _types_pb2.NodeAvailability
    previous_cert_pem: bytes
    def __init__(self, csr_pem: _Optional[bytes] = ..., availability: _Optional[_Union[_types_pb2.NodeAvailability, str]] = ..., previous_cert_pem: _Optional[bytes] = ...) -> None: ...

class IssueCertificateResponse(_message.Message):
    __slots__ = ("node_id", "cluster_id", "cert_pem", "root_ca_pem", "role", "managers", "trust_version")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    ROOT_CA_PEM_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    TRUST_VERSION_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    cluster_id: str
    cert_pem: bytes
    root_ca_pem: bytes
    role: _types_pb2.NodeRole
    managers: _containers.RepeatedCompositeFieldContainer[_types_pb2.Peer]
    trust_version: int
    def __init__(self, node_id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., cert_pem: _Optional[bytes] = ..., root_ca_pem: _Optional[bytes] = ..., role: _Optional[_Union[_types_pb2.NodeRole, str]] = ..., managers: _Optional[_Iterable[_Union[_types_pb2.Peer, _Mapping]]] = ..., trust_version: _Optional[int] = ...) -> None: ...
