"""What holds for every test."""

from hypothesis import HealthCheck, settings

from swarm.old_python import repair_timeouts

# No example is wrong for being slow: the machine may be.
settings.register_profile("swarm", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("swarm")

repair_timeouts()
