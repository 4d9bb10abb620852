import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from swarm.api.v1 import logs_pb2 as _logs_pb2
from swarm.api.v1 import plain_pb2 as _plain_pb2
from swarm.api.v1 import specs_pb2 as _specs_pb2
from swarm.api.v1 import system_pb2 as _system_pb2
from swarm.api.v1 import types_pb2 as _types_pb2
from swarm.api.v1 import volumes_pb2 as _volumes_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContainerCall(_message.Message):
    __slots__ = ("id", "manager")
    ID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    id: str
    manager: _types_pb2.Peer
    def __init__(self, id: _Optional[str] = ..., manager: _Optional[_Union[_types_pb2.Peer, _Mapping]] = ...) -> None: ...

class ExecOptions(_message.Message):
    __slots__ = ("command", "env", "working_dir", "user", "tty", "stdin", "privileged", "detach", "rows", "columns")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    TTY_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    command: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.RepeatedScalarFieldContainer[str]
    working_dir: str
    user: str
    tty: bool
    stdin: bool
    privileged: bool
    detach: bool
    rows: int
    columns: int
    def __init__(self, command: _Optional[_Iterable[str]] = ..., env: _Optional[_Iterable[str]] = ..., working_dir: _Optional[str] = ..., user: _Optional[str] = ..., tty: _Optional[bool] = ..., stdin: _Optional[bool] = ..., privileged: _Optional[bool] = ..., detach: _Optional[bool] = ..., rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class ListContainers(_message.Message):
    __slots__ = ("all", "refs", "plain", "size")
    ALL_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    PLAIN_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    all: bool
    refs: _containers.RepeatedScalarFieldContainer[str]
    plain: bool
    size: bool
    def __init__(self, all: _Optional[bool] = ..., refs: _Optional[_Iterable[str]] = ..., plain: _Optional[bool] = ..., size: _Optional[bool] = ...) -> None: ...

class InspectContainer(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: bool
    def __init__(self, size: _Optional[bool] = ...) -> None: ...

class ListProcesses(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SampleContainers(_message.Message):
    __slots__ = ("follow",)
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    follow: bool
    def __init__(self, follow: _Optional[bool] = ...) -> None: ...

class StopContainer(_message.Message):
    __slots__ = ("grace_ns", "signal")
    GRACE_NS_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    grace_ns: int
    signal: str
    def __init__(self, grace_ns: _Optional[int] = ..., signal: _Optional[str] = ...) -> None: ...

class KillContainer(_message.Message):
    __slots__ = ("signal",)
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    signal: str
    def __init__(self, signal: _Optional[str] = ...) -> None: ...

class PauseContainer(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnpauseContainer(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveContainer(_message.Message):
    __slots__ = ("force",)
    FORCE_FIELD_NUMBER: _ClassVar[int]
    force: bool
    def __init__(self, force: _Optional[bool] = ...) -> None: ...

class PruneContainers(_message.Message):
    __slots__ = ("labels", "ended_before_ns")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ENDED_BEFORE_NS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedScalarFieldContainer[str]
    ended_before_ns: int
    def __init__(self, labels: _Optional[_Iterable[str]] = ..., ended_before_ns: _Optional[int] = ...) -> None: ...

class WaitContainer(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CopyFromContainer(_message.Message):
    __slots__ = ("path", "follow_link")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_LINK_FIELD_NUMBER: _ClassVar[int]
    path: str
    follow_link: bool
    def __init__(self, path: _Optional[str] = ..., follow_link: _Optional[bool] = ...) -> None: ...

class CopyToContainer(_message.Message):
    __slots__ = ("path", "keep_owner")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KEEP_OWNER_FIELD_NUMBER: _ClassVar[int]
    path: str
    keep_owner: bool
    def __init__(self, path: _Optional[str] = ..., keep_owner: _Optional[bool] = ...) -> None: ...

class StatPath(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class ListChanges(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportContainer(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CommitContainer(_message.Message):
    __slots__ = ("reference", "author", "message", "instructions", "pause")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    reference: str
    author: str
    message: str
    instructions: _containers.RepeatedScalarFieldContainer[str]
    pause: bool
    def __init__(self, reference: _Optional[str] = ..., author: _Optional[str] = ..., message: _Optional[str] = ..., instructions: _Optional[_Iterable[str]] = ..., pause: _Optional[bool] = ...) -> None: ...

class ContainerRequest(_message.Message):
    __slots__ = ("container_id", "exec", "list", "inspect", "top", "stats", "stop", "kill", "pause", "unpause", "remove", "prune", "wait", "copy_from", "copy_to", "stat", "list_volumes", "create_volume", "remove_volume", "prune_volumes", "create", "start", "attach", "restart", "rename", "update", "logs", "disk", "collect_images", "connect", "disconnect", "events", "diff", "export", "commit", "controller_call", "attach_volume", "detach_volume")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    INSPECT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    UNPAUSE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    PRUNE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    COPY_FROM_FIELD_NUMBER: _ClassVar[int]
    COPY_TO_FIELD_NUMBER: _ClassVar[int]
    STAT_FIELD_NUMBER: _ClassVar[int]
    LIST_VOLUMES_FIELD_NUMBER: _ClassVar[int]
    CREATE_VOLUME_FIELD_NUMBER: _ClassVar[int]
    REMOVE_VOLUME_FIELD_NUMBER: _ClassVar[int]
    PRUNE_VOLUMES_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    RENAME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    COLLECT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_CALL_FIELD_NUMBER: _ClassVar[int]
    ATTACH_VOLUME_FIELD_NUMBER: _ClassVar[int]
    DETACH_VOLUME_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    exec: ExecOptions
    list: ListContainers
    inspect: InspectContainer
    top: ListProcesses
    stats: SampleContainers
    stop: StopContainer
    kill: KillContainer
    pause: PauseContainer
    unpause: UnpauseContainer
    remove: RemoveContainer
    prune: PruneContainers
    wait: WaitContainer
    copy_from: CopyFromContainer
    copy_to: CopyToContainer
    stat: StatPath
    list_volumes: _volumes_pb2.ListVolumes
    create_volume: _volumes_pb2.CreateVolume
    remove_volume: _volumes_pb2.RemoveVolume
    prune_volumes: _volumes_pb2.PruneVolumes
    create: _plain_pb2.CreateContainer
    start: _plain_pb2.StartContainer
    attach: _plain_pb2.AttachContainer
    restart: _plain_pb2.RestartContainer
    rename: _plain_pb2.RenameContainer
    update: _plain_pb2.UpdateContainer
    logs: _plain_pb2.ReadLogs
    disk: _system_pb2.MeasureDisk
    collect_images: _system_pb2.CollectImages
    connect: _plain_pb2.ConnectNetwork
    disconnect: _plain_pb2.DisconnectNetwork
    events: _plain_pb2.FollowEvents
    diff: ListChanges
    export: ExportContainer
    commit: CommitContainer
    controller_call: _volumes_pb2.ControllerCall
    attach_volume: _volumes_pb2.AttachVolume
    detach_volume: _volumes_pb2.DetachVolume
    def __init__(self, container_id: _Optional[str] = ..., exec: _Optional[_Union[ExecOptions, _Mapping]] = ..., list: _Optional[_Union[ListContainers, _Mapping]] = ..., inspect: _Optional[_Union[InspectContainer, _Mapping]] = ..., top: _Optional[_Union[ListProcesses, _Mapping]] = ..., stats: _Optional[_Union[SampleContainers, _Mapping]] = ..., stop: _Optional[_Union[StopContainer, _Mapping]] = ..., kill: _Optional[_Union[KillContainer, _Mapping]] = ..., pause: _Optional[_Union[PauseContainer, _Mapping]] = ..., unpause: _Optional[_Union[UnpauseContainer, _Mapping]] = ..., remove: _Optional[_Union[RemoveContainer, _Mapping]] = ..., prune: _Optional[_Union[PruneContainers, _Mapping]] = ..., wait: _Optional[_Union[WaitContainer, _Mapping]] = ..., copy_from: _Optional[_Union[CopyFromContainer, _Mapping]] = ..., copy_to: _Optional[_Union[CopyToContainer, _Mapping]] = ..., stat: _Optional[_Union[StatPath, _Mapping]] = ..., list_volumes: _Optional[_Union[_volumes_pb2.ListVolumes, _Mapping]] = ..., create_volume: _Optional[_Union[_volumes_pb2.CreateVolume, _Mapping]] = ..., remove_volume: _Optional[_Union[_volumes_pb2.RemoveVolume, _Mapping]] = ..., prune_volumes: _Optional[_Union[_volumes_pb2.PruneVolumes, _Mapping]] = ..., create: _Optional[_Union[_plain_pb2.CreateContainer, _Mapping]] = ..., start: _Optional[_Union[_plain_pb2.StartContainer, _Mapping]] = ..., attach: _Optional[_Union[_plain_pb2.AttachContainer, _Mapping]] = ..., restart: _Optional[_Union[_plain_pb2.RestartContainer, _Mapping]] = ..., rename: _Optional[_Union[_plain_pb2.RenameContainer, _Mapping]] = ..., update: _Optional[_Union[_plain_pb2.UpdateContainer, _Mapping]] = ..., logs: _Optional[_Union[_plain_pb2.ReadLogs, _Mapping]] = ..., disk: _Optional[_Union[_system_pb2.MeasureDisk, _Mapping]] = ..., collect_images: _Optional[_Union[_system_pb2.CollectImages, _Mapping]] = ..., connect: _Optional[_Union[_plain_pb2.ConnectNetwork, _Mapping]] = ..., disconnect: _Optional[_Union[_plain_pb2.DisconnectNetwork, _Mapping]] = ..., events: _Optional[_Union[_plain_pb2.FollowEvents, _Mapping]] = ..., diff: _Optional[_Union[ListChanges, _Mapping]] = ..., export: _Optional[_Union[ExportContainer, _Mapping]] = ..., commit: _Optional[_Union[CommitContainer, _Mapping]] = ..., controller_call: _Optional[_Union[_volumes_pb2.ControllerCall, _Mapping]] = ..., attach_volume: _Optional[_Union[_volumes_pb2.AttachVolume, _Mapping]] = ..., detach_volume: _Optional[_Union[_volumes_pb2.DetachVolume, _Mapping]] = ...) -> None: ...

class ContainerQuestion(_message.Message):
    __slots__ = ("node_ids", "request")
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    request: ContainerRequest
    def __init__(self, node_ids: _Optional[_Iterable[str]] = ..., request: _Optional[_Union[ContainerRequest, _Mapping]] = ...) -> None: ...

class TerminalSize(_message.Message):
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class ContainerInput(_message.Message):
    __slots__ = ("question", "data", "end", "resize", "signal", "detach")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    question: ContainerQuestion
    data: bytes
    end: bool
    resize: TerminalSize
    signal: str
    detach: bool
    def __init__(self, question: _Optional[_Union[ContainerQuestion, _Mapping]] = ..., data: _Optional[bytes] = ..., end: _Optional[bool] = ..., resize: _Optional[_Union[TerminalSize, _Mapping]] = ..., signal: _Optional[str] = ..., detach: _Optional[bool] = ...) -> None: ...

class OutputChunk(_message.Message):
    __slots__ = ("stream", "data", "timestamp", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STREAM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    stream: _logs_pb2.LogStream
    data: bytes
    timestamp: _timestamp_pb2.Timestamp
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, stream: _Optional[_Union[_logs_pb2.LogStream, str]] = ..., data: _Optional[bytes] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ContainerSummary(_message.Message):
    __slots__ = ("id", "name", "image", "command", "state", "exit_code", "error", "oom_killed", "created_at", "started_at", "finished_at", "pid", "task_id", "service_id", "service_name", "ports", "plain", "health", "restart", "restarts", "labels", "written_bytes", "total_bytes", "image_labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ImageLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    PLAIN_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_LABELS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    image: str
    command: _containers.RepeatedScalarFieldContainer[str]
    state: str
    exit_code: int
    error: str
    oom_killed: bool
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    pid: int
    task_id: str
    service_id: str
    service_name: str
    ports: _containers.RepeatedCompositeFieldContainer[_types_pb2.PortConfig]
    plain: bool
    health: _types_pb2.HealthStatus
    restart: _plain_pb2.PlainRestart
    restarts: int
    labels: _containers.ScalarMap[str, str]
    written_bytes: int
    total_bytes: int
    image_labels: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., image: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ..., exit_code: _Optional[int] = ..., error: _Optional[str] = ..., oom_killed: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pid: _Optional[int] = ..., task_id: _Optional[str] = ..., service_id: _Optional[str] = ..., service_name: _Optional[str] = ..., ports: _Optional[_Iterable[_Union[_types_pb2.PortConfig, _Mapping]]] = ..., plain: _Optional[bool] = ..., health: _Optional[_Union[_types_pb2.HealthStatus, _Mapping]] = ..., restart: _Optional[_Union[_plain_pb2.PlainRestart, _Mapping]] = ..., restarts: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., written_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., image_labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ContainerDetails(_message.Message):
    __slots__ = ("summary", "spec", "resources", "plain", "image", "warnings", "places")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    PLAIN_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    summary: ContainerSummary
    spec: _specs_pb2.ContainerSpec
    resources: _types_pb2.ResourceRequirements
    plain: _plain_pb2.PlainContainer
    image: ImageDefaults
    warnings: _containers.RepeatedScalarFieldContainer[str]
    places: ContainerPlaces
    def __init__(self, summary: _Optional[_Union[ContainerSummary, _Mapping]] = ..., spec: _Optional[_Union[_specs_pb2.ContainerSpec, _Mapping]] = ..., resources: _Optional[_Union[_types_pb2.ResourceRequirements, _Mapping]] = ..., plain: _Optional[_Union[_plain_pb2.PlainContainer, _Mapping]] = ..., image: _Optional[_Union[ImageDefaults, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., places: _Optional[_Union[ContainerPlaces, _Mapping]] = ...) -> None: ...

class ContainerPlaces(_message.Message):
    __slots__ = ("log", "resolv_conf", "hostname", "hosts", "storage_driver", "merged", "upper", "work", "network", "apparmor", "process_label", "mount_label", "masked_paths", "readonly_paths", "sources")
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LOG_FIELD_NUMBER: _ClassVar[int]
    RESOLV_CONF_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_DRIVER_FIELD_NUMBER: _ClassVar[int]
    MERGED_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    APPARMOR_FIELD_NUMBER: _ClassVar[int]
    PROCESS_LABEL_FIELD_NUMBER: _ClassVar[int]
    MOUNT_LABEL_FIELD_NUMBER: _ClassVar[int]
    MASKED_PATHS_FIELD_NUMBER: _ClassVar[int]
    READONLY_PATHS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    log: str
    resolv_conf: str
    hostname: str
    hosts: str
    storage_driver: str
    merged: str
    upper: str
    work: str
    network: str
    apparmor: str
    process_label: str
    mount_label: str
    masked_paths: _containers.RepeatedScalarFieldContainer[str]
    readonly_paths: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.ScalarMap[str, str]
    def __init__(self, log: _Optional[str] = ..., resolv_conf: _Optional[str] = ..., hostname: _Optional[str] = ..., hosts: _Optional[str] = ..., storage_driver: _Optional[str] = ..., merged: _Optional[str] = ..., upper: _Optional[str] = ..., work: _Optional[str] = ..., network: _Optional[str] = ..., apparmor: _Optional[str] = ..., process_label: _Optional[str] = ..., mount_label: _Optional[str] = ..., masked_paths: _Optional[_Iterable[str]] = ..., readonly_paths: _Optional[_Iterable[str]] = ..., sources: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ImageDefaults(_message.Message):
    __slots__ = ("entrypoint", "command", "env", "dir", "user", "stop_signal")
    ENTRYPOINT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    DIR_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    STOP_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    entrypoint: _containers.RepeatedScalarFieldContainer[str]
    command: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.RepeatedScalarFieldContainer[str]
    dir: str
    user: str
    stop_signal: str
    def __init__(self, entrypoint: _Optional[_Iterable[str]] = ..., command: _Optional[_Iterable[str]] = ..., env: _Optional[_Iterable[str]] = ..., dir: _Optional[str] = ..., user: _Optional[str] = ..., stop_signal: _Optional[str] = ...) -> None: ...

class ContainerProcess(_message.Message):
    __slots__ = ("pid", "parent_pid", "user", "cpu_ns", "started_at", "memory_bytes", "command")
    PID_FIELD_NUMBER: _ClassVar[int]
    PARENT_PID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    CPU_NS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    pid: int
    parent_pid: int
    user: str
    cpu_ns: int
    started_at: _timestamp_pb2.Timestamp
    memory_bytes: int
    command: str
    def __init__(self, pid: _Optional[int] = ..., parent_pid: _Optional[int] = ..., user: _Optional[str] = ..., cpu_ns: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., memory_bytes: _Optional[int] = ..., command: _Optional[str] = ...) -> None: ...

class ProcessList(_message.Message):
    __slots__ = ("processes",)
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    processes: _containers.RepeatedCompositeFieldContainer[ContainerProcess]
    def __init__(self, processes: _Optional[_Iterable[_Union[ContainerProcess, _Mapping]]] = ...) -> None: ...

class ContainerSample(_message.Message):
    __slots__ = ("container_id", "name", "at_ns", "cpu_usage_ns", "memory_bytes", "memory_limit_bytes", "pids", "network", "disks")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    CPU_USAGE_NS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PIDS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    name: str
    at_ns: int
    cpu_usage_ns: int
    memory_bytes: int
    memory_limit_bytes: int
    pids: int
    network: Transferred
    disks: Transferred
    def __init__(self, container_id: _Optional[str] = ..., name: _Optional[str] = ..., at_ns: _Optional[int] = ..., cpu_usage_ns: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ..., pids: _Optional[int] = ..., network: _Optional[_Union[Transferred, _Mapping]] = ..., disks: _Optional[_Union[Transferred, _Mapping]] = ...) -> None: ...

class Transferred(_message.Message):
    __slots__ = ("in_bytes", "out_bytes")
    IN_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    in_bytes: int
    out_bytes: int
    def __init__(self, in_bytes: _Optional[int] = ..., out_bytes: _Optional[int] = ...) -> None: ...

class SampleList(_message.Message):
    __slots__ = ("samples",)
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[ContainerSample]
    def __init__(self, samples: _Optional[_Iterable[_Union[ContainerSample, _Mapping]]] = ...) -> None: ...

class PathInfo(_message.Message):
    __slots__ = ("exists", "directory")
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    exists: bool
    directory: bool
    def __init__(self, exists: _Optional[bool] = ..., directory: _Optional[bool] = ...) -> None: ...

class PathChange(_message.Message):
    __slots__ = ("kind", "path")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_CHANGED: _ClassVar[PathChange.Kind]
        KIND_ADDED: _ClassVar[PathChange.Kind]
        KIND_DELETED: _ClassVar[PathChange.Kind]
    KIND_CHANGED: PathChange.Kind
    KIND_ADDED: PathChange.Kind
    KIND_DELETED: PathChange.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    kind: PathChange.Kind
    path: str
    def __init__(self, kind: _Optional[_Union[PathChange.Kind, str]] = ..., path: _Optional[str] = ...) -> None: ...

class PathChanges(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PathChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[PathChange, _Mapping]]] = ...) -> None: ...

class CommittedImage(_message.Message):
    __slots__ = ("digest", "base", "reference")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    digest: str
    base: str
    reference: str
    def __init__(self, digest: _Optional[str] = ..., base: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class ContainerError(_message.Message):
    __slots__ = ("kind", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ContainerOutput(_message.Message):
    __slots__ = ("node_id", "call_id", "chunk", "exit_code", "started", "container", "details", "processes", "samples", "path", "removed", "notice", "error", "done", "taken", "volume", "created", "disk", "freed_bytes", "controller_answer", "event", "changed", "committed", "warnings", "removed_bytes")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_ANSWER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    call_id: str
    chunk: OutputChunk
    exit_code: int
    started: bool
    container: ContainerSummary
    details: ContainerDetails
    processes: ProcessList
    samples: SampleList
    path: PathInfo
    removed: str
    notice: str
    error: ContainerError
    done: bool
    taken: int
    volume: _volumes_pb2.VolumeAnswer
    created: str
    disk: _system_pb2.DiskUsage
    freed_bytes: int
    controller_answer: bytes
    event: _plain_pb2.PlainEvent
    changed: PathChanges
    committed: CommittedImage
    warnings: _containers.RepeatedScalarFieldContainer[str]
    removed_bytes: int
    def __init__(self, node_id: _Optional[str] = ..., call_id: _Optional[str] = ..., chunk: _Optional[_Union[OutputChunk, _Mapping]] = ..., exit_code: _Optional[int] = ..., started: _Optional[bool] = ..., container: _Optional[_Union[ContainerSummary, _Mapping]] = ..., details: _Optional[_Union[ContainerDetails, _Mapping]] = ..., processes: _Optional[_Union[ProcessList, _Mapping]] = ..., samples: _Optional[_Union[SampleList, _Mapping]] = ..., path: _Optional[_Union[PathInfo, _Mapping]] = ..., removed: _Optional[str] = ..., notice: _Optional[str] = ..., error: _Optional[_Union[ContainerError, _Mapping]] = ..., done: _Optional[bool] = ..., taken: _Optional[int] = ..., volume: _Optional[_Union[_volumes_pb2.VolumeAnswer, _Mapping]] = ..., created: _Optional[str] = ..., disk: _Optional[_Union[_system_pb2.DiskUsage, _Mapping]] = ..., freed_bytes: _Optional[int] = ..., controller_answer: _Optional[bytes] = ..., event: _Optional[_Union[_plain_pb2.PlainEvent, _Mapping]] = ..., changed: _Optional[_Union[PathChanges, _Mapping]] = ..., committed: _Optional[_Union[CommittedImage, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., removed_bytes: _Optional[int] = ...) -> None: ...

class DeliverRequest(_message.Message):
    __slots__ = ("call", "node_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    call: ContainerCall
    node_id: str
    def __init__(self, call: _Optional[_Union[ContainerCall, _Mapping]] = ..., node_id: _Optional[str] = ...) -> None: ...

class DeliverResponse(_message.Message):
    __slots__ = ("delivered",)
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    delivered: bool
    def __init__(self, delivered: _Optional[bool] = ...) -> None: ...
