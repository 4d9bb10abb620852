"""May this version of swarm use the folder of a node? It holds what is of the level of its cluster.

The file is written as soon as the node hears of a level above the first, and read before anything else is:
an older swarmd must not touch what it does not understand.
"""

import json
from pathlib import Path

from swarm.errors import FailedPrecondition
from swarm.model.compatibility import LEVEL_MAX, swarm_version, unknown_level
from swarm.security.keyfiles import write_private

NAME = "level.json"


def read_level(state_dir: Path) -> int:
    """Return the level of what is in a node's folder; raises FailedPrecondition for a damaged file."""
    path = state_dir / NAME
    try:
        level = json.loads(path.read_bytes())["level"]
    except FileNotFoundError:
        return 1
    except (ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(f"{path} is damaged: {error}") from error
    if not isinstance(level, int):
        raise FailedPrecondition(f"{path} is damaged: {level!r} is no level")
    return level


def check_level(state_dir: Path) -> None:
    """Raise FailedPrecondition when only a newer version of swarm may use this folder."""
    refusal = unknown_level(read_level(state_dir), f"what is in {state_dir}")
    if refusal:
        raise FailedPrecondition(refusal)


def note_level(state_dir: Path, level: int) -> None:
    """Keep that the cluster has reached a level; raises OSError.

    A worker may be of a version that does not know the level: what it writes is of its own.
    """
    level = min(level, LEVEL_MAX)
    if level > read_level(state_dir):
        record = {"level": level, "version": swarm_version()}
        write_private(state_dir / NAME, json.dumps(record).encode() + b"\n")


def forget_level(state_dir: Path) -> None:
    """A node without a cluster has nothing of a level."""
    (state_dir / NAME).unlink(missing_ok=True)
