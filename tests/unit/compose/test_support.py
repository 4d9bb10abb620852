"""Every key of the specification has an answer, and the page that says so is that of the code."""

from pathlib import Path

import pytest

from swarm.compose.support import RULES, Status, check_support, rule_for, schema_keys, table
from swarm.errors import InvalidArgument
from tests.unit.compose.files import project

PAGE = Path(__file__).resolve().parents[3] / "docs" / "compose.md"


def test_every_key_of_the_specification_has_a_rule() -> None:
    keys = schema_keys()
    assert len(keys) > 350
    assert [".".join(key) for key in keys if rule_for(key) is None] == []


def test_every_rule_is_for_a_key_of_the_specification() -> None:
    known = {".".join(key) for key in schema_keys()}
    assert set(RULES) <= known


def test_whatever_is_not_honoured_says_why() -> None:
    assert all(rule.text for rule in RULES.values() if rule.status is not Status.HONOURED)


def test_the_table_in_the_documentation_is_that_of_the_code() -> None:
    assert PAGE.read_text().endswith(f"\n\n{table()}")


EXAMPLES = {
    "blkio_config": "{weight: 5}",
    "cap_add": "[SYS_ADMIN]",
    "device_cgroup_rules": "['c 1:1 r']",
    "network_mode": "host",
    "privileged": "true",
    "shm_size": "64m",
    "sysctls": "{a: 1}",
    "ulimits": "{nofile: 5}",
}


@pytest.mark.parametrize("key", sorted(EXAMPLES))
def test_a_key_is_refused_or_ignored_or_honoured_as_its_rule_says(key: str) -> None:
    text = f"services:\n  web:\n    image: w\n    {key}: {EXAMPLES[key]}\n"
    rule = RULES[f"services.*.{key}"]
    tree = project(text).tree
    if rule.status is Status.REFUSED:
        with pytest.raises(InvalidArgument) as refused:
            check_support(tree)
        assert str(refused.value) == f"c0.yaml:4:5: {key} is not supported: {rule.text}"
    else:
        assert [key in warning for warning in check_support(tree)] == [True] * (rule.status is Status.WARNED)


def test_what_says_nothing_is_not_refused() -> None:
    text = "services:\n  web:\n    image: w\n    command: null\n    cap_add: []\n    healthcheck: {}\n"
    assert check_support(project(text).tree) == []


def test_extensions_are_nobody_s_business() -> None:
    text = "x-a: {privileged: true}\nservices: {web: {image: w, x-b: {secrets: 1}}}\n"
    assert check_support(project(text).tree) == []
