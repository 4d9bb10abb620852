"""What do a thousand idle agents cost the managers? Needs root. `python -m bench.sessions.many_agents`"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.sessions.lab import measure


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--managers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--log", type=Path, help="file for the log of both sides")
    given = parser.parse_args(words)
    seen = measure(given.managers, given.agents, given.seconds, 0, given.log)
    each = seen.managers_cpu / given.managers
    print(f"{given.agents} agents, heartbeat period {seen.period_s:g} s, sessions {seen.sessions}")
    print(f"managers: {seen.managers_cpu:.1%} of a core in all, {each:.1%} each, {seen.managers_mb:.0f} MB")
    print(f"agents: {seen.agents_cpu:.1%} of a core in all")
    print(f"declared down: {seen.down}; longest silence {max(seen.windows, default=0.0):.1f} s")


if __name__ == "__main__":
    main()
