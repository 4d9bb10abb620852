"""Generate swarm/api/v1 from proto/; with --check only say whether it is stale (exit 1)."""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "swarm" / "api" / "v1"


def generate(target: Path) -> None:
    """Run protoc into `target`, the folder that plays the repository root."""
    plugin = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")]
    sources = sorted((ROOT / "proto" / "swarm" / "api" / "v1").glob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
    command += [f"--plugin=protoc-gen-mypy_grpc={plugin}", *outputs, *map(str, sources)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stale(fresh: Path) -> list[str]:
    """Return the names that differ between the committed code and `fresh`."""
    names = {path.name for folder in (fresh, GENERATED) for path in folder.glob("*_pb2*.py*")}
    names = {name for name in names if not name.endswith(".pyc")}
    _, differing, missing = filecmp.cmpfiles(fresh, GENERATED, sorted(names), shallow=False)
    return sorted(differing + missing)


def main() -> int:
    """Return the exit code."""
    if "--check" not in sys.argv:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        names = stale(Path(folder) / "swarm" / "api" / "v1")
    for name in names:
        print(f"stale: swarm/api/v1/{name}; run `make proto`")  # noqa: T201 -- a command line tool
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
