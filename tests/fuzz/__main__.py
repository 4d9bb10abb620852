"""Run targets under atheris, which looks for new ways through the code: `python -m tests.fuzz`."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all unless some are named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--within", help=argparse.SUPPRESS)  # the child that runs one of them
    given = parser.parse_args()
    if given.within:
        run(given.within, given.seconds)
    from tests.fuzz.targets import TARGETS

    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    failed = []
    for name in given.targets or TARGETS:
        print(f"fuzz: {name} for {given.seconds} s", flush=True)
        # A process each: the fuzzer ends its own.
        command = [sys.executable, "-m", "tests.fuzz", "--within", name, "--seconds", str(given.seconds)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"fuzz: found something in {', '.join(failed)}" if failed else "fuzz: nothing found")
    return 1 if failed else 0


def run(name: str, seconds: int) -> None:
    """Fuzz one target; what is found is written to fuzz-NAME-… in the current directory."""
    import atheris

    with atheris.instrument_imports(include=["swarm", "tests.fuzz.targets"]):
        from tests.fuzz.targets import TARGETS
    target, seeds = TARGETS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-rss_limit_mb=2000", "-timeout=20", "-print_final_stats=1"]
        options += [f"-artifact_prefix=fuzz-{name}-", "-max_len=20000", "-verbosity=0", corpus]
        atheris.Setup([sys.argv[0], *options], target)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
