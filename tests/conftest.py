"""What holds for every test."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from swarm.old_python import repair_timeouts

# The same examples every time, new ones with SWARM_EXPLORE=1; and none is wrong for being slow: the machine
# may be.
settings.register_profile(
    "swarm",
    deadline=None,
    derandomize=not os.environ.get("SWARM_EXPLORE"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("swarm")

# Jobs in the background of a script ignore Ctrl-C, and so would every program that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same with a hang-up under nohup; what is handled here is not inherited.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)

repair_timeouts()

_FAILURE_LINES = 12


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Note what failed, in short, in the file that tests/all.sh shows at its end, after all the logs."""
    notes = os.environ.get("SWARM_FAILURES")
    if not notes or "PYTEST_XDIST_WORKER" in os.environ:
        return
    with Path(notes).open("a") as file:
        for outcome in ("failed", "error"):
            for report in terminalreporter.getreports(outcome):
                said = [line for line in report.longreprtext.splitlines() if line.startswith((">", "E  "))]
                print(f"FAILED {report.nodeid}", *said[-_FAILURE_LINES:], sep="\n", file=file)
