"""What holds for every test."""

import os
import signal

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
