import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_NEW: _ClassVar[TaskState]
    TASK_STATE_PENDING: _ClassVar[TaskState]
    TASK_STATE_ASSIGNED: _ClassVar[TaskState]
    TASK_STATE_ACCEPTED: _ClassVar[TaskState]
    TASK_STATE_PREPARING: _ClassVar[TaskState]
    TASK_STATE_READY: _ClassVar[TaskState]
    TASK_STATE_STARTING: _ClassVar[TaskState]
    TASK_STATE_RUNNING: _ClassVar[TaskState]
    TASK_STATE_COMPLETE: _ClassVar[TaskState]
    TASK_STATE_SHUTDOWN: _ClassVar[TaskState]
    TASK_STATE_FAILED: _ClassVar[TaskState]
    TASK_STATE_REJECTED: _ClassVar[TaskState]
    TASK_STATE_REMOVE: _ClassVar[TaskState]
    TASK_STATE_ORPHANED: _ClassVar[TaskState]

class NodeRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_ROLE_WORKER: _ClassVar[NodeRole]
    NODE_ROLE_MANAGER: _ClassVar[NodeRole]

class NodeAvailability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_AVAILABILITY_ACTIVE: _ClassVar[NodeAvailability]
    NODE_AVAILABILITY_PAUSE: _ClassVar[NodeAvailability]
    NODE_AVAILABILITY_DRAIN: _ClassVar[NodeAvailability]

class NodeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATE_UNKNOWN: _ClassVar[NodeState]
    NODE_STATE_DOWN: _ClassVar[NodeState]
    NODE_STATE_READY: _ClassVar[NodeState]
    NODE_STATE_DISCONNECTED: _ClassVar[NodeState]

class PlacementStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLACEMENT_STRATEGY_UNSPECIFIED: _ClassVar[PlacementStrategy]
    PLACEMENT_STRATEGY_SPREAD: _ClassVar[PlacementStrategy]
    PLACEMENT_STRATEGY_BINPACK: _ClassVar[PlacementStrategy]
    PLACEMENT_STRATEGY_LEAST_RESERVED: _ClassVar[PlacementStrategy]

class HealthState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_STATE_NONE: _ClassVar[HealthState]
    HEALTH_STATE_STARTING: _ClassVar[HealthState]
    HEALTH_STATE_HEALTHY: _ClassVar[HealthState]
    HEALTH_STATE_UNHEALTHY: _ClassVar[HealthState]
TASK_STATE_NEW: TaskState
TASK_STATE_PENDING: TaskState
TASK_STATE_ASSIGNED: TaskState
TASK_STATE_ACCEPTED: TaskState
TASK_STATE_PREPARING: TaskState
TASK_STATE_READY: TaskState
TASK_STATE_STARTING: TaskState
TASK_STATE_RUNNING: TaskState
TASK_STATE_COMPLETE: TaskState
TASK_STATE_SHUTDOWN: TaskState
TASK_STATE_FAILED: TaskState
TASK_STATE_REJECTED: TaskState
TASK_STATE_REMOVE: TaskState
TASK_STATE_ORPHANED: TaskState
NODE_ROLE_WORKER: NodeRole
NODE_ROLE_MANAGER: NodeRole
NODE_AVAILABILITY_ACTIVE: NodeAvailability
NODE_AVAILABILITY_PAUSE: NodeAvailability
NODE_AVAILABILITY_DRAIN: NodeAvailability
NODE_STATE_UNKNOWN: NodeState
NODE_STATE_DOWN: NodeState
NODE_STATE_READY: NodeState
NODE_STATE_DISCONNECTED: NodeState
PLACEMENT_STRATEGY_UNSPECIFIED: PlacementStrategy
PLACEMENT_STRATEGY_SPREAD: PlacementStrategy
PLACEMENT_STRATEGY_BINPACK: PlacementStrategy
PLACEMENT_STRATEGY_LEAST_RESERVED: PlacementStrategy
HEALTH_STATE_NONE: HealthState
HEALTH_STATE_STARTING: HealthState
HEALTH_STATE_HEALTHY: HealthState
HEALTH_STATE_UNHEALTHY: HealthState

class Version(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class Meta(_message.Message):
    __slots__ = ("version", "created_at", "updated_at")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    version: Version
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Annotations(_message.Message):
    __slots__ = ("name", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Platform(_message.Message):
    __slots__ = ("architecture", "os")
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    architecture: str
    os: str
    def __init__(self, architecture: _Optional[str] = ..., os: _Optional[str] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("nano_cpus", "memory_bytes", "generic")
    NANO_CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GENERIC_FIELD_NUMBER: _ClassVar[int]
    nano_cpus: int
    memory_bytes: int
    generic: _containers.RepeatedCompositeFieldContainer[GenericResource]
    def __init__(self, nano_cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., generic: _Optional[_Iterable[_Union[GenericResource, _Mapping]]] = ...) -> None: ...

class GenericResource(_message.Message):
    __slots__ = ("kind", "named", "count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    named: str
    count: int
    def __init__(self, kind: _Optional[str] = ..., named: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("cdi_name", "host_path", "container_path", "permissions")
    CDI_NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_PATH_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_PATH_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    cdi_name: str
    host_path: str
    container_path: str
    permissions: str
    def __init__(self, cdi_name: _Optional[str] = ..., host_path: _Optional[str] = ..., container_path: _Optional[str] = ..., permissions: _Optional[str] = ...) -> None: ...

class DeviceRequest(_message.Message):
    __slots__ = ("kind", "count", "all", "names")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    count: int
    all: bool
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[str] = ..., count: _Optional[int] = ..., all: _Optional[bool] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class NodeDevice(_message.Message):
    __slots__ = ("name", "parts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., parts: _Optional[_Iterable[str]] = ...) -> None: ...

class ResourceLimits(_message.Message):
    __slots__ = ("nano_cpus", "memory_bytes", "pids")
    NANO_CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PIDS_FIELD_NUMBER: _ClassVar[int]
    nano_cpus: int
    memory_bytes: int
    pids: int
    def __init__(self, nano_cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., pids: _Optional[int] = ...) -> None: ...

class ResourceRequirements(_message.Message):
    __slots__ = ("limits", "reservations", "cpu_shares", "cpu_quota_us", "cpu_period_us", "cpuset_cpus", "cpuset_mems", "memory_swap_bytes", "memory_swappiness", "blkio_weight", "block_limits")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    CPU_SHARES_FIELD_NUMBER: _ClassVar[int]
    CPU_QUOTA_US_FIELD_NUMBER: _ClassVar[int]
    CPU_PERIOD_US_FIELD_NUMBER: _ClassVar[int]
    CPUSET_CPUS_FIELD_NUMBER: _ClassVar[int]
    CPUSET_MEMS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SWAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SWAPPINESS_FIELD_NUMBER: _ClassVar[int]
    BLKIO_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: ResourceLimits
    reservations: Resources
    cpu_shares: int
    cpu_quota_us: int
    cpu_period_us: int
    cpuset_cpus: str
    cpuset_mems: str
    memory_swap_bytes: int
    memory_swappiness: int
    blkio_weight: int
    block_limits: _containers.RepeatedCompositeFieldContainer[BlockLimit]
    def __init__(self, limits: _Optional[_Union[ResourceLimits, _Mapping]] = ..., reservations: _Optional[_Union[Resources, _Mapping]] = ..., cpu_shares: _Optional[int] = ..., cpu_quota_us: _Optional[int] = ..., cpu_period_us: _Optional[int] = ..., cpuset_cpus: _Optional[str] = ..., cpuset_mems: _Optional[str] = ..., memory_swap_bytes: _Optional[int] = ..., memory_swappiness: _Optional[int] = ..., blkio_weight: _Optional[int] = ..., block_limits: _Optional[_Iterable[_Union[BlockLimit, _Mapping]]] = ...) -> None: ...

class BlockLimit(_message.Message):
    __slots__ = ("device", "weight", "read_bps", "write_bps", "read_iops", "write_iops")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    READ_BPS_FIELD_NUMBER: _ClassVar[int]
    WRITE_BPS_FIELD_NUMBER: _ClassVar[int]
    READ_IOPS_FIELD_NUMBER: _ClassVar[int]
    WRITE_IOPS_FIELD_NUMBER: _ClassVar[int]
    device: str
    weight: int
    read_bps: int
    write_bps: int
    read_iops: int
    write_iops: int
    def __init__(self, device: _Optional[str] = ..., weight: _Optional[int] = ..., read_bps: _Optional[int] = ..., write_bps: _Optional[int] = ..., read_iops: _Optional[int] = ..., write_iops: _Optional[int] = ...) -> None: ...

class Privileges(_message.Message):
    __slots__ = ("privileged", "no_new_privileges", "seccomp", "apparmor", "unmasked_paths", "selinux_disabled", "selinux")
    class Seccomp(_message.Message):
        __slots__ = ("mode", "profile")
        class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            MODE_DEFAULT: _ClassVar[Privileges.Seccomp.Mode]
            MODE_UNCONFINED: _ClassVar[Privileges.Seccomp.Mode]
            MODE_CUSTOM: _ClassVar[Privileges.Seccomp.Mode]
        MODE_DEFAULT: Privileges.Seccomp.Mode
        MODE_UNCONFINED: Privileges.Seccomp.Mode
        MODE_CUSTOM: Privileges.Seccomp.Mode
        MODE_FIELD_NUMBER: _ClassVar[int]
        PROFILE_FIELD_NUMBER: _ClassVar[int]
        mode: Privileges.Seccomp.Mode
        profile: bytes
        def __init__(self, mode: _Optional[_Union[Privileges.Seccomp.Mode, str]] = ..., profile: _Optional[bytes] = ...) -> None: ...
    class SELinuxLabel(_message.Message):
        __slots__ = ("user", "role", "type", "level", "nested")
        USER_FIELD_NUMBER: _ClassVar[int]
        ROLE_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        LEVEL_FIELD_NUMBER: _ClassVar[int]
        NESTED_FIELD_NUMBER: _ClassVar[int]
        user: str
        role: str
        type: str
        level: str
        nested: bool
        def __init__(self, user: _Optional[str] = ..., role: _Optional[str] = ..., type: _Optional[str] = ..., level: _Optional[str] = ..., nested: _Optional[bool] = ...) -> None: ...
    PRIVILEGED_FIELD_NUMBER: _ClassVar[int]
    NO_NEW_PRIVILEGES_FIELD_NUMBER: _ClassVar[int]
    SECCOMP_FIELD_NUMBER: _ClassVar[int]
    APPARMOR_FIELD_NUMBER: _ClassVar[int]
    UNMASKED_PATHS_FIELD_NUMBER: _ClassVar[int]
    SELINUX_DISABLED_FIELD_NUMBER: _ClassVar[int]
    SELINUX_FIELD_NUMBER: _ClassVar[int]
    privileged: bool
    no_new_privileges: bool
    seccomp: Privileges.Seccomp
    apparmor: str
    unmasked_paths: bool
    selinux_disabled: bool
    selinux: Privileges.SELinuxLabel
    def __init__(self, privileged: _Optional[bool] = ..., no_new_privileges: _Optional[bool] = ..., seccomp: _Optional[_Union[Privileges.Seccomp, _Mapping]] = ..., apparmor: _Optional[str] = ..., unmasked_paths: _Optional[bool] = ..., selinux_disabled: _Optional[bool] = ..., selinux: _Optional[_Union[Privileges.SELinuxLabel, _Mapping]] = ...) -> None: ...

class Namespaces(_message.Message):
    __slots__ = ("ipc", "pid", "uts", "userns", "cgroup")
    IPC_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    UTS_FIELD_NUMBER: _ClassVar[int]
    USERNS_FIELD_NUMBER: _ClassVar[int]
    CGROUP_FIELD_NUMBER: _ClassVar[int]
    ipc: str
    pid: str
    uts: str
    userns: str
    cgroup: str
    def __init__(self, ipc: _Optional[str] = ..., pid: _Optional[str] = ..., uts: _Optional[str] = ..., userns: _Optional[str] = ..., cgroup: _Optional[str] = ...) -> None: ...

class Ulimit(_message.Message):
    __slots__ = ("name", "soft", "hard")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    name: str
    soft: int
    hard: int
    def __init__(self, name: _Optional[str] = ..., soft: _Optional[int] = ..., hard: _Optional[int] = ...) -> None: ...

class HostEntry(_message.Message):
    __slots__ = ("name", "address")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class DnsConfig(_message.Message):
    __slots__ = ("nameservers", "search", "options")
    NAMESERVERS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    nameservers: _containers.RepeatedScalarFieldContainer[str]
    search: _containers.RepeatedScalarFieldContainer[str]
    options: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nameservers: _Optional[_Iterable[str]] = ..., search: _Optional[_Iterable[str]] = ..., options: _Optional[_Iterable[str]] = ...) -> None: ...

class RestartPolicy(_message.Message):
    __slots__ = ("condition", "delay_ns", "max_attempts", "window_ns", "max_delay_ns")
    class Condition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONDITION_ANY: _ClassVar[RestartPolicy.Condition]
        CONDITION_ON_FAILURE: _ClassVar[RestartPolicy.Condition]
        CONDITION_NONE: _ClassVar[RestartPolicy.Condition]
    CONDITION_ANY: RestartPolicy.Condition
    CONDITION_ON_FAILURE: RestartPolicy.Condition
    CONDITION_NONE: RestartPolicy.Condition
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_NS_FIELD_NUMBER: _ClassVar[int]
    MAX_DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    condition: RestartPolicy.Condition
    delay_ns: int
    max_attempts: int
    window_ns: int
    max_delay_ns: int
    def __init__(self, condition: _Optional[_Union[RestartPolicy.Condition, str]] = ..., delay_ns: _Optional[int] = ..., max_attempts: _Optional[int] = ..., window_ns: _Optional[int] = ..., max_delay_ns: _Optional[int] = ...) -> None: ...

class UpdateConfig(_message.Message):
    __slots__ = ("parallelism", "delay_ns", "failure_action", "monitor_ns", "max_failure_ratio", "order", "canary")
    class FailureAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FAILURE_ACTION_PAUSE: _ClassVar[UpdateConfig.FailureAction]
        FAILURE_ACTION_CONTINUE: _ClassVar[UpdateConfig.FailureAction]
        FAILURE_ACTION_ROLLBACK: _ClassVar[UpdateConfig.FailureAction]
    FAILURE_ACTION_PAUSE: UpdateConfig.FailureAction
    FAILURE_ACTION_CONTINUE: UpdateConfig.FailureAction
    FAILURE_ACTION_ROLLBACK: UpdateConfig.FailureAction
    class Order(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ORDER_STOP_FIRST: _ClassVar[UpdateConfig.Order]
        ORDER_START_FIRST: _ClassVar[UpdateConfig.Order]
    ORDER_STOP_FIRST: UpdateConfig.Order
    ORDER_START_FIRST: UpdateConfig.Order
    PARALLELISM_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_ACTION_FIELD_NUMBER: _ClassVar[int]
    MONITOR_NS_FIELD_NUMBER: _ClassVar[int]
    MAX_FAILURE_RATIO_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    parallelism: int
    delay_ns: int
    failure_action: UpdateConfig.FailureAction
    monitor_ns: int
    max_failure_ratio: float
    order: UpdateConfig.Order
    canary: int
    def __init__(self, parallelism: _Optional[int] = ..., delay_ns: _Optional[int] = ..., failure_action: _Optional[_Union[UpdateConfig.FailureAction, str]] = ..., monitor_ns: _Optional[int] = ..., max_failure_ratio: _Optional[float] = ..., order: _Optional[_Union[UpdateConfig.Order, str]] = ..., canary: _Optional[int] = ...) -> None: ...

class PlacementPreference(_message.Message):
    __slots__ = ("spread",)
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    spread: str
    def __init__(self, spread: _Optional[str] = ...) -> None: ...

class Affinity(_message.Message):
    __slots__ = ("expression", "weight")
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    expression: str
    weight: int
    def __init__(self, expression: _Optional[str] = ..., weight: _Optional[int] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("constraints", "preferences", "max_replicas_per_node", "platforms", "strategy", "affinities")
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    PREFERENCES_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    AFFINITIES_FIELD_NUMBER: _ClassVar[int]
    constraints: _containers.RepeatedScalarFieldContainer[str]
    preferences: _containers.RepeatedCompositeFieldContainer[PlacementPreference]
    max_replicas_per_node: int
    platforms: _containers.RepeatedCompositeFieldContainer[Platform]
    strategy: PlacementStrategy
    affinities: _containers.RepeatedCompositeFieldContainer[Affinity]
    def __init__(self, constraints: _Optional[_Iterable[str]] = ..., preferences: _Optional[_Iterable[_Union[PlacementPreference, _Mapping]]] = ..., max_replicas_per_node: _Optional[int] = ..., platforms: _Optional[_Iterable[_Union[Platform, _Mapping]]] = ..., strategy: _Optional[_Union[PlacementStrategy, str]] = ..., affinities: _Optional[_Iterable[_Union[Affinity, _Mapping]]] = ...) -> None: ...

class Mount(_message.Message):
    __slots__ = ("type", "source", "target", "read_only", "bind", "tmpfs", "volume", "image")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_BIND: _ClassVar[Mount.Type]
        TYPE_TMPFS: _ClassVar[Mount.Type]
        TYPE_VOLUME: _ClassVar[Mount.Type]
        TYPE_IMAGE: _ClassVar[Mount.Type]
        TYPE_CLUSTER: _ClassVar[Mount.Type]
    TYPE_BIND: Mount.Type
    TYPE_TMPFS: Mount.Type
    TYPE_VOLUME: Mount.Type
    TYPE_IMAGE: Mount.Type
    TYPE_CLUSTER: Mount.Type
    class BindOptions(_message.Message):
        __slots__ = ("propagation", "create_source", "selinux")
        PROPAGATION_FIELD_NUMBER: _ClassVar[int]
        CREATE_SOURCE_FIELD_NUMBER: _ClassVar[int]
        SELINUX_FIELD_NUMBER: _ClassVar[int]
        propagation: str
        create_source: bool
        selinux: str
        def __init__(self, propagation: _Optional[str] = ..., create_source: _Optional[bool] = ..., selinux: _Optional[str] = ...) -> None: ...
    class TmpfsOptions(_message.Message):
        __slots__ = ("size_bytes", "mode")
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        MODE_FIELD_NUMBER: _ClassVar[int]
        size_bytes: int
        mode: int
        def __init__(self, size_bytes: _Optional[int] = ..., mode: _Optional[int] = ...) -> None: ...
    class VolumeOptions(_message.Message):
        __slots__ = ("no_copy", "labels", "driver", "driver_options", "subpath")
        class LabelsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        class DriverOptionsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        NO_COPY_FIELD_NUMBER: _ClassVar[int]
        LABELS_FIELD_NUMBER: _ClassVar[int]
        DRIVER_FIELD_NUMBER: _ClassVar[int]
        DRIVER_OPTIONS_FIELD_NUMBER: _ClassVar[int]
        SUBPATH_FIELD_NUMBER: _ClassVar[int]
        no_copy: bool
        labels: _containers.ScalarMap[str, str]
        driver: str
        driver_options: _containers.ScalarMap[str, str]
        subpath: str
        def __init__(self, no_copy: _Optional[bool] = ..., labels: _Optional[_Mapping[str, str]] = ..., driver: _Optional[str] = ..., driver_options: _Optional[_Mapping[str, str]] = ..., subpath: _Optional[str] = ...) -> None: ...
    class ImageOptions(_message.Message):
        __slots__ = ("subpath",)
        SUBPATH_FIELD_NUMBER: _ClassVar[int]
        subpath: str
        def __init__(self, subpath: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    BIND_FIELD_NUMBER: _ClassVar[int]
    TMPFS_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    type: Mount.Type
    source: str
    target: str
    read_only: bool
    bind: Mount.BindOptions
    tmpfs: Mount.TmpfsOptions
    volume: Mount.VolumeOptions
    image: Mount.ImageOptions
    def __init__(self, type: _Optional[_Union[Mount.Type, str]] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., read_only: _Optional[bool] = ..., bind: _Optional[_Union[Mount.BindOptions, _Mapping]] = ..., tmpfs: _Optional[_Union[Mount.TmpfsOptions, _Mapping]] = ..., volume: _Optional[_Union[Mount.VolumeOptions, _Mapping]] = ..., image: _Optional[_Union[Mount.ImageOptions, _Mapping]] = ...) -> None: ...

class PortConfig(_message.Message):
    __slots__ = ("name", "protocol", "target_port", "published_port", "publish_mode", "host_ip")
    class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PROTOCOL_TCP: _ClassVar[PortConfig.Protocol]
        PROTOCOL_UDP: _ClassVar[PortConfig.Protocol]
        PROTOCOL_SCTP: _ClassVar[PortConfig.Protocol]
    PROTOCOL_TCP: PortConfig.Protocol
    PROTOCOL_UDP: PortConfig.Protocol
    PROTOCOL_SCTP: PortConfig.Protocol
    class PublishMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PUBLISH_MODE_INGRESS: _ClassVar[PortConfig.PublishMode]
        PUBLISH_MODE_HOST: _ClassVar[PortConfig.PublishMode]
    PUBLISH_MODE_INGRESS: PortConfig.PublishMode
    PUBLISH_MODE_HOST: PortConfig.PublishMode
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TARGET_PORT_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_PORT_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_MODE_FIELD_NUMBER: _ClassVar[int]
    HOST_IP_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol: PortConfig.Protocol
    target_port: int
    published_port: int
    publish_mode: PortConfig.PublishMode
    host_ip: str
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[_Union[PortConfig.Protocol, str]] = ..., target_port: _Optional[int] = ..., published_port: _Optional[int] = ..., publish_mode: _Optional[_Union[PortConfig.PublishMode, str]] = ..., host_ip: _Optional[str] = ...) -> None: ...

class EndpointSpec(_message.Message):
    __slots__ = ("ports", "mode", "affinity", "drain_ns", "routes", "snat")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_VIP: _ClassVar[EndpointSpec.Mode]
        MODE_DNSRR: _ClassVar[EndpointSpec.Mode]
    MODE_VIP: EndpointSpec.Mode
    MODE_DNSRR: EndpointSpec.Mode
    class Affinity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AFFINITY_NONE: _ClassVar[EndpointSpec.Affinity]
        AFFINITY_CLIENT_IP: _ClassVar[EndpointSpec.Affinity]
    AFFINITY_NONE: EndpointSpec.Affinity
    AFFINITY_CLIENT_IP: EndpointSpec.Affinity
    PORTS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    DRAIN_NS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    SNAT_FIELD_NUMBER: _ClassVar[int]
    ports: _containers.RepeatedCompositeFieldContainer[PortConfig]
    mode: EndpointSpec.Mode
    affinity: EndpointSpec.Affinity
    drain_ns: int
    routes: _containers.RepeatedCompositeFieldContainer[HttpRoute]
    snat: bool
    def __init__(self, ports: _Optional[_Iterable[_Union[PortConfig, _Mapping]]] = ..., mode: _Optional[_Union[EndpointSpec.Mode, str]] = ..., affinity: _Optional[_Union[EndpointSpec.Affinity, str]] = ..., drain_ns: _Optional[int] = ..., routes: _Optional[_Iterable[_Union[HttpRoute, _Mapping]]] = ..., snat: _Optional[bool] = ...) -> None: ...

class HttpRoute(_message.Message):
    __slots__ = ("host", "path", "port", "protocol", "https_only", "strip_prefix", "sticky", "timeout_ns", "max_body_bytes", "tls_secret_name", "tls_secret_id", "acme")
    class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PROTOCOL_HTTP: _ClassVar[HttpRoute.Protocol]
        PROTOCOL_H2C: _ClassVar[HttpRoute.Protocol]
    PROTOCOL_HTTP: HttpRoute.Protocol
    PROTOCOL_H2C: HttpRoute.Protocol
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HTTPS_ONLY_FIELD_NUMBER: _ClassVar[int]
    STRIP_PREFIX_FIELD_NUMBER: _ClassVar[int]
    STICKY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    MAX_BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    TLS_SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    TLS_SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    ACME_FIELD_NUMBER: _ClassVar[int]
    host: str
    path: str
    port: int
    protocol: HttpRoute.Protocol
    https_only: bool
    strip_prefix: bool
    sticky: bool
    timeout_ns: int
    max_body_bytes: int
    tls_secret_name: str
    tls_secret_id: str
    acme: bool
    def __init__(self, host: _Optional[str] = ..., path: _Optional[str] = ..., port: _Optional[int] = ..., protocol: _Optional[_Union[HttpRoute.Protocol, str]] = ..., https_only: _Optional[bool] = ..., strip_prefix: _Optional[bool] = ..., sticky: _Optional[bool] = ..., timeout_ns: _Optional[int] = ..., max_body_bytes: _Optional[int] = ..., tls_secret_name: _Optional[str] = ..., tls_secret_id: _Optional[str] = ..., acme: _Optional[bool] = ...) -> None: ...

class NetworkAttachment(_message.Message):
    __slots__ = ("network_id", "network_name", "aliases", "ipv4_address", "ipv6_address", "driver_options", "driver", "local", "encrypted", "mac_address")
    class DriverOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_NAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    IPV4_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IPV6_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DRIVER_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    MAC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    network_id: str
    network_name: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    ipv4_address: str
    ipv6_address: str
    driver_options: _containers.ScalarMap[str, str]
    driver: str
    local: LocalNetwork
    encrypted: bool
    mac_address: str
    def __init__(self, network_id: _Optional[str] = ..., network_name: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., ipv4_address: _Optional[str] = ..., ipv6_address: _Optional[str] = ..., driver_options: _Optional[_Mapping[str, str]] = ..., driver: _Optional[str] = ..., local: _Optional[_Union[LocalNetwork, _Mapping]] = ..., encrypted: _Optional[bool] = ..., mac_address: _Optional[str] = ...) -> None: ...

class LocalNetwork(_message.Message):
    __slots__ = ("subnets", "internal", "ipv6", "no_ipv4", "options")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_FIELD_NUMBER: _ClassVar[int]
    IPV6_FIELD_NUMBER: _ClassVar[int]
    NO_IPV4_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    subnets: _containers.RepeatedCompositeFieldContainer[LocalSubnet]
    internal: bool
    ipv6: bool
    no_ipv4: bool
    options: _containers.ScalarMap[str, str]
    def __init__(self, subnets: _Optional[_Iterable[_Union[LocalSubnet, _Mapping]]] = ..., internal: _Optional[bool] = ..., ipv6: _Optional[bool] = ..., no_ipv4: _Optional[bool] = ..., options: _Optional[_Mapping[str, str]] = ...) -> None: ...

class LocalSubnet(_message.Message):
    __slots__ = ("subnet", "range", "reserved", "gateway")
    SUBNET_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    subnet: str
    range: str
    reserved: _containers.RepeatedScalarFieldContainer[str]
    gateway: str
    def __init__(self, subnet: _Optional[str] = ..., range: _Optional[str] = ..., reserved: _Optional[_Iterable[str]] = ..., gateway: _Optional[str] = ...) -> None: ...

class NetworkAddresses(_message.Message):
    __slots__ = ("network_id", "addresses")
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    network_id: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, network_id: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class RegistryAuth(_message.Message):
    __slots__ = ("server", "username", "password", "identity_token")
    SERVER_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    server: str
    username: str
    password: str
    identity_token: str
    def __init__(self, server: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., identity_token: _Optional[str] = ...) -> None: ...

class ContainerStatus(_message.Message):
    __slots__ = ("container_id", "pid", "exit_code", "oom_killed", "health")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLED_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    pid: int
    exit_code: int
    oom_killed: bool
    health: HealthStatus
    def __init__(self, container_id: _Optional[str] = ..., pid: _Optional[int] = ..., exit_code: _Optional[int] = ..., oom_killed: _Optional[bool] = ..., health: _Optional[_Union[HealthStatus, _Mapping]] = ...) -> None: ...

class TaskStatus(_message.Message):
    __slots__ = ("timestamp", "state", "message", "err", "container", "ports", "address")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERR_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    timestamp: _timestamp_pb2.Timestamp
    state: TaskState
    message: str
    err: str
    container: ContainerStatus
    ports: _containers.RepeatedCompositeFieldContainer[PortConfig]
    address: str
    def __init__(self, timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ..., message: _Optional[str] = ..., err: _Optional[str] = ..., container: _Optional[_Union[ContainerStatus, _Mapping]] = ..., ports: _Optional[_Iterable[_Union[PortConfig, _Mapping]]] = ..., address: _Optional[str] = ...) -> None: ...

class UpdateStatus(_message.Message):
    __slots__ = ("state", "started_at", "completed_at", "message", "promoted", "resumed_at")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_NONE: _ClassVar[UpdateStatus.State]
        STATE_UPDATING: _ClassVar[UpdateStatus.State]
        STATE_PAUSED: _ClassVar[UpdateStatus.State]
        STATE_COMPLETED: _ClassVar[UpdateStatus.State]
        STATE_ROLLBACK_STARTED: _ClassVar[UpdateStatus.State]
        STATE_ROLLBACK_PAUSED: _ClassVar[UpdateStatus.State]
        STATE_ROLLBACK_COMPLETED: _ClassVar[UpdateStatus.State]
        STATE_CANARY: _ClassVar[UpdateStatus.State]
    STATE_NONE: UpdateStatus.State
    STATE_UPDATING: UpdateStatus.State
    STATE_PAUSED: UpdateStatus.State
    STATE_COMPLETED: UpdateStatus.State
    STATE_ROLLBACK_STARTED: UpdateStatus.State
    STATE_ROLLBACK_PAUSED: UpdateStatus.State
    STATE_ROLLBACK_COMPLETED: UpdateStatus.State
    STATE_CANARY: UpdateStatus.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_FIELD_NUMBER: _ClassVar[int]
    RESUMED_AT_FIELD_NUMBER: _ClassVar[int]
    state: UpdateStatus.State
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    message: str
    promoted: bool
    resumed_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[_Union[UpdateStatus.State, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ..., promoted: _Optional[bool] = ..., resumed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeDescription(_message.Message):
    __slots__ = ("hostname", "platform", "resources", "engine_version", "engine_labels", "runtime", "runtime_info", "tls_info", "devices", "conditions", "csi_plugins", "tunnel_key", "http_proxy", "compatibility", "warnings", "data_path_addr")
    class EngineLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RuntimeInfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_LABELS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_INFO_FIELD_NUMBER: _ClassVar[int]
    TLS_INFO_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    CSI_PLUGINS_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_KEY_FIELD_NUMBER: _ClassVar[int]
    HTTP_PROXY_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    DATA_PATH_ADDR_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    platform: Platform
    resources: Resources
    engine_version: str
    engine_labels: _containers.ScalarMap[str, str]
    runtime: str
    runtime_info: _containers.ScalarMap[str, str]
    tls_info: TlsInfo
    devices: _containers.RepeatedCompositeFieldContainer[NodeDevice]
    conditions: _containers.RepeatedCompositeFieldContainer[NodeCondition]
    csi_plugins: _containers.RepeatedCompositeFieldContainer[CsiPlugin]
    tunnel_key: bytes
    http_proxy: HttpProxyStatus
    compatibility: Compatibility
    warnings: _containers.RepeatedCompositeFieldContainer[NodeCondition]
    data_path_addr: str
    def __init__(self, hostname: _Optional[str] = ..., platform: _Optional[_Union[Platform, _Mapping]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., engine_version: _Optional[str] = ..., engine_labels: _Optional[_Mapping[str, str]] = ..., runtime: _Optional[str] = ..., runtime_info: _Optional[_Mapping[str, str]] = ..., tls_info: _Optional[_Union[TlsInfo, _Mapping]] = ..., devices: _Optional[_Iterable[_Union[NodeDevice, _Mapping]]] = ..., conditions: _Optional[_Iterable[_Union[NodeCondition, _Mapping]]] = ..., csi_plugins: _Optional[_Iterable[_Union[CsiPlugin, _Mapping]]] = ..., tunnel_key: _Optional[bytes] = ..., http_proxy: _Optional[_Union[HttpProxyStatus, _Mapping]] = ..., compatibility: _Optional[_Union[Compatibility, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[NodeCondition, _Mapping]]] = ..., data_path_addr: _Optional[str] = ...) -> None: ...

class Compatibility(_message.Message):
    __slots__ = ("version", "protocol_min", "protocol_max", "level_min", "level_max")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    LEVEL_MIN_FIELD_NUMBER: _ClassVar[int]
    LEVEL_MAX_FIELD_NUMBER: _ClassVar[int]
    version: str
    protocol_min: int
    protocol_max: int
    level_min: int
    level_max: int
    def __init__(self, version: _Optional[str] = ..., protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., level_min: _Optional[int] = ..., level_max: _Optional[int] = ...) -> None: ...

class HttpProxyStatus(_message.Message):
    __slots__ = ("running", "problem", "version", "http_port", "https_port", "proofs")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    HTTPS_PORT_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    running: bool
    problem: str
    version: str
    http_port: int
    https_port: int
    proofs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, running: _Optional[bool] = ..., problem: _Optional[str] = ..., version: _Optional[str] = ..., http_port: _Optional[int] = ..., https_port: _Optional[int] = ..., proofs: _Optional[_Iterable[str]] = ...) -> None: ...

class NodeCondition(_message.Message):
    __slots__ = ("type", "reason", "port", "node_ids")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    type: str
    reason: str
    port: int
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[str] = ..., reason: _Optional[str] = ..., port: _Optional[int] = ..., node_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CsiPlugin(_message.Message):
    __slots__ = ("name", "node_id", "topology", "has_controller", "controls", "creates", "publishes", "volumes_max")
    class TopologyEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    HAS_CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    CREATES_FIELD_NUMBER: _ClassVar[int]
    PUBLISHES_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_MAX_FIELD_NUMBER: _ClassVar[int]
    name: str
    node_id: str
    topology: _containers.ScalarMap[str, str]
    has_controller: bool
    controls: bool
    creates: bool
    publishes: bool
    volumes_max: int
    def __init__(self, name: _Optional[str] = ..., node_id: _Optional[str] = ..., topology: _Optional[_Mapping[str, str]] = ..., has_controller: _Optional[bool] = ..., controls: _Optional[bool] = ..., creates: _Optional[bool] = ..., publishes: _Optional[bool] = ..., volumes_max: _Optional[int] = ...) -> None: ...

class TlsInfo(_message.Message):
    __slots__ = ("trust_digest", "issuer_digest", "issuer_subject")
    TRUST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ISSUER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ISSUER_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    trust_digest: bytes
    issuer_digest: bytes
    issuer_subject: str
    def __init__(self, trust_digest: _Optional[bytes] = ..., issuer_digest: _Optional[bytes] = ..., issuer_subject: _Optional[str] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("state", "message", "addr", "awaited")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    AWAITED_FIELD_NUMBER: _ClassVar[int]
    state: NodeState
    message: str
    addr: str
    awaited: bool
    def __init__(self, state: _Optional[_Union[NodeState, str]] = ..., message: _Optional[str] = ..., addr: _Optional[str] = ..., awaited: _Optional[bool] = ...) -> None: ...

class ManagerStatus(_message.Message):
    __slots__ = ("raft_id", "addr", "leader", "reachability", "learner")
    class Reachability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REACHABILITY_UNKNOWN: _ClassVar[ManagerStatus.Reachability]
        REACHABILITY_UNREACHABLE: _ClassVar[ManagerStatus.Reachability]
        REACHABILITY_REACHABLE: _ClassVar[ManagerStatus.Reachability]
    REACHABILITY_UNKNOWN: ManagerStatus.Reachability
    REACHABILITY_UNREACHABLE: ManagerStatus.Reachability
    REACHABILITY_REACHABLE: ManagerStatus.Reachability
    RAFT_ID_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    REACHABILITY_FIELD_NUMBER: _ClassVar[int]
    LEARNER_FIELD_NUMBER: _ClassVar[int]
    raft_id: str
    addr: str
    leader: bool
    reachability: ManagerStatus.Reachability
    learner: bool
    def __init__(self, raft_id: _Optional[str] = ..., addr: _Optional[str] = ..., leader: _Optional[bool] = ..., reachability: _Optional[_Union[ManagerStatus.Reachability, str]] = ..., learner: _Optional[bool] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("node_id", "addr")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    addr: str
    def __init__(self, node_id: _Optional[str] = ..., addr: _Optional[str] = ...) -> None: ...

class HealthConfig(_message.Message):
    __slots__ = ("test", "interval_ns", "timeout_ns", "start_period_ns", "start_interval_ns", "retries", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_RESTART: _ClassVar[HealthConfig.Action]
        ACTION_NONE: _ClassVar[HealthConfig.Action]
    ACTION_RESTART: HealthConfig.Action
    ACTION_NONE: HealthConfig.Action
    TEST_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    START_PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    START_INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    test: _containers.RepeatedScalarFieldContainer[str]
    interval_ns: int
    timeout_ns: int
    start_period_ns: int
    start_interval_ns: int
    retries: int
    action: HealthConfig.Action
    def __init__(self, test: _Optional[_Iterable[str]] = ..., interval_ns: _Optional[int] = ..., timeout_ns: _Optional[int] = ..., start_period_ns: _Optional[int] = ..., start_interval_ns: _Optional[int] = ..., retries: _Optional[int] = ..., action: _Optional[_Union[HealthConfig.Action, str]] = ...) -> None: ...

class HealthProbe(_message.Message):
    __slots__ = ("started_at", "ended_at", "exit_code", "output")
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    exit_code: int
    output: str
    def __init__(self, started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exit_code: _Optional[int] = ..., output: _Optional[str] = ...) -> None: ...

class HealthStatus(_message.Message):
    __slots__ = ("state", "failing_streak", "log")
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILING_STREAK_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    state: HealthState
    failing_streak: int
    log: _containers.RepeatedCompositeFieldContainer[HealthProbe]
    def __init__(self, state: _Optional[_Union[HealthState, str]] = ..., failing_streak: _Optional[int] = ..., log: _Optional[_Iterable[_Union[HealthProbe, _Mapping]]] = ...) -> None: ...
