"""What holds for every test."""

from swarm.old_python import repair_timeouts

repair_timeouts()
