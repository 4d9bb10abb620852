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


FOUND = [
    ("logs", b"0201-09-09T01:46:40.000000001Z stdout F x\n"),  # a year of three digits was written as such
    ("logs", b"0001-01-01T00:00:00+23:59 stdout F x\n9999-12-31T23:59:59-23:59 stdout F x\n"),
    ("reference", b"\xa0" * 160 + b"\0\0"),  # escaped, an error was six times as long
    ("reference", b"docker.io/localhost/web"),  # without its registry it is another image
    ("reference", b"docker.io/library/library/web"),
    ("reference", b"docker.io/a.b/web"),
    ("docker-config", '{"auths":{"registry.example.com:5000":{"auth":"\x80"}}}'.encode()),
    ("users", b"w\0b\n\n"),
    ("users", b"9" * 5000 + b"\n\n"),
    ("users", b"web\nweb:x:" + b"9" * 5000 + b":1::/:\n"),
    ("volume-plugin", b"[" * 100_000),
    ("volume-plugin", b'{"Implements":7}'),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_is_understood_or_refused(name: str, data: bytes) -> None:
    TARGETS[name][0](data)
