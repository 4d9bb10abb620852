"""What a node knows of its cluster without asking anybody: one small file, replaced as a whole.

The node is a member of a cluster exactly when this file exists: it is written last when joining, and removed
first when leaving. Everything else found without it is the leftover of an interrupted join or leave.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarm.api.v1.types_pb2 import Peer
from swarm.errors import FailedPrecondition
from swarm.security.keyfiles import sync_directory, write_private

FORMAT = 1


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node's place in its cluster; addresses are HOST:PORT, `managers` are (node id, address).

    `advertise_setting` and `listen_setting` are what the settings came to at the last start: a setting that
    differs from it was changed since, and counts more than what was chosen when joining. `data_path` is the
    address or interface that was chosen for the data of containers, `data_path_setting` what the settings
    said of it.
    """

    node_id: str
    cluster_id: str
    addr: str  # where others reach this node
    listen_addr: str
    managers: tuple[tuple[str, str], ...] = ()
    advertise_setting: str = ""
    listen_setting: str = ""
    moved: bool = False  # `addr` was changed here, and the other managers have not confirmed it yet
    data_path: str = ""
    data_path_addr: str = ""  # what `data_path` came to, without a port; empty: none of its own
    data_path_setting: str = ""

    @property
    def peers(self) -> list[Peer]:
        """The managers as messages."""
        return [Peer(node_id=node_id, addr=addr) for node_id, addr in self.managers]


def managers_of(peers: Iterable[Peer]) -> tuple[tuple[str, str], ...]:
    """Return peers in the form and order that `NodeState` keeps."""
    return tuple(sorted((peer.node_id, peer.addr) for peer in peers if peer.addr))


def save_state(path: Path, state: NodeState) -> None:
    """Write the state durably."""
    record = {
        "format": FORMAT,
        "node_id": state.node_id,
        "cluster_id": state.cluster_id,
        "addr": state.addr,
        "listen_addr": state.listen_addr,
        "advertise_setting": state.advertise_setting,
        "listen_setting": state.listen_setting,
        "moved": state.moved,
        "data_path": state.data_path,
        "data_path_addr": state.data_path_addr,
        "data_path_setting": state.data_path_setting,
        "managers": [{"node_id": node_id, "addr": addr} for node_id, addr in state.managers],
    }
    write_private(path, json.dumps(record, indent=1).encode() + b"\n")


def load_state(path: Path) -> NodeState | None:
    """Return the saved state, None when the node is in no cluster; raises FailedPrecondition if damaged."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        record = json.loads(text)
        if record["format"] != FORMAT:
            raise FailedPrecondition(f"{path} was written by another version of swarm")
        return _parse(record)
    except (ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(f"{path} is damaged: {error}") from error


def _parse(record: Mapping[str, Any]) -> NodeState:
    return NodeState(
        node_id=str(record["node_id"]),
        cluster_id=str(record["cluster_id"]),
        addr=str(record["addr"]),
        listen_addr=str(record["listen_addr"]),
        managers=tuple((str(item["node_id"]), str(item["addr"])) for item in record["managers"]),
        advertise_setting=str(record.get("advertise_setting", "")),
        listen_setting=str(record.get("listen_setting", "")),
        moved=bool(record.get("moved", False)),
        data_path=str(record.get("data_path", "")),
        data_path_addr=str(record.get("data_path_addr", "")),
        data_path_setting=str(record.get("data_path_setting", "")),
    )


def forget_state(path: Path) -> None:
    """Remove the state durably; nothing happens when there is none."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
