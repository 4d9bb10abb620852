"""How long do managers hear nothing of an agent while packets are lost, and which agents are declared dead?

One agent for 30 s is one window; the answer is how the longest silences of windows are spread.
Needs root. `python -m bench.sessions.packet_loss --agents 60 --seconds 300`
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.sessions.lab import measure

LIMITS_S = (2.0, 3.0, 4.0, 5.0, 6.0, 7.5)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=60)
    parser.add_argument("--managers", type=int, default=3)
    parser.add_argument("--loss", type=int, default=30, help="percent, in each direction")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--log", type=Path, help="file for the log of both sides")
    given = parser.parse_args(words)
    seen = measure(given.managers, given.agents, given.seconds, given.loss, given.log)
    count = len(seen.windows)
    print(f"{count} windows, median silence {seen.windows[count // 2]} s, longest {seen.windows[-5:]} s")
    for limit_s in LIMITS_S:
        over = sum(one >= limit_s for one in seen.windows)
        print(f"  silent for {limit_s:g} s or more: {over} ({100 * over / count:.2f} %)")
    print(f"declared down: {seen.down}; sessions {seen.sessions}; {seen.managers_cpu:.0%} of a core")


if __name__ == "__main__":
    main()
