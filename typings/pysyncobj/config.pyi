from typing import Any

class SyncObjConf:
    appendEntriesBatchSizeBytes: int
    appendEntriesPeriod: float
    leaderFallbackTimeout: float
    raftMaxTimeout: float
    raftMinTimeout: float
    def __init__(self, **kwargs: Any) -> None: ...
