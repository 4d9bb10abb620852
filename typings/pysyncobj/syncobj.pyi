from collections.abc import Callable, Iterable
from typing import Any

from .config import SyncObjConf
from .journal import Entry, Journal
from .node import Node
from .transport import Transport

class _RAFT_STATE:
    FOLLOWER: int
    CANDIDATE: int
    LEADER: int

monotonicTime: Callable[[], float]
createJournal: Callable[[str | None], Journal]

class SyncObj:
    # Private upstream: the hash check at start is what makes these names safe to use.
    _SyncObj__conf: SyncObjConf
    _SyncObj__selfNode: Node
    _SyncObj__otherNodes: set[Node]
    _SyncObj__readonlyNodes: set[Node]
    _SyncObj__connectedNodes: set[Node]
    _SyncObj__raftState: int
    _SyncObj__raftCurrentTerm: int
    _SyncObj__raftLeader: Node | None
    _SyncObj__raftElectionDeadline: float
    _SyncObj__transferInProgress: bool
    _SyncObj__raftLog: Journal
    _SyncObj__raftCommitIndex: int
    _SyncObj__raftLastApplied: int
    _SyncObj__raftNextIndex: dict[Node, int]
    _SyncObj__raftMatchIndex: dict[Node, int]
    _SyncObj__lastResponseTime: dict[Node, float]
    _SyncObj__leaderCommitIndex: int | None
    _SyncObj__noopIDx: int | None
    _SyncObj__newAppendEntriesTime: float
    _poller: Any
    def __init__(
        self,
        selfNode: Node,
        otherNodes: Iterable[Node],
        conf: SyncObjConf | None = None,
        consumers: None = None,
        nodeClass: type[Node] = ...,
        transport: Transport | None = None,
    ) -> None: ...
    def _onTick(self, timeToWait: float = 0.0) -> None: ...
    def _checkCommandsToApply(self) -> None: ...
    def _isLeader(self) -> bool: ...
    def _getLeader(self) -> Node | None: ...
    def _SyncObj__applyLogEntries(self) -> bool: ...
    def _SyncObj__generateRaftTimeout(self) -> float: ...
    def _SyncObj__getEntries(
        self, fromIDx: int | None, count: int | None = None, maxSizeBytes: int | None = None
    ) -> list[Entry]: ...
    def _SyncObj__onBecomeLeader(self) -> None: ...
    def _SyncObj__onMessageReceived(self, node: Node, message: Any) -> None: ...
    def _SyncObj__onNodeConnected(self, node: Node) -> None: ...
    def _SyncObj__onNodeDisconnected(self, node: Node) -> None: ...
    def _SyncObj__sendAppendEntries(self) -> None: ...
    def _SyncObj__setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None: ...
    def _SyncObj__setState(self, newState: int) -> None: ...
    def _SyncObj__tryLogCompaction(self) -> None: ...
