"""Is the installed pysyncobj the one whose private names we override?"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from swarm.errors import InvariantBroken

VERSION = "0.3.17"

# sha256 of the modules that the core overrides or relies on.
DIGESTS = {
    "config.py": "fbbc7ff9f18e4d15a7fd563376e42f5bd192956879d4b810b056d5248b955698",
    "journal.py": "9cf1eaf6acc704581a4cf7d3de330a404403913107adc91c929778b7e3f35edf",
    "node.py": "e4a3f027cd8291f558334bb9c977e952f6b6989e7e1fa1588d3005ef0b990e2c",
    "serializer.py": "4d39fde2f15000ad8f507ec229ebd4f6a86371b6f84d4dc1439a9cccd52857ee",
    "syncobj.py": "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4",
    "transport.py": "0c9d89f9c4781ec9772df8011d7975a1a4a1a5f541357e12eae85a813e92b50b",
}


@cache
def check_installed() -> None:
    """Raise InvariantBroken unless the installed pysyncobj is byte for byte the expected one."""
    spec = find_spec("pysyncobj")
    if spec is None or not spec.submodule_search_locations:
        raise InvariantBroken(f"pysyncobj is not installed; install pysyncobj=={VERSION}")
    check(Path(spec.submodule_search_locations[0]))


def check(folder: Path) -> None:
    """Raise InvariantBroken naming the first module in `folder` that is not that of the expected version."""
    for name, expected in DIGESTS.items():
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "nothing"
        if found != expected:
            raise InvariantBroken(
                f"{path} is not that of pysyncobj {VERSION} (sha256 {found[:16]} instead of "
                f"{expected[:16]}): consensus overrides its private parts and refuses any other; "
                f"install pysyncobj=={VERSION}"
            )
