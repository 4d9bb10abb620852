"""A data key that is the same in every run, for tests that are not about keys."""

from swarm.security.keyring import DataKey, KeySet

KEYS = KeySet((DataKey(b"\x17" * 32),))
