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

class RebalanceMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REBALANCE_MODE_OFF: _ClassVar[RebalanceMode]
    REBALANCE_MODE_AUTO: _ClassVar[RebalanceMode]
REBALANCE_MODE_OFF: RebalanceMode
REBALANCE_MODE_AUTO: RebalanceMode

class LogConfig(_message.Message):
    __slots__ = ("max_size_bytes", "max_files", "labels", "env", "tag")
    MAX_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_FILES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    max_size_bytes: int
    max_files: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.RepeatedScalarFieldContainer[str]
    tag: str
    def __init__(self, max_size_bytes: _Optional[int] = ..., max_files: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., env: _Optional[_Iterable[str]] = ..., tag: _Optional[str] = ...) -> None: ...

class ContainerSpec(_message.Message):
    __slots__ = ("image", "labels", "command", "args", "hostname", "env", "dir", "user", "mounts", "stop_signal", "stop_grace_period_ns", "read_only", "init", "tty", "registry_auth", "image_digest", "devices", "device_requests", "groups", "privileges", "capability_add", "capability_drop", "sysctls", "ulimits", "hosts", "dns", "shm_size_bytes", "oom_score_adj", "namespaces", "cgroup_parent", "annotations", "healthcheck", "secrets", "configs", "log", "sticky")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SysctlsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    DIR_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    MOUNTS_FIELD_NUMBER: _ClassVar[int]
    STOP_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    STOP_GRACE_PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    INIT_FIELD_NUMBER: _ClassVar[int]
    TTY_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_AUTH_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_ADD_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_DROP_FIELD_NUMBER: _ClassVar[int]
    SYSCTLS_FIELD_NUMBER: _ClassVar[int]
    ULIMITS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    DNS_FIELD_NUMBER: _ClassVar[int]
    SHM_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OOM_SCORE_ADJ_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    CGROUP_PARENT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    HEALTHCHECK_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CONFIGS_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    STICKY_FIELD_NUMBER: _ClassVar[int]
    image: str
    labels: _containers.ScalarMap[str, str]
    command: _containers.RepeatedScalarFieldContainer[str]
    args: _containers.RepeatedScalarFieldContainer[str]
    hostname: str
    env: _containers.RepeatedScalarFieldContainer[str]
    dir: str
    user: str
    mounts: _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]
    stop_signal: str
    stop_grace_period_ns: int
    read_only: bool
    init: bool
    tty: bool
    registry_auth: _types_pb2.RegistryAuth
    image_digest: str
    devices: _containers.RepeatedCompositeFieldContainer[_types_pb2.Device]
    device_requests: _containers.RepeatedCompositeFieldContainer[_types_pb2.DeviceRequest]
    groups: _containers.RepeatedScalarFieldContainer[str]
    privileges: _types_pb2.Privileges
    capability_add: _containers.RepeatedScalarFieldContainer[str]
    capability_drop: _containers.RepeatedScalarFieldContainer[str]
    sysctls: _containers.ScalarMap[str, str]
    ulimits: _containers.RepeatedCompositeFieldContainer[_types_pb2.Ulimit]
    hosts: _containers.RepeatedCompositeFieldContainer[_types_pb2.HostEntry]
    dns: _types_pb2.DnsConfig
    shm_size_bytes: int
    oom_score_adj: int
    namespaces: _types_pb2.Namespaces
    cgroup_parent: str
    annotations: _containers.ScalarMap[str, str]
    healthcheck: _types_pb2.HealthConfig
    secrets: _containers.RepeatedCompositeFieldContainer[SecretReference]
    configs: _containers.RepeatedCompositeFieldContainer[ConfigReference]
    log: LogConfig
    sticky: bool
    def __init__(self, image: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., command: _Optional[_Iterable[str]] = ..., args: _Optional[_Iterable[str]] = ..., hostname: _Optional[str] = ..., env: _Optional[_Iterable[str]] = ..., dir: _Optional[str] = ..., user: _Optional[str] = ..., mounts: _Optional[_Iterable[_Union[_types_pb2.Mount, _Mapping]]] = ..., stop_signal: _Optional[str] = ..., stop_grace_period_ns: _Optional[int] = ..., read_only: _Optional[bool] = ..., init: _Optional[bool] = ..., tty: _Optional[bool] = ..., registry_auth: _Optional[_Union[_types_pb2.RegistryAuth, _Mapping]] = ..., image_digest: _Optional[str] = ..., devices: _Optional[_Iterable[_Union[_types_pb2.Device, _Mapping]]] = ..., device_requests: _Optional[_Iterable[_Union[_types_pb2.DeviceRequest, _Mapping]]] = ..., groups: _Optional[_Iterable[str]] = ..., privileges: _Optional[_Union[_types_pb2.Privileges, _Mapping]] = ..., capability_add: _Optional[_Iterable[str]] = ..., capability_drop: _Optional[_Iterable[str]] = ..., sysctls: _Optional[_Mapping[str, str]] = ..., ulimits: _Optional[_Iterable[_Union[_types_pb2.Ulimit, _Mapping]]] = ..., hosts: _Optional[_Iterable[_Union[_types_pb2.HostEntry, _Mapping]]] = ..., dns: _Optional[_Union[_types_pb2.DnsConfig, _Mapping]] = ..., shm_size_bytes: _Optional[int] = ..., oom_score_adj: _Optional[int] = ..., namespaces: _Optional[_Union[_types_pb2.Namespaces, _Mapping]] = ..., cgroup_parent: _Optional[str] = ..., annotations: _Optional[_Mapping[str, str]] = ..., healthcheck: _Optional[_Union[_types_pb2.HealthConfig, _Mapping]] = ..., secrets: _Optional[_Iterable[_Union[SecretReference, _Mapping]]] = ..., configs: _Optional[_Iterable[_Union[ConfigReference, _Mapping]]] = ..., log: _Optional[_Union[LogConfig, _Mapping]] = ..., sticky: _Optional[bool] = ...) -> None: ...

class FileTarget(_message.Message):
    __slots__ = ("name", "uid", "gid", "mode")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: int
    gid: int
    mode: int
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., mode: _Optional[int] = ...) -> None: ...

class SecretReference(_message.Message):
    __slots__ = ("secret_id", "secret_name", "target", "version")
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    secret_name: str
    target: FileTarget
    version: int
    def __init__(self, secret_id: _Optional[str] = ..., secret_name: _Optional[str] = ..., target: _Optional[_Union[FileTarget, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class ConfigReference(_message.Message):
    __slots__ = ("config_id", "config_name", "target", "version")
    CONFIG_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    config_id: str
    config_name: str
    target: FileTarget
    version: int
    def __init__(self, config_id: _Optional[str] = ..., config_name: _Optional[str] = ..., target: _Optional[_Union[FileTarget, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class TaskSpec(_message.Message):
    __slots__ = ("container", "resources", "restart", "placement", "force_update", "priority", "preempt", "networks")
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    FORCE_UPDATE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PREEMPT_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    container: ContainerSpec
    resources: _types_pb2.ResourceRequirements
    restart: _types_pb2.RestartPolicy
    placement: _types_pb2.Placement
    force_update: int
    priority: int
    preempt: bool
    networks: _containers.RepeatedCompositeFieldContainer[_types_pb2.NetworkAttachment]
    def __init__(self, container: _Optional[_Union[ContainerSpec, _Mapping]] = ..., resources: _Optional[_Union[_types_pb2.ResourceRequirements, _Mapping]] = ..., restart: _Optional[_Union[_types_pb2.RestartPolicy, _Mapping]] = ..., placement: _Optional[_Union[_types_pb2.Placement, _Mapping]] = ..., force_update: _Optional[int] = ..., priority: _Optional[int] = ..., preempt: _Optional[bool] = ..., networks: _Optional[_Iterable[_Union[_types_pb2.NetworkAttachment, _Mapping]]] = ...) -> None: ...

class ReplicatedService(_message.Message):
    __slots__ = ("replicas",)
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    replicas: int
    def __init__(self, replicas: _Optional[int] = ...) -> None: ...

class GlobalService(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReplicatedJob(_message.Message):
    __slots__ = ("max_concurrent", "total_completions")
    MAX_CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    max_concurrent: int
    total_completions: int
    def __init__(self, max_concurrent: _Optional[int] = ..., total_completions: _Optional[int] = ...) -> None: ...

class GlobalJob(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CronJob(_message.Message):
    __slots__ = ("schedule", "timezone", "concurrency_policy", "history", "starting_deadline_ns", "max_concurrent", "total_completions")
    class ConcurrencyPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONCURRENCY_POLICY_ALLOW: _ClassVar[CronJob.ConcurrencyPolicy]
        CONCURRENCY_POLICY_FORBID: _ClassVar[CronJob.ConcurrencyPolicy]
        CONCURRENCY_POLICY_REPLACE: _ClassVar[CronJob.ConcurrencyPolicy]
    CONCURRENCY_POLICY_ALLOW: CronJob.ConcurrencyPolicy
    CONCURRENCY_POLICY_FORBID: CronJob.ConcurrencyPolicy
    CONCURRENCY_POLICY_REPLACE: CronJob.ConcurrencyPolicy
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_POLICY_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    STARTING_DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    schedule: str
    timezone: str
    concurrency_policy: CronJob.ConcurrencyPolicy
    history: int
    starting_deadline_ns: int
    max_concurrent: int
    total_completions: int
    def __init__(self, schedule: _Optional[str] = ..., timezone: _Optional[str] = ..., concurrency_policy: _Optional[_Union[CronJob.ConcurrencyPolicy, str]] = ..., history: _Optional[int] = ..., starting_deadline_ns: _Optional[int] = ..., max_concurrent: _Optional[int] = ..., total_completions: _Optional[int] = ...) -> None: ...

class ServiceSpec(_message.Message):
    __slots__ = ("annotations", "task", "replicated", "replicated_job", "global_job", "cron", "update", "rollback", "endpoint", "depends_on", "rebalance", "autoscale")
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REPLICATED_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_FIELD_NUMBER: _ClassVar[int]
    REPLICATED_JOB_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_JOB_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    AUTOSCALE_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    task: TaskSpec
    replicated: ReplicatedService
    replicated_job: ReplicatedJob
    global_job: GlobalJob
    cron: CronJob
    update: _types_pb2.UpdateConfig
    rollback: _types_pb2.UpdateConfig
    endpoint: _types_pb2.EndpointSpec
    depends_on: _containers.RepeatedCompositeFieldContainer[ServiceDependency]
    rebalance: RebalanceMode
    autoscale: Autoscale
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., task: _Optional[_Union[TaskSpec, _Mapping]] = ..., replicated: _Optional[_Union[ReplicatedService, _Mapping]] = ..., replicated_job: _Optional[_Union[ReplicatedJob, _Mapping]] = ..., global_job: _Optional[_Union[GlobalJob, _Mapping]] = ..., cron: _Optional[_Union[CronJob, _Mapping]] = ..., update: _Optional[_Union[_types_pb2.UpdateConfig, _Mapping]] = ..., rollback: _Optional[_Union[_types_pb2.UpdateConfig, _Mapping]] = ..., endpoint: _Optional[_Union[_types_pb2.EndpointSpec, _Mapping]] = ..., depends_on: _Optional[_Iterable[_Union[ServiceDependency, _Mapping]]] = ..., rebalance: _Optional[_Union[RebalanceMode, str]] = ..., autoscale: _Optional[_Union[Autoscale, _Mapping]] = ..., **kwargs) -> None: ...

class Autoscale(_message.Message):
    __slots__ = ("replicas_min", "replicas_max", "rules", "up_window_ns", "down_window_ns", "up_step", "down_step", "scaled_by_hand")
    REPLICAS_MIN_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_MAX_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    UP_WINDOW_NS_FIELD_NUMBER: _ClassVar[int]
    DOWN_WINDOW_NS_FIELD_NUMBER: _ClassVar[int]
    UP_STEP_FIELD_NUMBER: _ClassVar[int]
    DOWN_STEP_FIELD_NUMBER: _ClassVar[int]
    SCALED_BY_HAND_FIELD_NUMBER: _ClassVar[int]
    replicas_min: int
    replicas_max: int
    rules: _containers.RepeatedCompositeFieldContainer[ScaleRule]
    up_window_ns: int
    down_window_ns: int
    up_step: ScaleStep
    down_step: ScaleStep
    scaled_by_hand: int
    def __init__(self, replicas_min: _Optional[int] = ..., replicas_max: _Optional[int] = ..., rules: _Optional[_Iterable[_Union[ScaleRule, _Mapping]]] = ..., up_window_ns: _Optional[int] = ..., down_window_ns: _Optional[int] = ..., up_step: _Optional[_Union[ScaleStep, _Mapping]] = ..., down_step: _Optional[_Union[ScaleStep, _Mapping]] = ..., scaled_by_hand: _Optional[int] = ...) -> None: ...

class ScaleRule(_message.Message):
    __slots__ = ("source", "target", "url", "query")
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SOURCE_CPU: _ClassVar[ScaleRule.Source]
        SOURCE_MEMORY: _ClassVar[ScaleRule.Source]
        SOURCE_PROMETHEUS: _ClassVar[ScaleRule.Source]
    SOURCE_CPU: ScaleRule.Source
    SOURCE_MEMORY: ScaleRule.Source
    SOURCE_PROMETHEUS: ScaleRule.Source
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    source: ScaleRule.Source
    target: float
    url: str
    query: str
    def __init__(self, source: _Optional[_Union[ScaleRule.Source, str]] = ..., target: _Optional[float] = ..., url: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class ScaleStep(_message.Message):
    __slots__ = ("tasks", "percent")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    tasks: int
    percent: int
    def __init__(self, tasks: _Optional[int] = ..., percent: _Optional[int] = ...) -> None: ...

class ServiceDependency(_message.Message):
    __slots__ = ("service", "condition")
    class Condition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONDITION_STARTED: _ClassVar[ServiceDependency.Condition]
        CONDITION_HEALTHY: _ClassVar[ServiceDependency.Condition]
        CONDITION_COMPLETED: _ClassVar[ServiceDependency.Condition]
    CONDITION_STARTED: ServiceDependency.Condition
    CONDITION_HEALTHY: ServiceDependency.Condition
    CONDITION_COMPLETED: ServiceDependency.Condition
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    service: str
    condition: ServiceDependency.Condition
    def __init__(self, service: _Optional[str] = ..., condition: _Optional[_Union[ServiceDependency.Condition, str]] = ...) -> None: ...

class NodeSpec(_message.Message):
    __slots__ = ("annotations", "desired_role", "availability", "drain_timeout_ns", "drain_started_at")
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_ROLE_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    desired_role: _types_pb2.NodeRole
    availability: _types_pb2.NodeAvailability
    drain_timeout_ns: int
    drain_started_at: _timestamp_pb2.Timestamp
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., desired_role: _Optional[_Union[_types_pb2.NodeRole, str]] = ..., availability: _Optional[_Union[_types_pb2.NodeAvailability, str]] = ..., drain_timeout_ns: _Optional[int] = ..., drain_started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExternalCA(_message.Message):
    __slots__ = ("protocol", "url", "ca_cert_pem")
    class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PROTOCOL_CFSSL: _ClassVar[ExternalCA.Protocol]
    PROTOCOL_CFSSL: ExternalCA.Protocol
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    CA_CERT_PEM_FIELD_NUMBER: _ClassVar[int]
    protocol: ExternalCA.Protocol
    url: str
    ca_cert_pem: bytes
    def __init__(self, protocol: _Optional[_Union[ExternalCA.Protocol, str]] = ..., url: _Optional[str] = ..., ca_cert_pem: _Optional[bytes] = ...) -> None: ...

class ClusterSpec(_message.Message):
    __slots__ = ("annotations", "task_history_limit", "heartbeat_period_ns", "node_cert_expiry_ns", "snapshot_interval", "autolock", "keep_old_snapshots", "external_cas", "placement_strategy", "default_address_pools", "subnet_length", "data_path_port", "tunnel_port", "overlay_key_period_ns", "overlay_key_rotation", "http_ingress")
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    TASK_HISTORY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    NODE_CERT_EXPIRY_NS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    AUTOLOCK_FIELD_NUMBER: _ClassVar[int]
    KEEP_OLD_SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_CAS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ADDRESS_POOLS_FIELD_NUMBER: _ClassVar[int]
    SUBNET_LENGTH_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_PORT_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_PORT_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_KEY_PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_KEY_ROTATION_FIELD_NUMBER: _ClassVar[int]
    HTTP_INGRESS_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    task_history_limit: int
    heartbeat_period_ns: int
    node_cert_expiry_ns: int
    snapshot_interval: int
    autolock: bool
    keep_old_snapshots: int
    external_cas: _containers.RepeatedCompositeFieldContainer[ExternalCA]
    placement_strategy: _types_pb2.PlacementStrategy
    default_address_pools: _containers.RepeatedScalarFieldContainer[str]
    subnet_length: int
    data_path_port: int
    tunnel_port: int
    overlay_key_period_ns: int
    overlay_key_rotation: int
    http_ingress: HttpIngress
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., task_history_limit: _Optional[int] = ..., heartbeat_period_ns: _Optional[int] = ..., node_cert_expiry_ns: _Optional[int] = ..., snapshot_interval: _Optional[int] = ..., autolock: _Optional[bool] = ..., keep_old_snapshots: _Optional[int] = ..., external_cas: _Optional[_Iterable[_Union[ExternalCA, _Mapping]]] = ..., placement_strategy: _Optional[_Union[_types_pb2.PlacementStrategy, str]] = ..., default_address_pools: _Optional[_Iterable[str]] = ..., subnet_length: _Optional[int] = ..., data_path_port: _Optional[int] = ..., tunnel_port: _Optional[int] = ..., overlay_key_period_ns: _Optional[int] = ..., overlay_key_rotation: _Optional[int] = ..., http_ingress: _Optional[_Union[HttpIngress, _Mapping]] = ...) -> None: ...

class HttpIngress(_message.Message):
    __slots__ = ("http_port", "https_port", "constraints", "tls_secret_name", "tls_secret_id", "acme")
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    HTTPS_PORT_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    TLS_SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    TLS_SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    ACME_FIELD_NUMBER: _ClassVar[int]
    http_port: int
    https_port: int
    constraints: _containers.RepeatedScalarFieldContainer[str]
    tls_secret_name: str
    tls_secret_id: str
    acme: AcmeConfig
    def __init__(self, http_port: _Optional[int] = ..., https_port: _Optional[int] = ..., constraints: _Optional[_Iterable[str]] = ..., tls_secret_name: _Optional[str] = ..., tls_secret_id: _Optional[str] = ..., acme: _Optional[_Union[AcmeConfig, _Mapping]] = ...) -> None: ...

class AcmeConfig(_message.Message):
    __slots__ = ("email", "directory", "ca_pem", "terms_agreed")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    TERMS_AGREED_FIELD_NUMBER: _ClassVar[int]
    email: str
    directory: str
    ca_pem: bytes
    terms_agreed: bool
    def __init__(self, email: _Optional[str] = ..., directory: _Optional[str] = ..., ca_pem: _Optional[bytes] = ..., terms_agreed: _Optional[bool] = ...) -> None: ...

class SubnetSpec(_message.Message):
    __slots__ = ("subnet", "range", "gateway", "reserved")
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
    subnet: str
    range: str
    gateway: str
    reserved: _containers.ScalarMap[str, str]
    def __init__(self, subnet: _Optional[str] = ..., range: _Optional[str] = ..., gateway: _Optional[str] = ..., reserved: _Optional[_Mapping[str, str]] = ...) -> None: ...

class NetworkSpec(_message.Message):
    __slots__ = ("annotations", "driver", "driver_options", "internal", "attachable", "ipv6", "no_ipv4", "ingress", "subnets")
    class DriverOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    DRIVER_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_FIELD_NUMBER: _ClassVar[int]
    ATTACHABLE_FIELD_NUMBER: _ClassVar[int]
    IPV6_FIELD_NUMBER: _ClassVar[int]
    NO_IPV4_FIELD_NUMBER: _ClassVar[int]
    INGRESS_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    driver: str
    driver_options: _containers.ScalarMap[str, str]
    internal: bool
    attachable: bool
    ipv6: bool
    no_ipv4: bool
    ingress: bool
    subnets: _containers.RepeatedCompositeFieldContainer[SubnetSpec]
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., driver: _Optional[str] = ..., driver_options: _Optional[_Mapping[str, str]] = ..., internal: _Optional[bool] = ..., attachable: _Optional[bool] = ..., ipv6: _Optional[bool] = ..., no_ipv4: _Optional[bool] = ..., ingress: _Optional[bool] = ..., subnets: _Optional[_Iterable[_Union[SubnetSpec, _Mapping]]] = ...) -> None: ...

class SecretDriver(_message.Message):
    __slots__ = ("name", "options")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    options: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., options: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SecretSpec(_message.Message):
    __slots__ = ("annotations", "secret_data", "template_driver", "driver")
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    SECRET_DATA_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_DRIVER_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    secret_data: bytes
    template_driver: str
    driver: SecretDriver
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., secret_data: _Optional[bytes] = ..., template_driver: _Optional[str] = ..., driver: _Optional[_Union[SecretDriver, _Mapping]] = ...) -> None: ...

class ConfigSpec(_message.Message):
    __slots__ = ("annotations", "data", "template_driver")
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_DRIVER_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    data: bytes
    template_driver: str
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., data: _Optional[bytes] = ..., template_driver: _Optional[str] = ...) -> None: ...

class VolumeSpec(_message.Message):
    __slots__ = ("annotations", "driver", "options", "group", "scope", "sharing", "availability", "required_bytes", "limit_bytes", "secrets", "topology_required", "topology_preferred", "fs_type", "mount_flags", "block")
    class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SCOPE_SINGLE: _ClassVar[VolumeSpec.Scope]
        SCOPE_MULTI: _ClassVar[VolumeSpec.Scope]
    SCOPE_SINGLE: VolumeSpec.Scope
    SCOPE_MULTI: VolumeSpec.Scope
    class Sharing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SHARING_NONE: _ClassVar[VolumeSpec.Sharing]
        SHARING_READ_ONLY: _ClassVar[VolumeSpec.Sharing]
        SHARING_ONE_WRITER: _ClassVar[VolumeSpec.Sharing]
        SHARING_ALL: _ClassVar[VolumeSpec.Sharing]
    SHARING_NONE: VolumeSpec.Sharing
    SHARING_READ_ONLY: VolumeSpec.Sharing
    SHARING_ONE_WRITER: VolumeSpec.Sharing
    SHARING_ALL: VolumeSpec.Sharing
    class Availability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AVAILABILITY_ACTIVE: _ClassVar[VolumeSpec.Availability]
        AVAILABILITY_PAUSE: _ClassVar[VolumeSpec.Availability]
        AVAILABILITY_DRAIN: _ClassVar[VolumeSpec.Availability]
    AVAILABILITY_ACTIVE: VolumeSpec.Availability
    AVAILABILITY_PAUSE: VolumeSpec.Availability
    AVAILABILITY_DRAIN: VolumeSpec.Availability
    class Secret(_message.Message):
        __slots__ = ("key", "secret_id", "secret_name")
        KEY_FIELD_NUMBER: _ClassVar[int]
        SECRET_ID_FIELD_NUMBER: _ClassVar[int]
        SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
        key: str
        secret_id: str
        secret_name: str
        def __init__(self, key: _Optional[str] = ..., secret_id: _Optional[str] = ..., secret_name: _Optional[str] = ...) -> None: ...
    class Topology(_message.Message):
        __slots__ = ("segments",)
        class SegmentsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        SEGMENTS_FIELD_NUMBER: _ClassVar[int]
        segments: _containers.ScalarMap[str, str]
        def __init__(self, segments: _Optional[_Mapping[str, str]] = ...) -> None: ...
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_PREFERRED_FIELD_NUMBER: _ClassVar[int]
    FS_TYPE_FIELD_NUMBER: _ClassVar[int]
    MOUNT_FLAGS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    annotations: _types_pb2.Annotations
    driver: str
    options: _containers.ScalarMap[str, str]
    group: str
    scope: VolumeSpec.Scope
    sharing: VolumeSpec.Sharing
    availability: VolumeSpec.Availability
    required_bytes: int
    limit_bytes: int
    secrets: _containers.RepeatedCompositeFieldContainer[VolumeSpec.Secret]
    topology_required: _containers.RepeatedCompositeFieldContainer[VolumeSpec.Topology]
    topology_preferred: _containers.RepeatedCompositeFieldContainer[VolumeSpec.Topology]
    fs_type: str
    mount_flags: _containers.RepeatedScalarFieldContainer[str]
    block: bool
    def __init__(self, annotations: _Optional[_Union[_types_pb2.Annotations, _Mapping]] = ..., driver: _Optional[str] = ..., options: _Optional[_Mapping[str, str]] = ..., group: _Optional[str] = ..., scope: _Optional[_Union[VolumeSpec.Scope, str]] = ..., sharing: _Optional[_Union[VolumeSpec.Sharing, str]] = ..., availability: _Optional[_Union[VolumeSpec.Availability, str]] = ..., required_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., secrets: _Optional[_Iterable[_Union[VolumeSpec.Secret, _Mapping]]] = ..., topology_required: _Optional[_Iterable[_Union[VolumeSpec.Topology, _Mapping]]] = ..., topology_preferred: _Optional[_Iterable[_Union[VolumeSpec.Topology, _Mapping]]] = ..., fs_type: _Optional[str] = ..., mount_flags: _Optional[_Iterable[str]] = ..., block: _Optional[bool] = ...) -> None: ...
