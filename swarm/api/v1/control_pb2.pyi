import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import backup_pb2 as _backup_pb2
from swarm.api.v1 import logs_pb2 as _logs_pb2
from swarm.api.v1 import objects_pb2 as _objects_pb2
from swarm.api.v1 import specs_pb2 as _specs_pb2
from swarm.api.v1 import store_pb2 as _store_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from swarm.api.v1 import users_pb2 as _users_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Filters(_message.Message):
    __slots__ = ("ids", "id_prefixes", "names", "name_prefixes", "labels", "service_ids", "node_ids", "desired_states", "roles", "modes", "node_labels")
    IDS_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_STATES_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    NODE_LABELS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    id_prefixes: _containers.RepeatedScalarFieldContainer[str]
    names: _containers.RepeatedScalarFieldContainer[str]
    name_prefixes: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.RepeatedScalarFieldContainer[str]
    service_ids: _containers.RepeatedScalarFieldContainer[str]
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    desired_states: _containers.RepeatedScalarFieldContainer[_types_pb2.TaskState]
    roles: _containers.RepeatedScalarFieldContainer[_types_pb2.NodeRole]
    modes: _containers.RepeatedScalarFieldContainer[str]
    node_labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., id_prefixes: _Optional[_Iterable[str]] = ..., names: _Optional[_Iterable[str]] = ..., name_prefixes: _Optional[_Iterable[str]] = ..., labels: _Optional[_Iterable[str]] = ..., service_ids: _Optional[_Iterable[str]] = ..., node_ids: _Optional[_Iterable[str]] = ..., desired_states: _Optional[_Iterable[_Union[_types_pb2.TaskState, str]]] = ..., roles: _Optional[_Iterable[_Union[_types_pb2.NodeRole, str]]] = ..., modes: _Optional[_Iterable[str]] = ..., node_labels: _Optional[_Iterable[str]] = ...) -> None: ...

class GetClusterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetClusterResponse(_message.Message):
    __slots__ = ("cluster",)
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    cluster: _objects_pb2.Cluster
    def __init__(self, cluster: _Optional[_Union[_objects_pb2.Cluster, _Mapping]] = ...) -> None: ...

class UpdateClusterRequest(_message.Message):
    __slots__ = ("version", "spec", "raise_level")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    RAISE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    version: int
    spec: _specs_pb2.ClusterSpec
    raise_level: bool
    def __init__(self, version: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.ClusterSpec, _Mapping]] = ..., raise_level: _Optional[bool] = ...) -> None: ...

class UpdateClusterResponse(_message.Message):
    __slots__ = ("cluster", "unlock_key", "away", "level_kept")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_KEPT_FIELD_NUMBER: _ClassVar[int]
    cluster: _objects_pb2.Cluster
    unlock_key: str
    away: _containers.RepeatedScalarFieldContainer[str]
    level_kept: str
    def __init__(self, cluster: _Optional[_Union[_objects_pb2.Cluster, _Mapping]] = ..., unlock_key: _Optional[str] = ..., away: _Optional[_Iterable[str]] = ..., level_kept: _Optional[str] = ...) -> None: ...

class GetUnlockKeyRequest(_message.Message):
    __slots__ = ("rotate",)
    ROTATE_FIELD_NUMBER: _ClassVar[int]
    rotate: bool
    def __init__(self, rotate: _Optional[bool] = ...) -> None: ...

class GetUnlockKeyResponse(_message.Message):
    __slots__ = ("unlock_key", "away")
    UNLOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    unlock_key: str
    away: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unlock_key: _Optional[str] = ..., away: _Optional[_Iterable[str]] = ...) -> None: ...

class GetJoinTokensRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetJoinTokensResponse(_message.Message):
    __slots__ = ("worker", "manager", "manager_addrs")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    MANAGER_ADDRS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    manager: str
    manager_addrs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, worker: _Optional[str] = ..., manager: _Optional[str] = ..., manager_addrs: _Optional[_Iterable[str]] = ...) -> None: ...

class RotateJoinTokenRequest(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: _types_pb2.NodeRole
    def __init__(self, role: _Optional[_Union[_types_pb2.NodeRole, str]] = ...) -> None: ...

class RotateJoinTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class RootStatus(_message.Message):
    __slots__ = ("root_pem", "desired_digest", "rotating", "nodes", "nodes_issued", "nodes_trusting", "waiting")
    class Waiting(_message.Message):
        __slots__ = ("node_id", "hostname", "reason")
        NODE_ID_FIELD_NUMBER: _ClassVar[int]
        HOSTNAME_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        node_id: str
        hostname: str
        reason: str
        def __init__(self, node_id: _Optional[str] = ..., hostname: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
    ROOT_PEM_FIELD_NUMBER: _ClassVar[int]
    DESIRED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROTATING_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    NODES_ISSUED_FIELD_NUMBER: _ClassVar[int]
    NODES_TRUSTING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    root_pem: bytes
    desired_digest: bytes
    rotating: bool
    nodes: int
    nodes_issued: int
    nodes_trusting: int
    waiting: _containers.RepeatedCompositeFieldContainer[RootStatus.Waiting]
    def __init__(self, root_pem: _Optional[bytes] = ..., desired_digest: _Optional[bytes] = ..., rotating: _Optional[bool] = ..., nodes: _Optional[int] = ..., nodes_issued: _Optional[int] = ..., nodes_trusting: _Optional[int] = ..., waiting: _Optional[_Iterable[_Union[RootStatus.Waiting, _Mapping]]] = ...) -> None: ...

class GetCARequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCAResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: RootStatus
    def __init__(self, status: _Optional[_Union[RootStatus, _Mapping]] = ...) -> None: ...

class RotateCARequest(_message.Message):
    __slots__ = ("ca_cert_pem", "ca_key_pem", "node_cert_expiry_ns", "external_cas")
    CA_CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    NODE_CERT_EXPIRY_NS_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_CAS_FIELD_NUMBER: _ClassVar[int]
    ca_cert_pem: bytes
    ca_key_pem: bytes
    node_cert_expiry_ns: int
    external_cas: _containers.RepeatedCompositeFieldContainer[_specs_pb2.ExternalCA]
    def __init__(self, ca_cert_pem: _Optional[bytes] = ..., ca_key_pem: _Optional[bytes] = ..., node_cert_expiry_ns: _Optional[int] = ..., external_cas: _Optional[_Iterable[_Union[_specs_pb2.ExternalCA, _Mapping]]] = ...) -> None: ...

class RotateCAResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: RootStatus
    def __init__(self, status: _Optional[_Union[RootStatus, _Mapping]] = ...) -> None: ...

class GetNodeRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: _objects_pb2.Node
    def __init__(self, node: _Optional[_Union[_objects_pb2.Node, _Mapping]] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes", "self_id")
    NODES_FIELD_NUMBER: _ClassVar[int]
    SELF_ID_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Node]
    self_id: str
    def __init__(self, nodes: _Optional[_Iterable[_Union[_objects_pb2.Node, _Mapping]]] = ..., self_id: _Optional[str] = ...) -> None: ...

class UpdateNodeRequest(_message.Message):
    __slots__ = ("id", "version", "spec", "addr")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    spec: _specs_pb2.NodeSpec
    addr: str
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.NodeSpec, _Mapping]] = ..., addr: _Optional[str] = ...) -> None: ...

class UpdateNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: _objects_pb2.Node
    def __init__(self, node: _Optional[_Union[_objects_pb2.Node, _Mapping]] = ...) -> None: ...

class RemoveNodeRequest(_message.Message):
    __slots__ = ("ref", "force")
    REF_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    force: bool
    def __init__(self, ref: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RemoveNodeResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CreateServiceRequest(_message.Message):
    __slots__ = ("spec", "skip_image_resolution")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SKIP_IMAGE_RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    spec: _specs_pb2.ServiceSpec
    skip_image_resolution: bool
    def __init__(self, spec: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ..., skip_image_resolution: _Optional[bool] = ...) -> None: ...

class CreateServiceResponse(_message.Message):
    __slots__ = ("service", "warnings")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    service: _objects_pb2.Service
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[_Union[_objects_pb2.Service, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class GetServiceRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetServiceResponse(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: _objects_pb2.Service
    def __init__(self, service: _Optional[_Union[_objects_pb2.Service, _Mapping]] = ...) -> None: ...

class ServiceStatus(_message.Message):
    __slots__ = ("service_id", "running_tasks", "desired_tasks", "completed_tasks")
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_TASKS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TASKS_FIELD_NUMBER: _ClassVar[int]
    service_id: str
    running_tasks: int
    desired_tasks: int
    completed_tasks: int
    def __init__(self, service_id: _Optional[str] = ..., running_tasks: _Optional[int] = ..., desired_tasks: _Optional[int] = ..., completed_tasks: _Optional[int] = ...) -> None: ...

class ListServicesRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...

class ListServicesResponse(_message.Message):
    __slots__ = ("services", "statuses")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Service]
    statuses: _containers.RepeatedCompositeFieldContainer[ServiceStatus]
    def __init__(self, services: _Optional[_Iterable[_Union[_objects_pb2.Service, _Mapping]]] = ..., statuses: _Optional[_Iterable[_Union[ServiceStatus, _Mapping]]] = ...) -> None: ...

class UpdateServiceRequest(_message.Message):
    __slots__ = ("id", "version", "spec", "rollback", "skip_image_resolution")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    SKIP_IMAGE_RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    spec: _specs_pb2.ServiceSpec
    rollback: bool
    skip_image_resolution: bool
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ..., rollback: _Optional[bool] = ..., skip_image_resolution: _Optional[bool] = ...) -> None: ...

class UpdateServiceResponse(_message.Message):
    __slots__ = ("service", "warnings")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    service: _objects_pb2.Service
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[_Union[_objects_pb2.Service, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class SteerUpdateRequest(_message.Message):
    __slots__ = ("ref", "action", "version", "revision")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[SteerUpdateRequest.Action]
        ACTION_PAUSE: _ClassVar[SteerUpdateRequest.Action]
        ACTION_RESUME: _ClassVar[SteerUpdateRequest.Action]
        ACTION_PROMOTE: _ClassVar[SteerUpdateRequest.Action]
        ACTION_ROLLBACK: _ClassVar[SteerUpdateRequest.Action]
    ACTION_UNSPECIFIED: SteerUpdateRequest.Action
    ACTION_PAUSE: SteerUpdateRequest.Action
    ACTION_RESUME: SteerUpdateRequest.Action
    ACTION_PROMOTE: SteerUpdateRequest.Action
    ACTION_ROLLBACK: SteerUpdateRequest.Action
    REF_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ref: str
    action: SteerUpdateRequest.Action
    version: int
    revision: int
    def __init__(self, ref: _Optional[str] = ..., action: _Optional[_Union[SteerUpdateRequest.Action, str]] = ..., version: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class SteerUpdateResponse(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: _objects_pb2.Service
    def __init__(self, service: _Optional[_Union[_objects_pb2.Service, _Mapping]] = ...) -> None: ...

class ListRevisionsRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class ListRevisionsResponse(_message.Message):
    __slots__ = ("service_id", "revisions")
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    service_id: str
    revisions: _containers.RepeatedCompositeFieldContainer[_objects_pb2.ServiceRevision]
    def __init__(self, service_id: _Optional[str] = ..., revisions: _Optional[_Iterable[_Union[_objects_pb2.ServiceRevision, _Mapping]]] = ...) -> None: ...

class RemoveServiceRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class RemoveServiceResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RebalanceServiceRequest(_message.Message):
    __slots__ = ("ref", "max_moves")
    REF_FIELD_NUMBER: _ClassVar[int]
    MAX_MOVES_FIELD_NUMBER: _ClassVar[int]
    ref: str
    max_moves: int
    def __init__(self, ref: _Optional[str] = ..., max_moves: _Optional[int] = ...) -> None: ...

class RebalanceServiceResponse(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: _objects_pb2.Service
    def __init__(self, service: _Optional[_Union[_objects_pb2.Service, _Mapping]] = ...) -> None: ...

class PlannedChange(_message.Message):
    __slots__ = ("create_service", "update_service", "remove_service", "update_node", "rebalance_service", "steer_update", "keep_secret", "keep_config", "collect_data", "keep_network", "record_deploy", "rotate_secret", "rotate_config")
    CREATE_SERVICE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_SERVICE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_SERVICE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_NODE_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_SERVICE_FIELD_NUMBER: _ClassVar[int]
    STEER_UPDATE_FIELD_NUMBER: _ClassVar[int]
    KEEP_SECRET_FIELD_NUMBER: _ClassVar[int]
    KEEP_CONFIG_FIELD_NUMBER: _ClassVar[int]
    COLLECT_DATA_FIELD_NUMBER: _ClassVar[int]
    KEEP_NETWORK_FIELD_NUMBER: _ClassVar[int]
    RECORD_DEPLOY_FIELD_NUMBER: _ClassVar[int]
    ROTATE_SECRET_FIELD_NUMBER: _ClassVar[int]
    ROTATE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    create_service: CreateServiceRequest
    update_service: UpdateServiceRequest
    remove_service: RemoveServiceRequest
    update_node: UpdateNodeRequest
    rebalance_service: RebalanceServiceRequest
    steer_update: SteerUpdateRequest
    keep_secret: _specs_pb2.SecretSpec
    keep_config: _specs_pb2.ConfigSpec
    collect_data: CollectStackDataRequest
    keep_network: _specs_pb2.NetworkSpec
    record_deploy: RecordDeployRequest
    rotate_secret: RotateSecretRequest
    rotate_config: RotateConfigRequest
    def __init__(self, create_service: _Optional[_Union[CreateServiceRequest, _Mapping]] = ..., update_service: _Optional[_Union[UpdateServiceRequest, _Mapping]] = ..., remove_service: _Optional[_Union[RemoveServiceRequest, _Mapping]] = ..., update_node: _Optional[_Union[UpdateNodeRequest, _Mapping]] = ..., rebalance_service: _Optional[_Union[RebalanceServiceRequest, _Mapping]] = ..., steer_update: _Optional[_Union[SteerUpdateRequest, _Mapping]] = ..., keep_secret: _Optional[_Union[_specs_pb2.SecretSpec, _Mapping]] = ..., keep_config: _Optional[_Union[_specs_pb2.ConfigSpec, _Mapping]] = ..., collect_data: _Optional[_Union[CollectStackDataRequest, _Mapping]] = ..., keep_network: _Optional[_Union[_specs_pb2.NetworkSpec, _Mapping]] = ..., record_deploy: _Optional[_Union[RecordDeployRequest, _Mapping]] = ..., rotate_secret: _Optional[_Union[RotateSecretRequest, _Mapping]] = ..., rotate_config: _Optional[_Union[RotateConfigRequest, _Mapping]] = ...) -> None: ...

class RotateSecretRequest(_message.Message):
    __slots__ = ("ref", "secret_data", "driver", "of_number")
    REF_FIELD_NUMBER: _ClassVar[int]
    SECRET_DATA_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    OF_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ref: str
    secret_data: bytes
    driver: _specs_pb2.SecretDriver
    of_number: int
    def __init__(self, ref: _Optional[str] = ..., secret_data: _Optional[bytes] = ..., driver: _Optional[_Union[_specs_pb2.SecretDriver, _Mapping]] = ..., of_number: _Optional[int] = ...) -> None: ...

class RotateConfigRequest(_message.Message):
    __slots__ = ("ref", "data")
    REF_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ref: str
    data: bytes
    def __init__(self, ref: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class CollectStackDataRequest(_message.Message):
    __slots__ = ("stack", "networks")
    STACK_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    stack: str
    networks: bool
    def __init__(self, stack: _Optional[str] = ..., networks: _Optional[bool] = ...) -> None: ...

class RecordDeployRequest(_message.Message):
    __slots__ = ("stack", "back_to")
    STACK_FIELD_NUMBER: _ClassVar[int]
    BACK_TO_FIELD_NUMBER: _ClassVar[int]
    stack: str
    back_to: int
    def __init__(self, stack: _Optional[str] = ..., back_to: _Optional[int] = ...) -> None: ...

class ListStackRevisionsRequest(_message.Message):
    __slots__ = ("stack",)
    STACK_FIELD_NUMBER: _ClassVar[int]
    stack: str
    def __init__(self, stack: _Optional[str] = ...) -> None: ...

class ListStackRevisionsResponse(_message.Message):
    __slots__ = ("revisions",)
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    revisions: _containers.RepeatedCompositeFieldContainer[_objects_pb2.StackRevision]
    def __init__(self, revisions: _Optional[_Iterable[_Union[_objects_pb2.StackRevision, _Mapping]]] = ...) -> None: ...

class PlanChangesRequest(_message.Message):
    __slots__ = ("changes", "services", "with_specs")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    WITH_SPECS_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PlannedChange]
    services: _containers.RepeatedScalarFieldContainer[str]
    with_specs: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[PlannedChange, _Mapping]]] = ..., services: _Optional[_Iterable[str]] = ..., with_specs: _Optional[bool] = ...) -> None: ...

class PlannedStep(_message.Message):
    __slots__ = ("kind", "service_id", "service_name", "slot", "from_node_id", "node_id", "from_hostname", "hostname", "reason", "task_id")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_KEEP: _ClassVar[PlannedStep.Kind]
        KIND_START: _ClassVar[PlannedStep.Kind]
        KIND_STOP: _ClassVar[PlannedStep.Kind]
        KIND_MOVE: _ClassVar[PlannedStep.Kind]
        KIND_REPLACE: _ClassVar[PlannedStep.Kind]
        KIND_WAIT: _ClassVar[PlannedStep.Kind]
    KIND_KEEP: PlannedStep.Kind
    KIND_START: PlannedStep.Kind
    KIND_STOP: PlannedStep.Kind
    KIND_MOVE: PlannedStep.Kind
    KIND_REPLACE: PlannedStep.Kind
    KIND_WAIT: PlannedStep.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    kind: PlannedStep.Kind
    service_id: str
    service_name: str
    slot: int
    from_node_id: str
    node_id: str
    from_hostname: str
    hostname: str
    reason: str
    task_id: str
    def __init__(self, kind: _Optional[_Union[PlannedStep.Kind, str]] = ..., service_id: _Optional[str] = ..., service_name: _Optional[str] = ..., slot: _Optional[int] = ..., from_node_id: _Optional[str] = ..., node_id: _Optional[str] = ..., from_hostname: _Optional[str] = ..., hostname: _Optional[str] = ..., reason: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class PlannedService(_message.Message):
    __slots__ = ("service_id", "service_name", "kept")
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    service_id: str
    service_name: str
    kept: int
    def __init__(self, service_id: _Optional[str] = ..., service_name: _Optional[str] = ..., kept: _Optional[int] = ...) -> None: ...

class PlannedSpec(_message.Message):
    __slots__ = ("service_name", "before", "after")
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    service_name: str
    before: _specs_pb2.ServiceSpec
    after: _specs_pb2.ServiceSpec
    def __init__(self, service_name: _Optional[str] = ..., before: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ..., after: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ...) -> None: ...

class PlanChangesResponse(_message.Message):
    __slots__ = ("steps", "services", "warnings", "notes", "specs", "made", "removed")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    SPECS_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[PlannedStep]
    services: _containers.RepeatedCompositeFieldContainer[PlannedService]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    specs: _containers.RepeatedCompositeFieldContainer[PlannedSpec]
    made: _containers.RepeatedScalarFieldContainer[str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, steps: _Optional[_Iterable[_Union[PlannedStep, _Mapping]]] = ..., services: _Optional[_Iterable[_Union[PlannedService, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., notes: _Optional[_Iterable[str]] = ..., specs: _Optional[_Iterable[_Union[PlannedSpec, _Mapping]]] = ..., made: _Optional[_Iterable[str]] = ..., removed: _Optional[_Iterable[str]] = ...) -> None: ...

class ApplyChangesRequest(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PlannedChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[PlannedChange, _Mapping]]] = ...) -> None: ...

class ApplyChangesResponse(_message.Message):
    __slots__ = ("ids", "warnings", "made", "rotated_service_ids", "removed")
    IDS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    ROTATED_SERVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    made: _containers.RepeatedScalarFieldContainer[str]
    rotated_service_ids: _containers.RepeatedScalarFieldContainer[str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., made: _Optional[_Iterable[str]] = ..., rotated_service_ids: _Optional[_Iterable[str]] = ..., removed: _Optional[_Iterable[str]] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _objects_pb2.Task
    def __init__(self, task: _Optional[_Union[_objects_pb2.Task, _Mapping]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "reasons")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Task]
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tasks: _Optional[_Iterable[_Union[_objects_pb2.Task, _Mapping]]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainTaskRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class NodeVerdict(_message.Message):
    __slots__ = ("node_id", "hostname", "reasons")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    hostname: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_id: _Optional[str] = ..., hostname: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainTaskResponse(_message.Message):
    __slots__ = ("task", "hostname", "reason", "nodes", "advice", "earlier", "earlier_reasons")
    TASK_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    EARLIER_FIELD_NUMBER: _ClassVar[int]
    EARLIER_REASONS_FIELD_NUMBER: _ClassVar[int]
    task: _objects_pb2.Task
    hostname: str
    reason: str
    nodes: _containers.RepeatedCompositeFieldContainer[NodeVerdict]
    advice: _containers.RepeatedScalarFieldContainer[str]
    earlier: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Task]
    earlier_reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task: _Optional[_Union[_objects_pb2.Task, _Mapping]] = ..., hostname: _Optional[str] = ..., reason: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[NodeVerdict, _Mapping]]] = ..., advice: _Optional[_Iterable[str]] = ..., earlier: _Optional[_Iterable[_Union[_objects_pb2.Task, _Mapping]]] = ..., earlier_reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateSecretRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _specs_pb2.SecretSpec
    def __init__(self, spec: _Optional[_Union[_specs_pb2.SecretSpec, _Mapping]] = ...) -> None: ...

class CreateSecretResponse(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: _objects_pb2.Secret
    def __init__(self, secret: _Optional[_Union[_objects_pb2.Secret, _Mapping]] = ...) -> None: ...

class GetSecretRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetSecretResponse(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: _objects_pb2.Secret
    def __init__(self, secret: _Optional[_Union[_objects_pb2.Secret, _Mapping]] = ...) -> None: ...

class ListSecretsRequest(_message.Message):
    __slots__ = ("filters", "old_versions")
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    OLD_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    old_versions: bool
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ..., old_versions: _Optional[bool] = ...) -> None: ...

class ListSecretsResponse(_message.Message):
    __slots__ = ("secrets",)
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Secret]
    def __init__(self, secrets: _Optional[_Iterable[_Union[_objects_pb2.Secret, _Mapping]]] = ...) -> None: ...

class UpdateSecretRequest(_message.Message):
    __slots__ = ("id", "version", "spec")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    spec: _specs_pb2.SecretSpec
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.SecretSpec, _Mapping]] = ...) -> None: ...

class UpdateSecretResponse(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: _objects_pb2.Secret
    def __init__(self, secret: _Optional[_Union[_objects_pb2.Secret, _Mapping]] = ...) -> None: ...

class RemoveSecretRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class RemoveSecretResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CreateConfigRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _specs_pb2.ConfigSpec
    def __init__(self, spec: _Optional[_Union[_specs_pb2.ConfigSpec, _Mapping]] = ...) -> None: ...

class CreateConfigResponse(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _objects_pb2.Config
    def __init__(self, config: _Optional[_Union[_objects_pb2.Config, _Mapping]] = ...) -> None: ...

class GetConfigRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetConfigResponse(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _objects_pb2.Config
    def __init__(self, config: _Optional[_Union[_objects_pb2.Config, _Mapping]] = ...) -> None: ...

class ListConfigsRequest(_message.Message):
    __slots__ = ("filters", "old_versions")
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    OLD_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    old_versions: bool
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ..., old_versions: _Optional[bool] = ...) -> None: ...

class ListConfigsResponse(_message.Message):
    __slots__ = ("configs",)
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    configs: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Config]
    def __init__(self, configs: _Optional[_Iterable[_Union[_objects_pb2.Config, _Mapping]]] = ...) -> None: ...

class UpdateConfigRequest(_message.Message):
    __slots__ = ("id", "version", "spec")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    spec: _specs_pb2.ConfigSpec
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.ConfigSpec, _Mapping]] = ...) -> None: ...

class UpdateConfigResponse(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _objects_pb2.Config
    def __init__(self, config: _Optional[_Union[_objects_pb2.Config, _Mapping]] = ...) -> None: ...

class RemoveConfigRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class RemoveConfigResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CreateNetworkRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _specs_pb2.NetworkSpec
    def __init__(self, spec: _Optional[_Union[_specs_pb2.NetworkSpec, _Mapping]] = ...) -> None: ...

class CreateNetworkResponse(_message.Message):
    __slots__ = ("network",)
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    network: _objects_pb2.Network
    def __init__(self, network: _Optional[_Union[_objects_pb2.Network, _Mapping]] = ...) -> None: ...

class GetNetworkRequest(_message.Message):
    __slots__ = ("ref", "verbose")
    REF_FIELD_NUMBER: _ClassVar[int]
    VERBOSE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    verbose: bool
    def __init__(self, ref: _Optional[str] = ..., verbose: _Optional[bool] = ...) -> None: ...

class GetNetworkResponse(_message.Message):
    __slots__ = ("network", "endpoints")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    network: _objects_pb2.Network
    endpoints: _containers.RepeatedCompositeFieldContainer[NetworkEndpoint]
    def __init__(self, network: _Optional[_Union[_objects_pb2.Network, _Mapping]] = ..., endpoints: _Optional[_Iterable[_Union[NetworkEndpoint, _Mapping]]] = ...) -> None: ...

class NetworkEndpoint(_message.Message):
    __slots__ = ("kind", "id", "name", "node_id", "addresses", "service_id", "mac_address", "warnings")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_TASK: _ClassVar[NetworkEndpoint.Kind]
        KIND_SERVICE: _ClassVar[NetworkEndpoint.Kind]
        KIND_NODE: _ClassVar[NetworkEndpoint.Kind]
        KIND_CONTAINER: _ClassVar[NetworkEndpoint.Kind]
    KIND_TASK: NetworkEndpoint.Kind
    KIND_SERVICE: NetworkEndpoint.Kind
    KIND_NODE: NetworkEndpoint.Kind
    KIND_CONTAINER: NetworkEndpoint.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    MAC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    kind: NetworkEndpoint.Kind
    id: str
    name: str
    node_id: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    service_id: str
    mac_address: str
    warnings: _containers.RepeatedCompositeFieldContainer[_types_pb2.NodeCondition]
    def __init__(self, kind: _Optional[_Union[NetworkEndpoint.Kind, str]] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., node_id: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., service_id: _Optional[str] = ..., mac_address: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[_types_pb2.NodeCondition, _Mapping]]] = ...) -> None: ...

class ListNetworksRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...

class ListNetworksResponse(_message.Message):
    __slots__ = ("networks", "users", "containers")
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    networks: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Network]
    users: _containers.RepeatedScalarFieldContainer[int]
    containers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, networks: _Optional[_Iterable[_Union[_objects_pb2.Network, _Mapping]]] = ..., users: _Optional[_Iterable[int]] = ..., containers: _Optional[_Iterable[int]] = ...) -> None: ...

class RemoveNetworkRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class RemoveNetworkResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class LoadImageRequest(_message.Message):
    __slots__ = ("chunk", "reference")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    reference: str
    def __init__(self, chunk: _Optional[bytes] = ..., reference: _Optional[str] = ...) -> None: ...

class LoadImageResponse(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Image]
    def __init__(self, images: _Optional[_Iterable[_Union[_objects_pb2.Image, _Mapping]]] = ...) -> None: ...

class ListImagesRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...

class ListImagesResponse(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Image]
    def __init__(self, images: _Optional[_Iterable[_Union[_objects_pb2.Image, _Mapping]]] = ...) -> None: ...

class RemoveImageRequest(_message.Message):
    __slots__ = ("ref", "force")
    REF_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    force: bool
    def __init__(self, ref: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RemoveImageResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class PullImageRequest(_message.Message):
    __slots__ = ("reference", "platforms", "registry_auth")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_AUTH_FIELD_NUMBER: _ClassVar[int]
    reference: str
    platforms: _containers.RepeatedScalarFieldContainer[str]
    registry_auth: _types_pb2.RegistryAuth
    def __init__(self, reference: _Optional[str] = ..., platforms: _Optional[_Iterable[str]] = ..., registry_auth: _Optional[_Union[_types_pb2.RegistryAuth, _Mapping]] = ...) -> None: ...

class PullImageResponse(_message.Message):
    __slots__ = ("progress", "pulled")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PULLED_FIELD_NUMBER: _ClassVar[int]
    progress: str
    pulled: PulledImage
    def __init__(self, progress: _Optional[str] = ..., pulled: _Optional[_Union[PulledImage, _Mapping]] = ...) -> None: ...

class PulledImage(_message.Message):
    __slots__ = ("image", "changed")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    image: _objects_pb2.Image
    changed: bool
    def __init__(self, image: _Optional[_Union[_objects_pb2.Image, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class ListRegistryTagsRequest(_message.Message):
    __slots__ = ("reference", "registry_auth")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_AUTH_FIELD_NUMBER: _ClassVar[int]
    reference: str
    registry_auth: _types_pb2.RegistryAuth
    def __init__(self, reference: _Optional[str] = ..., registry_auth: _Optional[_Union[_types_pb2.RegistryAuth, _Mapping]] = ...) -> None: ...

class ListRegistryTagsResponse(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tags: _Optional[_Iterable[str]] = ...) -> None: ...

class PushImageRequest(_message.Message):
    __slots__ = ("ref", "registry_auth")
    REF_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_AUTH_FIELD_NUMBER: _ClassVar[int]
    ref: str
    registry_auth: _types_pb2.RegistryAuth
    def __init__(self, ref: _Optional[str] = ..., registry_auth: _Optional[_Union[_types_pb2.RegistryAuth, _Mapping]] = ...) -> None: ...

class PushImageResponse(_message.Message):
    __slots__ = ("progress", "pushed")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PUSHED_FIELD_NUMBER: _ClassVar[int]
    progress: str
    pushed: PushedImage
    def __init__(self, progress: _Optional[str] = ..., pushed: _Optional[_Union[PushedImage, _Mapping]] = ...) -> None: ...

class PushedImage(_message.Message):
    __slots__ = ("reference", "digest", "sent_bytes", "size_bytes", "left_out")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    reference: str
    digest: str
    sent_bytes: int
    size_bytes: int
    left_out: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reference: _Optional[str] = ..., digest: _Optional[str] = ..., sent_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ..., left_out: _Optional[_Iterable[str]] = ...) -> None: ...

class TagImageRequest(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class TagImageResponse(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: _objects_pb2.Image
    def __init__(self, image: _Optional[_Union[_objects_pb2.Image, _Mapping]] = ...) -> None: ...

class GetImageHistoryRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetImageHistoryResponse(_message.Message):
    __slots__ = ("entries", "configuration", "platforms")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ImageHistoryEntry]
    configuration: bytes
    platforms: _containers.RepeatedCompositeFieldContainer[PlatformImage]
    def __init__(self, entries: _Optional[_Iterable[_Union[ImageHistoryEntry, _Mapping]]] = ..., configuration: _Optional[bytes] = ..., platforms: _Optional[_Iterable[_Union[PlatformImage, _Mapping]]] = ...) -> None: ...

class PlatformImage(_message.Message):
    __slots__ = ("platform", "digest", "size_bytes", "held")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    platform: str
    digest: str
    size_bytes: int
    held: bool
    def __init__(self, platform: _Optional[str] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., held: _Optional[bool] = ...) -> None: ...

class ImageHistoryEntry(_message.Message):
    __slots__ = ("created_at", "created_by", "comment", "layer", "size_bytes")
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    created_at: _timestamp_pb2.Timestamp
    created_by: str
    comment: str
    layer: str
    size_bytes: int
    def __init__(self, created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., comment: _Optional[str] = ..., layer: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class SaveImagesRequest(_message.Message):
    __slots__ = ("refs",)
    REFS_FIELD_NUMBER: _ClassVar[int]
    refs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, refs: _Optional[_Iterable[str]] = ...) -> None: ...

class SaveImagesResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class PruneImagesRequest(_message.Message):
    __slots__ = ("all",)
    ALL_FIELD_NUMBER: _ClassVar[int]
    all: bool
    def __init__(self, all: _Optional[bool] = ...) -> None: ...

class PruneChosenImagesRequest(_message.Message):
    __slots__ = ("all", "labels", "without_labels", "before_ns")
    ALL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_LABELS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_NS_FIELD_NUMBER: _ClassVar[int]
    all: bool
    labels: _containers.RepeatedScalarFieldContainer[str]
    without_labels: _containers.RepeatedScalarFieldContainer[str]
    before_ns: int
    def __init__(self, all: _Optional[bool] = ..., labels: _Optional[_Iterable[str]] = ..., without_labels: _Optional[_Iterable[str]] = ..., before_ns: _Optional[int] = ...) -> None: ...

class PruneImagesResponse(_message.Message):
    __slots__ = ("images", "freed_bytes", "unread")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Image]
    freed_bytes: int
    unread: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, images: _Optional[_Iterable[_Union[_objects_pb2.Image, _Mapping]]] = ..., freed_bytes: _Optional[int] = ..., unread: _Optional[_Iterable[str]] = ...) -> None: ...

class ServiceLogsRequest(_message.Message):
    __slots__ = ("selector", "options")
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    selector: _logs_pb2.LogSelector
    options: _logs_pb2.LogOptions
    def __init__(self, selector: _Optional[_Union[_logs_pb2.LogSelector, _Mapping]] = ..., options: _Optional[_Union[_logs_pb2.LogOptions, _Mapping]] = ...) -> None: ...

class ServiceLogsResponse(_message.Message):
    __slots__ = ("message", "notice")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    message: _logs_pb2.LogMessage
    notice: str
    def __init__(self, message: _Optional[_Union[_logs_pb2.LogMessage, _Mapping]] = ..., notice: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("kinds", "filters", "resume_version", "include_initial_state", "include_previous", "since")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    RESUME_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_INITIAL_STATE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    filters: Filters
    resume_version: int
    include_initial_state: bool
    include_previous: bool
    since: _timestamp_pb2.Timestamp
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ..., resume_version: _Optional[int] = ..., include_initial_state: _Optional[bool] = ..., include_previous: _Optional[bool] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchEvent(_message.Message):
    __slots__ = ("action", "object", "previous")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_CREATE: _ClassVar[WatchEvent.Action]
        ACTION_UPDATE: _ClassVar[WatchEvent.Action]
        ACTION_REMOVE: _ClassVar[WatchEvent.Action]
    ACTION_CREATE: WatchEvent.Action
    ACTION_UPDATE: WatchEvent.Action
    ACTION_REMOVE: WatchEvent.Action
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    action: WatchEvent.Action
    object: _store_pb2.StoreObject
    previous: _store_pb2.StoreObject
    def __init__(self, action: _Optional[_Union[WatchEvent.Action, str]] = ..., object: _Optional[_Union[_store_pb2.StoreObject, _Mapping]] = ..., previous: _Optional[_Union[_store_pb2.StoreObject, _Mapping]] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("events", "version", "at", "initial", "stale", "kept_since")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    KEPT_SINCE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[WatchEvent]
    version: int
    at: _timestamp_pb2.Timestamp
    initial: bool
    stale: bool
    kept_since: _timestamp_pb2.Timestamp
    def __init__(self, events: _Optional[_Iterable[_Union[WatchEvent, _Mapping]]] = ..., version: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., initial: _Optional[bool] = ..., stale: _Optional[bool] = ..., kept_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetMomentRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMomentResponse(_message.Message):
    __slots__ = ("at", "version")
    AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    version: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateVolumeRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _specs_pb2.VolumeSpec
    def __init__(self, spec: _Optional[_Union[_specs_pb2.VolumeSpec, _Mapping]] = ...) -> None: ...

class CreateVolumeResponse(_message.Message):
    __slots__ = ("volume",)
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    volume: _objects_pb2.Volume
    def __init__(self, volume: _Optional[_Union[_objects_pb2.Volume, _Mapping]] = ...) -> None: ...

class GetVolumeRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class GetVolumeResponse(_message.Message):
    __slots__ = ("volume",)
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    volume: _objects_pb2.Volume
    def __init__(self, volume: _Optional[_Union[_objects_pb2.Volume, _Mapping]] = ...) -> None: ...

class ListVolumesRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: Filters
    def __init__(self, filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...

class ListVolumesResponse(_message.Message):
    __slots__ = ("volumes",)
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    volumes: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Volume]
    def __init__(self, volumes: _Optional[_Iterable[_Union[_objects_pb2.Volume, _Mapping]]] = ...) -> None: ...

class UpdateVolumeRequest(_message.Message):
    __slots__ = ("id", "version", "spec")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    spec: _specs_pb2.VolumeSpec
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.VolumeSpec, _Mapping]] = ...) -> None: ...

class UpdateVolumeResponse(_message.Message):
    __slots__ = ("volume",)
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    volume: _objects_pb2.Volume
    def __init__(self, volume: _Optional[_Union[_objects_pb2.Volume, _Mapping]] = ...) -> None: ...

class RemoveVolumeRequest(_message.Message):
    __slots__ = ("ref", "force")
    REF_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    force: bool
    def __init__(self, ref: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RemoveVolumeResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class InitRequest(_message.Message):
    __slots__ = ("advertise_addr", "listen_addr", "availability", "spec", "force_new_cluster", "ca_cert_pem", "ca_key_pem", "data_path_addr")
    ADVERTISE_ADDR_FIELD_NUMBER: _ClassVar[int]
    LISTEN_ADDR_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    FORCE_NEW_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CA_CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_ADDR_FIELD_NUMBER: _ClassVar[int]
    advertise_addr: str
    listen_addr: str
    availability: _types_pb2.NodeAvailability
    spec: _specs_pb2.ClusterSpec
    force_new_cluster: bool
    ca_cert_pem: bytes
    ca_key_pem: bytes
    data_path_addr: str
    def __init__(self, advertise_addr: _Optional[str] = ..., listen_addr: _Optional[str] = ..., availability: _Optional[_Union[_types_pb2.NodeAvailability, str]] = ..., spec: _Optional[_Union[_specs_pb2.ClusterSpec, _Mapping]] = ..., force_new_cluster: _Optional[bool] = ..., ca_cert_pem: _Optional[bytes] = ..., ca_key_pem: _Optional[bytes] = ..., data_path_addr: _Optional[str] = ...) -> None: ...

class InitResponse(_message.Message):
    __slots__ = ("node_id", "cluster_id", "worker_token", "manager_token", "addr", "unlock_key", "former_managers")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MANAGER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    FORMER_MANAGERS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    cluster_id: str
    worker_token: str
    manager_token: str
    addr: str
    unlock_key: str
    former_managers: _containers.RepeatedCompositeFieldContainer[_types_pb2.Peer]
    def __init__(self, node_id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., worker_token: _Optional[str] = ..., manager_token: _Optional[str] = ..., addr: _Optional[str] = ..., unlock_key: _Optional[str] = ..., former_managers: _Optional[_Iterable[_Union[_types_pb2.Peer, _Mapping]]] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("remote_addrs", "token", "advertise_addr", "listen_addr", "availability", "data_path_addr")
    REMOTE_ADDRS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ADVERTISE_ADDR_FIELD_NUMBER: _ClassVar[int]
    LISTEN_ADDR_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_ADDR_FIELD_NUMBER: _ClassVar[int]
    remote_addrs: _containers.RepeatedScalarFieldContainer[str]
    token: str
    advertise_addr: str
    listen_addr: str
    availability: _types_pb2.NodeAvailability
    data_path_addr: str
    def __init__(self, remote_addrs: _Optional[_Iterable[str]] = ..., token: _Optional[str] = ..., advertise_addr: _Optional[str] = ..., listen_addr: _Optional[str] = ..., availability: _Optional[_Union[_types_pb2.NodeAvailability, str]] = ..., data_path_addr: _Optional[str] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("node_id", "role")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    role: _types_pb2.NodeRole
    def __init__(self, node_id: _Optional[str] = ..., role: _Optional[_Union[_types_pb2.NodeRole, str]] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("force",)
    FORCE_FIELD_NUMBER: _ClassVar[int]
    force: bool
    def __init__(self, force: _Optional[bool] = ...) -> None: ...

class LeaveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnlockRequest(_message.Message):
    __slots__ = ("unlock_key",)
    UNLOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    unlock_key: str
    def __init__(self, unlock_key: _Optional[str] = ...) -> None: ...

class UnlockResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("state", "node_id", "cluster_id", "is_manager", "error", "version", "addr", "managers", "connected", "leader_addr", "runtime", "compatibility", "level", "hostname", "data_path_addr", "machine")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_INACTIVE: _ClassVar[InfoResponse.State]
        STATE_PENDING: _ClassVar[InfoResponse.State]
        STATE_ACTIVE: _ClassVar[InfoResponse.State]
        STATE_ERROR: _ClassVar[InfoResponse.State]
        STATE_LOCKED: _ClassVar[InfoResponse.State]
    STATE_INACTIVE: InfoResponse.State
    STATE_PENDING: InfoResponse.State
    STATE_ACTIVE: InfoResponse.State
    STATE_ERROR: InfoResponse.State
    STATE_LOCKED: InfoResponse.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    IS_MANAGER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDR_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_ADDR_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    state: InfoResponse.State
    node_id: str
    cluster_id: str
    is_manager: bool
    error: str
    version: str
    addr: str
    managers: _containers.RepeatedCompositeFieldContainer[_types_pb2.Peer]
    connected: bool
    leader_addr: str
    runtime: str
    compatibility: _types_pb2.Compatibility
    level: int
    hostname: str
    data_path_addr: str
    machine: MachineInfo
    def __init__(self, state: _Optional[_Union[InfoResponse.State, str]] = ..., node_id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., is_manager: _Optional[bool] = ..., error: _Optional[str] = ..., version: _Optional[str] = ..., addr: _Optional[str] = ..., managers: _Optional[_Iterable[_Union[_types_pb2.Peer, _Mapping]]] = ..., connected: _Optional[bool] = ..., leader_addr: _Optional[str] = ..., runtime: _Optional[str] = ..., compatibility: _Optional[_Union[_types_pb2.Compatibility, _Mapping]] = ..., level: _Optional[int] = ..., hostname: _Optional[str] = ..., data_path_addr: _Optional[str] = ..., machine: _Optional[_Union[MachineInfo, _Mapping]] = ...) -> None: ...

class MachineInfo(_message.Message):
    __slots__ = ("kernel_version", "operating_system", "os_version", "os_type", "architecture", "cpus", "memory_bytes", "root_dir", "storage_driver", "cgroup_driver", "cgroup_version", "containers")
    KERNEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    OPERATING_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    OS_VERSION_FIELD_NUMBER: _ClassVar[int]
    OS_TYPE_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROOT_DIR_FIELD_NUMBER: _ClassVar[int]
    STORAGE_DRIVER_FIELD_NUMBER: _ClassVar[int]
    CGROUP_DRIVER_FIELD_NUMBER: _ClassVar[int]
    CGROUP_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    kernel_version: str
    operating_system: str
    os_version: str
    os_type: str
    architecture: str
    cpus: int
    memory_bytes: int
    root_dir: str
    storage_driver: str
    cgroup_driver: str
    cgroup_version: str
    containers: ContainerCounts
    def __init__(self, kernel_version: _Optional[str] = ..., operating_system: _Optional[str] = ..., os_version: _Optional[str] = ..., os_type: _Optional[str] = ..., architecture: _Optional[str] = ..., cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., root_dir: _Optional[str] = ..., storage_driver: _Optional[str] = ..., cgroup_driver: _Optional[str] = ..., cgroup_version: _Optional[str] = ..., containers: _Optional[_Union[ContainerCounts, _Mapping]] = ...) -> None: ...

class ContainerCounts(_message.Message):
    __slots__ = ("running", "paused", "stopped", "images")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    running: int
    paused: int
    stopped: int
    images: int
    def __init__(self, running: _Optional[int] = ..., paused: _Optional[int] = ..., stopped: _Optional[int] = ..., images: _Optional[int] = ...) -> None: ...

class RenewCertificateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewCertificateResponse(_message.Message):
    __slots__ = ("node_id", "expires_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
