"""Names for services that were given none."""

import secrets

ADJECTIVES = (
    "amber",
    "brave",
    "calm",
    "clever",
    "eager",
    "gentle",
    "jolly",
    "keen",
    "nimble",
    "quiet",
    "swift",
    "wise",
)
ANIMALS = (
    "badger",
    "beaver",
    "crane",
    "falcon",
    "finch",
    "heron",
    "lark",
    "lynx",
    "otter",
    "owl",
    "raven",
    "wren",
)
TAIL = "abcdefghijkmnpqrstuvwxyz23456789"  # no letters that look like digits


def made_up_name() -> str:
    """Return a name such as `calm-otter-k3xq`."""
    tail = "".join(secrets.choice(TAIL) for _ in range(4))
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}-{tail}"
