import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import objects_pb2 as _objects_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OverlayNetwork(_message.Message):
    __slots__ = ("id", "name", "vxlan_id", "subnets", "router_addresses", "internal", "ingress", "encrypted", "mtu", "data_path_port", "node_address", "tunnel_port", "http_proxy", "driver")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VXLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_FIELD_NUMBER: _ClassVar[int]
    INGRESS_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_PORT_FIELD_NUMBER: _ClassVar[int]
    NODE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_PORT_FIELD_NUMBER: _ClassVar[int]
    HTTP_PROXY_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    vxlan_id: int
    subnets: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Subnet]
    router_addresses: _containers.RepeatedScalarFieldContainer[str]
    internal: bool
    ingress: bool
    encrypted: bool
    mtu: int
    data_path_port: int
    node_address: str
    tunnel_port: int
    http_proxy: HttpProxy
    driver: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., vxlan_id: _Optional[int] = ..., subnets: _Optional[_Iterable[_Union[_objects_pb2.Subnet, _Mapping]]] = ..., router_addresses: _Optional[_Iterable[str]] = ..., internal: _Optional[bool] = ..., ingress: _Optional[bool] = ..., encrypted: _Optional[bool] = ..., mtu: _Optional[int] = ..., data_path_port: _Optional[int] = ..., node_address: _Optional[str] = ..., tunnel_port: _Optional[int] = ..., http_proxy: _Optional[_Union[HttpProxy, _Mapping]] = ..., driver: _Optional[str] = ...) -> None: ...

class HttpProxy(_message.Message):
    __slots__ = ("http_port", "https_port", "tls_secret_id", "acme_proofs")
    class AcmeProofsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    HTTPS_PORT_FIELD_NUMBER: _ClassVar[int]
    TLS_SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    ACME_PROOFS_FIELD_NUMBER: _ClassVar[int]
    http_port: int
    https_port: int
    tls_secret_id: str
    acme_proofs: _containers.ScalarMap[str, str]
    def __init__(self, http_port: _Optional[int] = ..., https_port: _Optional[int] = ..., tls_secret_id: _Optional[str] = ..., acme_proofs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class OverlayPeer(_message.Message):
    __slots__ = ("node_id", "address", "router_addresses", "tunnel_key", "preshared_key")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_KEY_FIELD_NUMBER: _ClassVar[int]
    PRESHARED_KEY_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    address: str
    router_addresses: _containers.RepeatedScalarFieldContainer[str]
    tunnel_key: bytes
    preshared_key: bytes
    def __init__(self, node_id: _Optional[str] = ..., address: _Optional[str] = ..., router_addresses: _Optional[_Iterable[str]] = ..., tunnel_key: _Optional[bytes] = ..., preshared_key: _Optional[bytes] = ...) -> None: ...

class OverlayEndpoint(_message.Message):
    __slots__ = ("task_id", "node_id", "addresses", "service_id", "name", "hostname", "aliases", "serving", "draining_since", "slot")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_SINCE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    node_id: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    service_id: str
    name: str
    hostname: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    serving: bool
    draining_since: _timestamp_pb2.Timestamp
    slot: int
    def __init__(self, task_id: _Optional[str] = ..., node_id: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., service_id: _Optional[str] = ..., name: _Optional[str] = ..., hostname: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., serving: _Optional[bool] = ..., draining_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., slot: _Optional[int] = ...) -> None: ...

class OverlayService(_message.Message):
    __slots__ = ("service_id", "name", "aliases", "virtual_addresses", "affinity", "ports", "routes", "snat")
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    SNAT_FIELD_NUMBER: _ClassVar[int]
    service_id: str
    name: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    virtual_addresses: _containers.RepeatedScalarFieldContainer[str]
    affinity: _types_pb2.EndpointSpec.Affinity
    ports: _containers.RepeatedCompositeFieldContainer[_types_pb2.PortConfig]
    routes: _containers.RepeatedCompositeFieldContainer[_types_pb2.HttpRoute]
    snat: bool
    def __init__(self, service_id: _Optional[str] = ..., name: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., virtual_addresses: _Optional[_Iterable[str]] = ..., affinity: _Optional[_Union[_types_pb2.EndpointSpec.Affinity, str]] = ..., ports: _Optional[_Iterable[_Union[_types_pb2.PortConfig, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[_types_pb2.HttpRoute, _Mapping]]] = ..., snat: _Optional[bool] = ...) -> None: ...

class OverlayChanges(_message.Message):
    __slots__ = ("network_id", "network", "removed", "peers", "removed_node_ids", "endpoints", "removed_task_ids", "services", "removed_service_ids")
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_SERVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    network_id: str
    network: OverlayNetwork
    removed: bool
    peers: _containers.RepeatedCompositeFieldContainer[OverlayPeer]
    removed_node_ids: _containers.RepeatedScalarFieldContainer[str]
    endpoints: _containers.RepeatedCompositeFieldContainer[OverlayEndpoint]
    removed_task_ids: _containers.RepeatedScalarFieldContainer[str]
    services: _containers.RepeatedCompositeFieldContainer[OverlayService]
    removed_service_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, network_id: _Optional[str] = ..., network: _Optional[_Union[OverlayNetwork, _Mapping]] = ..., removed: _Optional[bool] = ..., peers: _Optional[_Iterable[_Union[OverlayPeer, _Mapping]]] = ..., removed_node_ids: _Optional[_Iterable[str]] = ..., endpoints: _Optional[_Iterable[_Union[OverlayEndpoint, _Mapping]]] = ..., removed_task_ids: _Optional[_Iterable[str]] = ..., services: _Optional[_Iterable[_Union[OverlayService, _Mapping]]] = ..., removed_service_ids: _Optional[_Iterable[str]] = ...) -> None: ...
