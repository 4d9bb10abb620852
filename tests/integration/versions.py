"""Other versions of swarm, made of this one: the same program with other numbers in front of it."""

import re
import shutil
from pathlib import Path

from tests.integration.swarmd import ROOT

CONSTANTS = "swarm/model/compatibility.py"


def make_version(folder: Path, version: str, **constants: int) -> Path:
    """Return a tree with another version of swarm; programs that are run in it are that one."""
    shutil.copytree(ROOT / "swarm", folder / "swarm")  # with what is compiled: it counts by time and size
    info = folder / f"swarm-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: swarm\nVersion: {version}\n{_needs()}")
    path = folder / CONSTANTS
    text = path.read_text()
    for name, number in constants.items():
        text, found = re.subn(rf"^{name} = \d+$", f"{name} = {number}", text, flags=re.MULTILINE)
        assert found == 1, name
    path.write_text(text)
    return folder


def _needs() -> str:
    from importlib.metadata import requires

    return "".join(f"Requires-Dist: {one}\n" for one in requires("swarm") or ())
