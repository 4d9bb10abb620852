"""Whatever strangers send is understood or refused; a few hundred inputs each, more by `make fuzz`."""

import json
import os
import random
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.unit.raft.test_fuzz import mutations

SECONDS = float(os.environ.get("SWARM_FUZZ_SECONDS", "0")) / (2 * len(TARGETS))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("sha256:" + "a" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_damage_and_nonsense_are_understood_or_refused(name: str) -> None:
    target, seeds = TARGETS[name]
    nonsense = st.binary(max_size=2000) | st.text(max_size=200).map(str.encode)

    @examples(60)
    @given(seed=st.sampled_from(seeds), damage=mutations(), other=nonsense)
    def check(seed: bytes, damage: Any, other: bytes) -> None:
        target(damage(seed))
        target(other)

    until = time.monotonic() + SECONDS
    check()
    while time.monotonic() < until:
        check()


def replaced(document: object, value: object, rng: random.Random) -> object:
    """A JSON document with one of its values, anywhere, replaced."""
    if isinstance(document, dict) and document and rng.random() < 0.85:
        key = rng.choice(sorted(document))
        return {**document, key: replaced(document[key], value, rng)}
    if isinstance(document, list) and document and rng.random() < 0.85:
        at = rng.randrange(len(document))
        return [*document[:at], replaced(document[at], value, rng), *document[at + 1 :]]
    return value


@pytest.mark.parametrize("name", ["manifest", "index", "configuration", "docker-config", "volume-plugin"])
def test_documents_with_anything_in_the_place_of_anything_are_understood_or_refused(name: str) -> None:
    target, seeds = TARGETS[name]

    @examples(100)
    @given(seed=st.sampled_from(seeds), value=JSON, place=st.integers(0, 2**32))
    def check(seed: bytes, value: object, place: int) -> None:
        target(json.dumps(replaced(json.loads(seed), value, random.Random(place))).encode())

    until = time.monotonic() + SECONDS
    check()
    while time.monotonic() < until:
        check()
