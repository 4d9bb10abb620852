from swarm.api.v1 import objects_pb2 as _objects_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from swarm.api.v1 import containers_pb2 as _containers_pb2
from swarm.api.v1 import logs_pb2 as _logs_pb2
from swarm.api.v1 import overlay_pb2 as _overlay_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("description", "applied_index", "standby", "incarnation", "acknowledges_networks")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGES_NETWORKS_FIELD_NUMBER: _ClassVar[int]
    description: _types_pb2.NodeDescription
    applied_index: int
    standby: bool
    incarnation: int
    acknowledges_networks: bool
    def __init__(self, description: _Optional[_Union[_types_pb2.NodeDescription, _Mapping]] = ..., applied_index: _Optional[int] = ..., standby: _Optional[bool] = ..., incarnation: _Optional[int] = ..., acknowledges_networks: _Optional[bool] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NetworksApplied(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class TaskStatusUpdate(_message.Message):
    __slots__ = ("task_id", "status")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    status: _types_pb2.TaskStatus
    def __init__(self, task_id: _Optional[str] = ..., status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ...) -> None: ...

class StatusReport(_message.Message):
    __slots__ = ("sequence", "updates")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    updates: _containers.RepeatedCompositeFieldContainer[TaskStatusUpdate]
    def __init__(self, sequence: _Optional[int] = ..., updates: _Optional[_Iterable[_Union[TaskStatusUpdate, _Mapping]]] = ...) -> None: ...

class TaskUsage(_message.Message):
    __slots__ = ("task_id", "nano_cpus", "memory_bytes")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NANO_CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    nano_cpus: int
    memory_bytes: int
    def __init__(self, task_id: _Optional[str] = ..., nano_cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class UsageReport(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[TaskUsage]
    def __init__(self, tasks: _Optional[_Iterable[_Union[TaskUsage, _Mapping]]] = ...) -> None: ...

class AgentMessage(_message.Message):
    __slots__ = ("hello", "heartbeat", "statuses", "description", "usage", "networks_applied")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_APPLIED_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    statuses: StatusReport
    description: _types_pb2.NodeDescription
    usage: UsageReport
    networks_applied: NetworksApplied
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., statuses: _Optional[_Union[StatusReport, _Mapping]] = ..., description: _Optional[_Union[_types_pb2.NodeDescription, _Mapping]] = ..., usage: _Optional[_Union[UsageReport, _Mapping]] = ..., networks_applied: _Optional[_Union[NetworksApplied, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "heartbeat_period_ns", "leaderless", "standby")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    LEADERLESS_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    heartbeat_period_ns: int
    leaderless: bool
    standby: bool
    def __init__(self, session_id: _Optional[str] = ..., heartbeat_period_ns: _Optional[int] = ..., leaderless: _Optional[bool] = ..., standby: _Optional[bool] = ...) -> None: ...

class NodeInfo(_message.Message):
    __slots__ = ("role", "managers", "heartbeat_period_ns", "manager_weights", "trust", "sampled_service_ids", "level")
    class ManagerWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    MANAGER_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_SERVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    role: _types_pb2.NodeRole
    managers: _containers.RepeatedCompositeFieldContainer[_types_pb2.Peer]
    heartbeat_period_ns: int
    manager_weights: _containers.ScalarMap[str, int]
    trust: Trust
    sampled_service_ids: _containers.RepeatedScalarFieldContainer[str]
    level: int
    def __init__(self, role: _Optional[_Union[_types_pb2.NodeRole, str]] = ..., managers: _Optional[_Iterable[_Union[_types_pb2.Peer, _Mapping]]] = ..., heartbeat_period_ns: _Optional[int] = ..., manager_weights: _Optional[_Mapping[str, int]] = ..., trust: _Optional[_Union[Trust, _Mapping]] = ..., sampled_service_ids: _Optional[_Iterable[str]] = ..., level: _Optional[int] = ...) -> None: ...

class Trust(_message.Message):
    __slots__ = ("roots_pem", "version", "issuer_digest", "renew_within_ns")
    ROOTS_PEM_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RENEW_WITHIN_NS_FIELD_NUMBER: _ClassVar[int]
    roots_pem: bytes
    version: int
    issuer_digest: bytes
    renew_within_ns: int
    def __init__(self, roots_pem: _Optional[bytes] = ..., version: _Optional[int] = ..., issuer_digest: _Optional[bytes] = ..., renew_within_ns: _Optional[int] = ...) -> None: ...

class Assignments(_message.Message):
    __slots__ = ("complete", "sequence", "tasks", "removed_task_ids", "index", "more", "secrets", "configs", "removed_data_ids", "networks")
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_DATA_IDS_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    sequence: int
    tasks: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Task]
    removed_task_ids: _containers.RepeatedScalarFieldContainer[str]
    index: int
    more: bool
    secrets: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Secret]
    configs: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Config]
    removed_data_ids: _containers.RepeatedScalarFieldContainer[str]
    networks: _containers.RepeatedCompositeFieldContainer[_overlay_pb2.OverlayChanges]
    def __init__(self, complete: _Optional[bool] = ..., sequence: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[_objects_pb2.Task, _Mapping]]] = ..., removed_task_ids: _Optional[_Iterable[str]] = ..., index: _Optional[int] = ..., more: _Optional[bool] = ..., secrets: _Optional[_Iterable[_Union[_objects_pb2.Secret, _Mapping]]] = ..., configs: _Optional[_Iterable[_Union[_objects_pb2.Config, _Mapping]]] = ..., removed_data_ids: _Optional[_Iterable[str]] = ..., networks: _Optional[_Iterable[_Union[_overlay_pb2.OverlayChanges, _Mapping]]] = ...) -> None: ...

class StatusAck(_message.Message):
    __slots__ = ("sequence", "leaderless")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LEADERLESS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    leaderless: bool
    def __init__(self, sequence: _Optional[int] = ..., leaderless: _Optional[bool] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("manager_id",)
    MANAGER_ID_FIELD_NUMBER: _ClassVar[int]
    manager_id: str
    def __init__(self, manager_id: _Optional[str] = ...) -> None: ...

class DispatcherMessage(_message.Message):
    __slots__ = ("welcome", "node_info", "assignments", "status_ack", "log_subscription", "move", "container_call")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    NODE_INFO_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_ACK_FIELD_NUMBER: _ClassVar[int]
    LOG_SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_CALL_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    node_info: NodeInfo
    assignments: Assignments
    status_ack: StatusAck
    log_subscription: _logs_pb2.LogSubscription
    move: Move
    container_call: _containers_pb2.ContainerCall
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., node_info: _Optional[_Union[NodeInfo, _Mapping]] = ..., assignments: _Optional[_Union[Assignments, _Mapping]] = ..., status_ack: _Optional[_Union[StatusAck, _Mapping]] = ..., log_subscription: _Optional[_Union[_logs_pb2.LogSubscription, _Mapping]] = ..., move: _Optional[_Union[Move, _Mapping]] = ..., container_call: _Optional[_Union[_containers_pb2.ContainerCall, _Mapping]] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("set", "removed")
    SET_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    set: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Attachment]
    removed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, set: _Optional[_Iterable[_Union[_objects_pb2.Attachment, _Mapping]]] = ..., removed: _Optional[_Iterable[str]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("attachments",)
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    attachments: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Attachment]
    def __init__(self, attachments: _Optional[_Iterable[_Union[_objects_pb2.Attachment, _Mapping]]] = ...) -> None: ...

class SessionState(_message.Message):
    __slots__ = ("node_id", "session_id", "connected", "addr", "description", "silent_ns", "incarnation")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SILENT_NS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    session_id: str
    connected: bool
    addr: str
    description: _types_pb2.NodeDescription
    silent_ns: int
    incarnation: int
    def __init__(self, node_id: _Optional[str] = ..., session_id: _Optional[str] = ..., connected: _Optional[bool] = ..., addr: _Optional[str] = ..., description: _Optional[_Union[_types_pb2.NodeDescription, _Mapping]] = ..., silent_ns: _Optional[int] = ..., incarnation: _Optional[int] = ...) -> None: ...

class ReportSessionsRequest(_message.Message):
    __slots__ = ("complete", "sessions", "usage", "networks_index", "networks_lag")
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_INDEX_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_LAG_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    sessions: _containers.RepeatedCompositeFieldContainer[SessionState]
    usage: _containers.RepeatedCompositeFieldContainer[NodeUsage]
    networks_index: int
    networks_lag: _containers.RepeatedCompositeFieldContainer[NodeLag]
    def __init__(self, complete: _Optional[bool] = ..., sessions: _Optional[_Iterable[_Union[SessionState, _Mapping]]] = ..., usage: _Optional[_Iterable[_Union[NodeUsage, _Mapping]]] = ..., networks_index: _Optional[int] = ..., networks_lag: _Optional[_Iterable[_Union[NodeLag, _Mapping]]] = ...) -> None: ...

class NodeLag(_message.Message):
    __slots__ = ("node_id", "index")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    index: int
    def __init__(self, node_id: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class NodeUsage(_message.Message):
    __slots__ = ("node_id", "tasks")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    tasks: _containers.RepeatedCompositeFieldContainer[TaskUsage]
    def __init__(self, node_id: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[TaskUsage, _Mapping]]] = ...) -> None: ...

class SessionOrder(_message.Message):
    __slots__ = ("node_id", "session_id", "move_to")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MOVE_TO_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    session_id: str
    move_to: str
    def __init__(self, node_id: _Optional[str] = ..., session_id: _Optional[str] = ..., move_to: _Optional[str] = ...) -> None: ...

class ReportSessionsResponse(_message.Message):
    __slots__ = ("orders",)
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[SessionOrder]
    def __init__(self, orders: _Optional[_Iterable[_Union[SessionOrder, _Mapping]]] = ...) -> None: ...

class ReportTaskStatusesRequest(_message.Message):
    __slots__ = ("nodes",)
    class NodeUpdates(_message.Message):
        __slots__ = ("node_id", "updates")
        NODE_ID_FIELD_NUMBER: _ClassVar[int]
        UPDATES_FIELD_NUMBER: _ClassVar[int]
        node_id: str
        updates: _containers.RepeatedCompositeFieldContainer[TaskStatusUpdate]
        def __init__(self, node_id: _Optional[str] = ..., updates: _Optional[_Iterable[_Union[TaskStatusUpdate, _Mapping]]] = ...) -> None: ...
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[ReportTaskStatusesRequest.NodeUpdates]
    def __init__(self, nodes: _Optional[_Iterable[_Union[ReportTaskStatusesRequest.NodeUpdates, _Mapping]]] = ...) -> None: ...

class ReportTaskStatusesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PassAttachRequest(_message.Message):
    __slots__ = ("node_id", "request")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    request: AttachRequest
    def __init__(self, node_id: _Optional[str] = ..., request: _Optional[_Union[AttachRequest, _Mapping]] = ...) -> None: ...
