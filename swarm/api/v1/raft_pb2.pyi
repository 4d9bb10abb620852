from swarm.api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RaftMember(_message.Message):
    __slots__ = ("raft_id", "node_id", "addr", "learner")
    RAFT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    LEARNER_FIELD_NUMBER: _ClassVar[int]
    raft_id: str
    node_id: str
    addr: str
    learner: bool
    def __init__(self, raft_id: _Optional[str] = ..., node_id: _Optional[str] = ..., addr: _Optional[str] = ..., learner: _Optional[bool] = ...) -> None: ...

class RaftMembership(_message.Message):
    __slots__ = ("members", "removed")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[RaftMember]
    removed: _containers.RepeatedCompositeFieldContainer[RaftMember]
    def __init__(self, members: _Optional[_Iterable[_Union[RaftMember, _Mapping]]] = ..., removed: _Optional[_Iterable[_Union[RaftMember, _Mapping]]] = ...) -> None: ...

class RaftLogBase(_message.Message):
    __slots__ = ("cluster_id", "raft_id", "membership", "contacts")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    RAFT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    raft_id: str
    membership: RaftMembership
    contacts: _containers.RepeatedCompositeFieldContainer[RaftMember]
    def __init__(self, cluster_id: _Optional[str] = ..., raft_id: _Optional[str] = ..., membership: _Optional[_Union[RaftMembership, _Mapping]] = ..., contacts: _Optional[_Iterable[_Union[RaftMember, _Mapping]]] = ...) -> None: ...

class RaftSnapshotHeader(_message.Message):
    __slots__ = ("cluster_id", "index", "term", "membership")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    index: int
    term: int
    membership: RaftMembership
    def __init__(self, cluster_id: _Optional[str] = ..., index: _Optional[int] = ..., term: _Optional[int] = ..., membership: _Optional[_Union[RaftMembership, _Mapping]] = ...) -> None: ...

class MembershipChange(_message.Message):
    __slots__ = ("kind", "member")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_ADD: _ClassVar[MembershipChange.Kind]
        KIND_REMOVE: _ClassVar[MembershipChange.Kind]
        KIND_UPDATE_ADDR: _ClassVar[MembershipChange.Kind]
    KIND_ADD: MembershipChange.Kind
    KIND_REMOVE: MembershipChange.Kind
    KIND_UPDATE_ADDR: MembershipChange.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    kind: MembershipChange.Kind
    member: RaftMember
    def __init__(self, kind: _Optional[_Union[MembershipChange.Kind, str]] = ..., member: _Optional[_Union[RaftMember, _Mapping]] = ...) -> None: ...

class RaftEntry(_message.Message):
    __slots__ = ("index", "term", "data", "noop", "change")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    NOOP_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    data: bytes
    noop: bool
    change: MembershipChange
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., data: _Optional[bytes] = ..., noop: _Optional[bool] = ..., change: _Optional[_Union[MembershipChange, _Mapping]] = ...) -> None: ...

class AppendEntries(_message.Message):
    __slots__ = ("prev_index", "prev_term", "commit", "entries", "read_sequence")
    PREV_INDEX_FIELD_NUMBER: _ClassVar[int]
    PREV_TERM_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    READ_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    prev_index: int
    prev_term: int
    commit: int
    entries: _containers.RepeatedCompositeFieldContainer[RaftEntry]
    read_sequence: int
    def __init__(self, prev_index: _Optional[int] = ..., prev_term: _Optional[int] = ..., commit: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[RaftEntry, _Mapping]]] = ..., read_sequence: _Optional[int] = ...) -> None: ...

class AppendEntriesReply(_message.Message):
    __slots__ = ("next_index", "success", "reset", "read_sequence")
    NEXT_INDEX_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    READ_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    next_index: int
    success: bool
    reset: bool
    read_sequence: int
    def __init__(self, next_index: _Optional[int] = ..., success: _Optional[bool] = ..., reset: _Optional[bool] = ..., read_sequence: _Optional[int] = ...) -> None: ...

class Vote(_message.Message):
    __slots__ = ("last_index", "last_term", "pre", "nonce")
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_TERM_FIELD_NUMBER: _ClassVar[int]
    PRE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    last_index: int
    last_term: int
    pre: bool
    nonce: float
    def __init__(self, last_index: _Optional[int] = ..., last_term: _Optional[int] = ..., pre: _Optional[bool] = ..., nonce: _Optional[float] = ...) -> None: ...

class VoteReply(_message.Message):
    __slots__ = ("granted", "pre", "nonce")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    PRE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    pre: bool
    nonce: float
    def __init__(self, granted: _Optional[bool] = ..., pre: _Optional[bool] = ..., nonce: _Optional[float] = ...) -> None: ...

class SnapshotChunk(_message.Message):
    __slots__ = ("last_index", "last_term", "offset", "chunk", "done")
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_TERM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    last_index: int
    last_term: int
    offset: int
    chunk: bytes
    done: bool
    def __init__(self, last_index: _Optional[int] = ..., last_term: _Optional[int] = ..., offset: _Optional[int] = ..., chunk: _Optional[bytes] = ..., done: _Optional[bool] = ...) -> None: ...

class SnapshotChunkReply(_message.Message):
    __slots__ = ("last_index", "offset")
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    last_index: int
    offset: int
    def __init__(self, last_index: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class TimeoutNow(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RaftMessage(_message.Message):
    __slots__ = ("cluster_id", "sender", "recipient", "term", "append", "append_reply", "vote", "vote_reply", "snapshot", "snapshot_reply", "timeout_now")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    APPEND_REPLY_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    VOTE_REPLY_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_REPLY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NOW_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    sender: str
    recipient: str
    term: int
    append: AppendEntries
    append_reply: AppendEntriesReply
    vote: Vote
    vote_reply: VoteReply
    snapshot: SnapshotChunk
    snapshot_reply: SnapshotChunkReply
    timeout_now: TimeoutNow
    def __init__(self, cluster_id: _Optional[str] = ..., sender: _Optional[str] = ..., recipient: _Optional[str] = ..., term: _Optional[int] = ..., append: _Optional[_Union[AppendEntries, _Mapping]] = ..., append_reply: _Optional[_Union[AppendEntriesReply, _Mapping]] = ..., vote: _Optional[_Union[Vote, _Mapping]] = ..., vote_reply: _Optional[_Union[VoteReply, _Mapping]] = ..., snapshot: _Optional[_Union[SnapshotChunk, _Mapping]] = ..., snapshot_reply: _Optional[_Union[SnapshotChunkReply, _Mapping]] = ..., timeout_now: _Optional[_Union[TimeoutNow, _Mapping]] = ...) -> None: ...

class RaftBatch(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[RaftMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[RaftMessage, _Mapping]]] = ...) -> None: ...

class RaftStreamEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JoinRaftRequest(_message.Message):
    __slots__ = ("addr", "raft_id", "compatibility")
    ADDR_FIELD_NUMBER: _ClassVar[int]
    RAFT_ID_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    addr: str
    raft_id: str
    compatibility: _types_pb2.Compatibility
    def __init__(self, addr: _Optional[str] = ..., raft_id: _Optional[str] = ..., compatibility: _Optional[_Union[_types_pb2.Compatibility, _Mapping]] = ...) -> None: ...

class JoinRaftResponse(_message.Message):
    __slots__ = ("raft_id", "members")
    RAFT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    raft_id: str
    members: _containers.RepeatedCompositeFieldContainer[RaftMember]
    def __init__(self, raft_id: _Optional[str] = ..., members: _Optional[_Iterable[_Union[RaftMember, _Mapping]]] = ...) -> None: ...

class LeaveRaftRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaveRaftResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RaftHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RaftHealthResponse(_message.Message):
    __slots__ = ("member", "raft_id", "leader_addr", "removed")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    RAFT_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDR_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    member: bool
    raft_id: str
    leader_addr: str
    removed: bool
    def __init__(self, member: _Optional[bool] = ..., raft_id: _Optional[str] = ..., leader_addr: _Optional[str] = ..., removed: _Optional[bool] = ...) -> None: ...
