"""Is an SELinux label, as far as a service says it, well formed? What it means only its node knows."""

import re
from collections.abc import Iterator

from swarm.api.v1.types_pb2 import Privileges
from swarm.model.limits import shown

_NAME = re.compile(r"[A-Za-z0-9_.]+")
# A sensitivity or a range of them, each with categories, e.g. s0:c100,c200 or s0-s15:c0.c1023.
_SENSITIVITY = r"[A-Za-z0-9_]+(?::[A-Za-z0-9_.,]+)?"
_LEVEL = re.compile(rf"{_SENSITIVITY}(?:-{_SENSITIVITY})?")

RELABELS = frozenset({"z", "Z"})


def label_problems(privileges: Privileges) -> Iterator[str]:
    """Yield every problem of the SELinux label of a container."""
    given = privileges.selinux
    for part in ("user", "role", "type"):
        word = getattr(given, part)
        if word and not _NAME.fullmatch(word):
            yield f'"{shown(word)}" is not the name of an SELinux {part}'
    if given.level and not _LEVEL.fullmatch(given.level):
        yield f'"{shown(given.level)}" is not an SELinux level, as s0:c100,c200'
    if privileges.selinux_disabled and privileges.HasField("selinux"):
        yield "SELinux labels are both disabled and given"
