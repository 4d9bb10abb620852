"""Whatever is called honoured has an effect; and whatever a key says, it is understood or refused."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from swarm.compose.services import Stack, read_stack
from swarm.compose.support import Status, rule_for, schema_keys
from swarm.errors import SwarmError
from tests.unit.compose.files import Files, project
from tests.unit.compose.samples import FILES, VARIABLES, Path, documents, having, key_of, places, without

# What may be said, and is what happens without being said.
DEFAULTS = {
    "name",  # that of the command line counts
    "networks.*.ipam.driver",  # `default` is the only one
    "services.*.gpus.capabilities",  # of all that a GPU has
}
NONSENSE = [
    None,
    "",
    "x y",
    "²",
    "a\0b",
    -1,
    2**63,
    "9" * 5000,
    "9999999999h",
    "99999999999t",
    "nan",
    [],
    {},
]
PLACE = re.compile(r"(c0\.yaml|/srv/shop/\S+|sub/\S+):\d+(:\d+)?: ")


def read(document: Any) -> Stack:
    """Return the stack of a document."""
    files = Files()
    for name, text in FILES.items():
        files.add(name, text)
    files.add("sub/more.env", "FROM_FILE=2\n")
    text = yaml.dump(document, Dumper=yaml.CSafeDumper)
    loaded = project(text, files=files, variables=VARIABLES)
    return read_stack(loaded, "shop", files.read, files.read_data)


def meant(document: Any) -> object:
    """Return what a document asks for, or that it is refused."""
    try:
        found = read(document)
    except SwarmError:
        return None
    return found.services, found.networks, found.secrets, found.configs, found.builds, len(found.warnings)


def refusal(document: Any) -> str:
    """Return why a document is refused, empty when it is not."""
    try:
        read(document)
    except SwarmError as problem:
        return str(problem)
    return ""


def with_new_keys() -> Iterator[tuple[Any, Path, str]]:
    """Yield documents with the places whose key no document before had."""
    known: set[tuple[str, type]] = set()
    for document in documents():
        for path in places(document):
            value = document
            for step in path:
                value = value[step]
            sign = (key_of(path), type(value))
            if sign not in known:
                known.add(sign)
                yield document, path, sign[0]


def test_every_key_that_is_honoured_changes_what_is_deployed() -> None:
    effects: dict[str, bool] = defaultdict(bool)
    for document in documents():
        before = meant(document)
        assert before is not None, document
        for path in places(document):
            key = key_of(path)
            if not effects[key]:
                effects[key] = meant(without(document, path)) != before
    honoured = {
        name
        for key in schema_keys()
        if (name := ".".join(key)) and (rule := rule_for(key)) and rule.status is Status.HONOURED
    }
    # Names that people choose stand under the key above them.
    found = {key for key, has_effect in effects.items() if has_effect}
    silent = {key for key in honoured - DEFAULTS - found if not (key.endswith(".*") and key[:-2] in found)}
    assert silent == set()


@pytest.mark.parametrize("nonsense", NONSENSE, ids=[repr(one)[:12] for one in NONSENSE])
def test_nonsense_is_understood_or_refused_with_its_place(nonsense: Any) -> None:
    for document, path, key in with_new_keys():
        refused = refusal(having(document, path, nonsense))
        assert not refused or PLACE.match(refused), (key, refused)
        assert len(refused) < 1200, key
