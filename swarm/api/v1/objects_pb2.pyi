import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import specs_pb2 as _specs_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("id", "meta", "spec", "description", "status", "role", "manager_status", "certificate_expires_at", "networks")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MANAGER_STATUS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.NodeSpec
    description: _types_pb2.NodeDescription
    status: _types_pb2.NodeStatus
    role: _types_pb2.NodeRole
    manager_status: _types_pb2.ManagerStatus
    certificate_expires_at: _timestamp_pb2.Timestamp
    networks: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAddresses]
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.NodeSpec, _Mapping]] = ..., description: _Optional[_Union[_types_pb2.NodeDescription, _Mapping]] = ..., status: _Optional[_Union[_types_pb2.NodeStatus, _Mapping]] = ..., role: _Optional[_Union[_types_pb2.NodeRole, str]] = ..., manager_status: _Optional[_Union[_types_pb2.ManagerStatus, _Mapping]] = ..., certificate_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., networks: _Optional[_Iterable[_Union[_types_pb2.NetworkAddresses, _Mapping]]] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("id", "meta", "spec", "spec_version", "previous_spec", "previous_spec_version", "update_status", "revision", "revisions", "revised_at", "job_status", "rebalance", "autoscale_status", "virtual_addresses", "ingress_ports")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SPEC_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SPEC_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SPEC_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STATUS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    REVISED_AT_FIELD_NUMBER: _ClassVar[int]
    JOB_STATUS_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    AUTOSCALE_STATUS_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    INGRESS_PORTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.ServiceSpec
    spec_version: int
    previous_spec: _specs_pb2.ServiceSpec
    previous_spec_version: int
    update_status: _types_pb2.UpdateStatus
    revision: int
    revisions: _containers.RepeatedCompositeFieldContainer[ServiceRevision]
    revised_at: _timestamp_pb2.Timestamp
    job_status: JobStatus
    rebalance: Rebalance
    autoscale_status: AutoscaleStatus
    virtual_addresses: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAddresses]
    ingress_ports: _containers.RepeatedCompositeFieldContainer[_types_pb2.PortConfig]
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ..., spec_version: _Optional[int] = ..., previous_spec: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ..., previous_spec_version: _Optional[int] = ..., update_status: _Optional[_Union[_types_pb2.UpdateStatus, _Mapping]] = ..., revision: _Optional[int] = ..., revisions: _Optional[_Iterable[_Union[ServiceRevision, _Mapping]]] = ..., revised_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., job_status: _Optional[_Union[JobStatus, _Mapping]] = ..., rebalance: _Optional[_Union[Rebalance, _Mapping]] = ..., autoscale_status: _Optional[_Union[AutoscaleStatus, _Mapping]] = ..., virtual_addresses: _Optional[_Iterable[_Union[_types_pb2.NetworkAddresses, _Mapping]]] = ..., ingress_ports: _Optional[_Iterable[_Union[_types_pb2.PortConfig, _Mapping]]] = ...) -> None: ...

class AutoscaleStatus(_message.Message):
    __slots__ = ("replicas", "decided_at", "reason", "holding", "readings", "read_at")
    class Reading(_message.Message):
        __slots__ = ("rule", "value", "wish", "problem")
        RULE_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        WISH_FIELD_NUMBER: _ClassVar[int]
        PROBLEM_FIELD_NUMBER: _ClassVar[int]
        rule: str
        value: float
        wish: int
        problem: str
        def __init__(self, rule: _Optional[str] = ..., value: _Optional[float] = ..., wish: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HOLDING_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    READ_AT_FIELD_NUMBER: _ClassVar[int]
    replicas: int
    decided_at: _timestamp_pb2.Timestamp
    reason: str
    holding: str
    readings: _containers.RepeatedCompositeFieldContainer[AutoscaleStatus.Reading]
    read_at: _timestamp_pb2.Timestamp
    def __init__(self, replicas: _Optional[int] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., holding: _Optional[str] = ..., readings: _Optional[_Iterable[_Union[AutoscaleStatus.Reading, _Mapping]]] = ..., read_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class JobStatus(_message.Message):
    __slots__ = ("iteration", "spec_version", "last_execution", "force_update", "next_run", "last_run", "last_skipped", "skip_reason", "skipped")
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    SPEC_VERSION_FIELD_NUMBER: _ClassVar[int]
    LAST_EXECUTION_FIELD_NUMBER: _ClassVar[int]
    FORCE_UPDATE_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUN_FIELD_NUMBER: _ClassVar[int]
    LAST_RUN_FIELD_NUMBER: _ClassVar[int]
    LAST_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    SKIP_REASON_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    iteration: int
    spec_version: int
    last_execution: _timestamp_pb2.Timestamp
    force_update: int
    next_run: _timestamp_pb2.Timestamp
    last_run: _timestamp_pb2.Timestamp
    last_skipped: _timestamp_pb2.Timestamp
    skip_reason: str
    skipped: int
    def __init__(self, iteration: _Optional[int] = ..., spec_version: _Optional[int] = ..., last_execution: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., force_update: _Optional[int] = ..., next_run: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_run: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_skipped: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., skip_reason: _Optional[str] = ..., skipped: _Optional[int] = ...) -> None: ...

class ServiceRevision(_message.Message):
    __slots__ = ("revision", "spec", "created_at", "update_status", "rolled_back")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STATUS_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    revision: int
    spec: _specs_pb2.ServiceSpec
    created_at: _timestamp_pb2.Timestamp
    update_status: _types_pb2.UpdateStatus
    rolled_back: bool
    def __init__(self, revision: _Optional[int] = ..., spec: _Optional[_Union[_specs_pb2.ServiceSpec, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_status: _Optional[_Union[_types_pb2.UpdateStatus, _Mapping]] = ..., rolled_back: _Optional[bool] = ...) -> None: ...

class Rebalance(_message.Message):
    __slots__ = ("state", "started_at", "completed_at", "message", "spec_version", "moves")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_NONE: _ClassVar[Rebalance.State]
        STATE_MOVING: _ClassVar[Rebalance.State]
        STATE_COMPLETED: _ClassVar[Rebalance.State]
        STATE_STOPPED: _ClassVar[Rebalance.State]
    STATE_NONE: Rebalance.State
    STATE_MOVING: Rebalance.State
    STATE_COMPLETED: Rebalance.State
    STATE_STOPPED: Rebalance.State
    class Move(_message.Message):
        __slots__ = ("task_id", "slot", "from_node_id", "to_node_id")
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        SLOT_FIELD_NUMBER: _ClassVar[int]
        FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
        TO_NODE_ID_FIELD_NUMBER: _ClassVar[int]
        task_id: str
        slot: int
        from_node_id: str
        to_node_id: str
        def __init__(self, task_id: _Optional[str] = ..., slot: _Optional[int] = ..., from_node_id: _Optional[str] = ..., to_node_id: _Optional[str] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SPEC_VERSION_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    state: Rebalance.State
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    message: str
    spec_version: int
    moves: _containers.RepeatedCompositeFieldContainer[Rebalance.Move]
    def __init__(self, state: _Optional[_Union[Rebalance.State, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ..., spec_version: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[Rebalance.Move, _Mapping]]] = ...) -> None: ...

class Nomination(_message.Message):
    __slots__ = ("node_id", "victims", "priority", "decided_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    VICTIMS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    victims: _containers.RepeatedScalarFieldContainer[str]
    priority: int
    decided_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., victims: _Optional[_Iterable[str]] = ..., priority: _Optional[int] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Preemption(_message.Message):
    __slots__ = ("task_id", "service_name", "priority")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    service_name: str
    priority: int
    def __init__(self, task_id: _Optional[str] = ..., service_name: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("id", "meta", "spec", "spec_version", "service_id", "slot", "node_id", "service_annotations", "status", "desired_state", "endpoint", "previous_task_id", "start_not_before", "history", "job_iteration", "run_for", "crashes", "shared_devices", "nomination", "preempted_by", "networks", "virtual_addresses", "stopping_since", "assigned_generic", "volumes", "withdrawn")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SPEC_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_STATE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    START_NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    JOB_ITERATION_FIELD_NUMBER: _ClassVar[int]
    RUN_FOR_FIELD_NUMBER: _ClassVar[int]
    CRASHES_FIELD_NUMBER: _ClassVar[int]
    SHARED_DEVICES_FIELD_NUMBER: _ClassVar[int]
    NOMINATION_FIELD_NUMBER: _ClassVar[int]
    PREEMPTED_BY_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    STOPPING_SINCE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_GENERIC_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.TaskSpec
    spec_version: int
    service_id: str
    slot: int
    node_id: str
    service_annotations: _types_pb2.Annotations
    status: _types_pb2.TaskStatus
    desired_state: _types_pb2.TaskState
    endpoint: _types_pb2.EndpointSpec
    previous_task_id: str
    start_not_before: _timestamp_pb2.Timestamp
    history: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskStatus]
    job_iteration: int
    run_for: _timestamp_pb2.Timestamp
    crashes: int
    shared_devices: _containers.RepeatedCompositeFieldContainer[_types_pb2.GenericResource]
    nomination: Nomination
    preempted_by: Preemption
    networks: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAddresses]
    virtual_addresses: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAddresses]
    stopping_since: _timestamp_pb2.Timestamp
    assigned_generic: _containers.RepeatedCompositeFieldContainer[_types_pb2.GenericResource]
    volumes: _containers.RepeatedCompositeFieldContainer[VolumeAttachment]
    withdrawn: bool
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.TaskSpec, _Mapping]] = ..., spec_version: _Optional[int] = ..., service_id: _Optional[str] = ..., slot: _Optional[int] = ..., node_id: _Optional[str] = ..., service_annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ..., desired_state: _Optional[_Union[_types_pb2.TaskState, str]] = ..., endpoint: _Optional[_Union[_types_pb2.EndpointSpec, _Mapping]] = ..., previous_task_id: _Optional[str] = ..., start_not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., history: _Optional[_Iterable[_Union[_types_pb2.TaskStatus, _Mapping]]] = ..., job_iteration: _Optional[int] = ..., run_for: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., crashes: _Optional[int] = ..., shared_devices: _Optional[_Iterable[_Union[_types_pb2.GenericResource, _Mapping]]] = ..., nomination: _Optional[_Union[Nomination, _Mapping]] = ..., preempted_by: _Optional[_Union[Preemption, _Mapping]] = ..., networks: _Optional[_Iterable[_Union[_types_pb2.NetworkAddresses, _Mapping]]] = ..., virtual_addresses: _Optional[_Iterable[_Union[_types_pb2.NetworkAddresses, _Mapping]]] = ..., stopping_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assigned_generic: _Optional[_Iterable[_Union[_types_pb2.GenericResource, _Mapping]]] = ..., volumes: _Optional[_Iterable[_Union[VolumeAttachment, _Mapping]]] = ..., withdrawn: _Optional[bool] = ...) -> None: ...

class VolumeAttachment(_message.Message):
    __slots__ = ("volume_id", "source", "target", "read_only")
    VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    volume_id: str
    source: str
    target: str
    read_only: bool
    def __init__(self, volume_id: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., read_only: _Optional[bool] = ...) -> None: ...

class RootCA(_message.Message):
    __slots__ = ("cert_pem", "key_pem", "worker_secret", "manager_secret", "trust_version", "rotation")
    CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    WORKER_SECRET_FIELD_NUMBER: _ClassVar[int]
    MANAGER_SECRET_FIELD_NUMBER: _ClassVar[int]
    TRUST_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    cert_pem: bytes
    key_pem: bytes
    worker_secret: str
    manager_secret: str
    trust_version: int
    rotation: RootRotation
    def __init__(self, cert_pem: _Optional[bytes] = ..., key_pem: _Optional[bytes] = ..., worker_secret: _Optional[str] = ..., manager_secret: _Optional[str] = ..., trust_version: _Optional[int] = ..., rotation: _Optional[_Union[RootRotation, _Mapping]] = ...) -> None: ...

class RootRotation(_message.Message):
    __slots__ = ("cert_pem", "key_pem", "cross_signed_pem", "abandoned_pems")
    CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    CROSS_SIGNED_PEM_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_PEMS_FIELD_NUMBER: _ClassVar[int]
    cert_pem: bytes
    key_pem: bytes
    cross_signed_pem: bytes
    abandoned_pems: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, cert_pem: _Optional[bytes] = ..., key_pem: _Optional[bytes] = ..., cross_signed_pem: _Optional[bytes] = ..., abandoned_pems: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RevokedCertificate(_message.Message):
    __slots__ = ("expires_at",)
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("id", "meta", "spec", "root_ca", "removed_nodes", "unlock_key", "unlock_key_version", "overlay_key", "acme", "level")
    class RemovedNodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: RevokedCertificate
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[RevokedCertificate, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROOT_CA_FIELD_NUMBER: _ClassVar[int]
    REMOVED_NODES_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_KEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.ClusterSpec
    root_ca: RootCA
    removed_nodes: _containers.MessageMap[str, RevokedCertificate]
    unlock_key: str
    unlock_key_version: int
    overlay_key: OverlayKey
    acme: AcmeState
    level: int
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.ClusterSpec, _Mapping]] = ..., root_ca: _Optional[_Union[RootCA, _Mapping]] = ..., removed_nodes: _Optional[_Mapping[str, RevokedCertificate]] = ..., unlock_key: _Optional[str] = ..., unlock_key_version: _Optional[int] = ..., overlay_key: _Optional[_Union[OverlayKey, _Mapping]] = ..., acme: _Optional[_Union[AcmeState, _Mapping]] = ..., level: _Optional[int] = ...) -> None: ...

class OverlayKey(_message.Message):
    __slots__ = ("secret", "version", "created_at", "rotation")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    secret: bytes
    version: int
    created_at: _timestamp_pb2.Timestamp
    rotation: int
    def __init__(self, secret: _Optional[bytes] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rotation: _Optional[int] = ...) -> None: ...

class AcmeState(_message.Message):
    __slots__ = ("directory", "email", "account_key_pem", "account_url", "certificates", "trouble")
    class CertificatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: AcmeCertificate
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[AcmeCertificate, _Mapping]] = ...) -> None: ...
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_URL_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    directory: str
    email: str
    account_key_pem: bytes
    account_url: str
    certificates: _containers.MessageMap[str, AcmeCertificate]
    trouble: AcmeTrouble
    def __init__(self, directory: _Optional[str] = ..., email: _Optional[str] = ..., account_key_pem: _Optional[bytes] = ..., account_url: _Optional[str] = ..., certificates: _Optional[_Mapping[str, AcmeCertificate]] = ..., trouble: _Optional[_Union[AcmeTrouble, _Mapping]] = ...) -> None: ...

class AcmeTrouble(_message.Message):
    __slots__ = ("problem", "failures", "retry_at")
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    RETRY_AT_FIELD_NUMBER: _ClassVar[int]
    problem: str
    failures: int
    retry_at: _timestamp_pb2.Timestamp
    def __init__(self, problem: _Optional[str] = ..., failures: _Optional[int] = ..., retry_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AcmeCertificate(_message.Message):
    __slots__ = ("secret_id", "not_after", "renew_at", "order", "trouble", "unwanted_since")
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    RENEW_AT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    UNWANTED_SINCE_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    not_after: _timestamp_pb2.Timestamp
    renew_at: _timestamp_pb2.Timestamp
    order: AcmeOrder
    trouble: AcmeTrouble
    unwanted_since: _timestamp_pb2.Timestamp
    def __init__(self, secret_id: _Optional[str] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., renew_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., order: _Optional[_Union[AcmeOrder, _Mapping]] = ..., trouble: _Optional[_Union[AcmeTrouble, _Mapping]] = ..., unwanted_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AcmeOrder(_message.Message):
    __slots__ = ("key_pem", "begun_at", "url", "proof_name", "proof", "answerable")
    KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    BEGUN_AT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PROOF_NAME_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    ANSWERABLE_FIELD_NUMBER: _ClassVar[int]
    key_pem: bytes
    begun_at: _timestamp_pb2.Timestamp
    url: str
    proof_name: str
    proof: str
    answerable: bool
    def __init__(self, key_pem: _Optional[bytes] = ..., begun_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., url: _Optional[str] = ..., proof_name: _Optional[str] = ..., proof: _Optional[str] = ..., answerable: _Optional[bool] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("id", "meta", "annotations", "digest", "size_bytes", "blobs", "holders")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    annotations: _types_pb2.Annotations
    digest: str
    size_bytes: int
    blobs: _containers.RepeatedScalarFieldContainer[str]
    holders: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., blobs: _Optional[_Iterable[str]] = ..., holders: _Optional[_Iterable[str]] = ...) -> None: ...

class Stack(_message.Message):
    __slots__ = ("id", "meta", "annotations", "revisions")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    annotations: _types_pb2.Annotations
    revisions: _containers.RepeatedCompositeFieldContainer[StackRevision]
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., revisions: _Optional[_Iterable[_Union[StackRevision, _Mapping]]] = ...) -> None: ...

class StackRevision(_message.Message):
    __slots__ = ("revision", "at", "by", "created", "updated", "removed", "back_to", "services", "networks")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    BACK_TO_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    at: _timestamp_pb2.Timestamp
    by: str
    created: _containers.RepeatedScalarFieldContainer[str]
    updated: _containers.RepeatedScalarFieldContainer[str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    back_to: int
    services: _containers.RepeatedCompositeFieldContainer[_specs_pb2.ServiceSpec]
    networks: _containers.RepeatedCompositeFieldContainer[_specs_pb2.NetworkSpec]
    def __init__(self, revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ..., created: _Optional[_Iterable[str]] = ..., updated: _Optional[_Iterable[str]] = ..., removed: _Optional[_Iterable[str]] = ..., back_to: _Optional[int] = ..., services: _Optional[_Iterable[_Union[_specs_pb2.ServiceSpec, _Mapping]]] = ..., networks: _Optional[_Iterable[_Union[_specs_pb2.NetworkSpec, _Mapping]]] = ...) -> None: ...

class Secret(_message.Message):
    __slots__ = ("id", "meta", "spec", "number", "created_by", "data_bytes", "problem", "refused")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    DATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.SecretSpec
    number: int
    created_by: str
    data_bytes: int
    problem: str
    refused: bool
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.SecretSpec, _Mapping]] = ..., number: _Optional[int] = ..., created_by: _Optional[str] = ..., data_bytes: _Optional[int] = ..., problem: _Optional[str] = ..., refused: _Optional[bool] = ...) -> None: ...

class Config(_message.Message):
    __slots__ = ("id", "meta", "spec", "number", "created_by", "data_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    DATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.ConfigSpec
    number: int
    created_by: str
    data_bytes: int
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.ConfigSpec, _Mapping]] = ..., number: _Optional[int] = ..., created_by: _Optional[str] = ..., data_bytes: _Optional[int] = ...) -> None: ...

class Volume(_message.Message):
    __slots__ = ("id", "meta", "spec", "plugin_volume_id", "volume_context", "capacity_bytes", "accessible_topology", "publish", "create_begun", "pending_delete", "problem")
    class PublishState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PUBLISH_STATE_PENDING_PUBLISH: _ClassVar[Volume.PublishState]
        PUBLISH_STATE_PUBLISHED: _ClassVar[Volume.PublishState]
        PUBLISH_STATE_PENDING_NODE_UNPUBLISH: _ClassVar[Volume.PublishState]
        PUBLISH_STATE_PENDING_UNPUBLISH: _ClassVar[Volume.PublishState]
    PUBLISH_STATE_PENDING_PUBLISH: Volume.PublishState
    PUBLISH_STATE_PUBLISHED: Volume.PublishState
    PUBLISH_STATE_PENDING_NODE_UNPUBLISH: Volume.PublishState
    PUBLISH_STATE_PENDING_UNPUBLISH: Volume.PublishState
    class PublishStatus(_message.Message):
        __slots__ = ("node_id", "state", "plugin_node_id", "publish_context")
        class PublishContextEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        NODE_ID_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        PLUGIN_NODE_ID_FIELD_NUMBER: _ClassVar[int]
        PUBLISH_CONTEXT_FIELD_NUMBER: _ClassVar[int]
        node_id: str
        state: Volume.PublishState
        plugin_node_id: str
        publish_context: _containers.ScalarMap[str, str]
        def __init__(self, node_id: _Optional[str] = ..., state: _Optional[_Union[Volume.PublishState, str]] = ..., plugin_node_id: _Optional[str] = ..., publish_context: _Optional[_Mapping[str, str]] = ...) -> None: ...
    class VolumeContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    VOLUME_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCESSIBLE_TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    CREATE_BEGUN_FIELD_NUMBER: _ClassVar[int]
    PENDING_DELETE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.VolumeSpec
    plugin_volume_id: str
    volume_context: _containers.ScalarMap[str, str]
    capacity_bytes: int
    accessible_topology: _containers.RepeatedCompositeFieldContainer[_specs_pb2.VolumeSpec.Topology]
    publish: _containers.RepeatedCompositeFieldContainer[Volume.PublishStatus]
    create_begun: bool
    pending_delete: bool
    problem: str
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.VolumeSpec, _Mapping]] = ..., plugin_volume_id: _Optional[str] = ..., volume_context: _Optional[_Mapping[str, str]] = ..., capacity_bytes: _Optional[int] = ..., accessible_topology: _Optional[_Iterable[_Union[_specs_pb2.VolumeSpec.Topology, _Mapping]]] = ..., publish: _Optional[_Iterable[_Union[Volume.PublishStatus, _Mapping]]] = ..., create_begun: _Optional[bool] = ..., pending_delete: _Optional[bool] = ..., problem: _Optional[str] = ...) -> None: ...

class Subnet(_message.Message):
    __slots__ = ("subnet", "range", "gateway", "reserved", "pool", "last")
    class ReservedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    subnet: str
    range: str
    gateway: str
    reserved: _containers.ScalarMap[str, str]
    pool: str
    last: str
    def __init__(self, subnet: _Optional[str] = ..., range: _Optional[str] = ..., gateway: _Optional[str] = ..., reserved: _Optional[_Mapping[str, str]] = ..., pool: _Optional[str] = ..., last: _Optional[str] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ("id", "meta", "spec", "subnets", "vxlan_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    VXLAN_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    spec: _specs_pb2.NetworkSpec
    subnets: _containers.RepeatedCompositeFieldContainer[Subnet]
    vxlan_id: int
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.NetworkSpec, _Mapping]] = ..., subnets: _Optional[_Iterable[_Union[Subnet, _Mapping]]] = ..., vxlan_id: _Optional[int] = ...) -> None: ...

class Attachment(_message.Message):
    __slots__ = ("id", "meta", "node_id", "name", "hostname", "wanted", "networks", "serving", "generation")
    ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    meta: _types_pb2.Meta
    node_id: str
    name: str
    hostname: str
    wanted: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAttachment]
    networks: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAddresses]
    serving: bool
    generation: int
    def __init__(self, id: _Optional[str] = ..., meta: _Optional[_Union[_types_pb2.Meta, _Mapping]] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ..., hostname: _Optional[str] = ..., wanted: _Optional[_Iterable[_Union[_types_pb2.NetworkAttachment, _Mapping]]] = ..., networks: _Optional[_Iterable[_Union[_types_pb2.NetworkAddresses, _Mapping]]] = ..., serving: _Optional[bool] = ..., generation: _Optional[int] = ...) -> None: ...
