"""YAML as Compose means it."""

import pytest

from swarm.compose.document import DEPTH_MAX, parse
from swarm.compose.tree import Mark
from swarm.errors import InvalidArgument
from swarm.model import limits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("-3", -3),
        ("0440", 0o440),
        ("0o440", 0o440),
        ("0x1f", 31),
        ("08", 8.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("22:22", "22:22"),
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'80'", "80"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("2001-12-14", "2001-12-14"),
        ("9" * 30, "9" * 30),
        ("1_000", "1_000"),
        (".inf", ".inf"),
    ],
)
def test_words_mean_what_they_mean_in_yaml_1_2(text: str, value: object) -> None:
    found = parse(f"key: {text}\n", "c.yaml").entries["key"].value
    assert (found, type(found)) == (value, type(value))


def test_values_know_where_they_stand() -> None:
    tree = parse("services:\n  web:\n    image: x\n    ports: [1, 22]\n", "c.yaml")
    assert str(tree.at(("services", "web", "ports", 1)).place) == "c.yaml:4:16"
    assert str(tree.at(("services", "web", "image")).key_place) == "c.yaml:3:5"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", 'c.yaml:2:1: "a" stands twice, first at line 1'),
        ("a: b: c\n", "c.yaml:1:5: mapping values are not allowed here"),
        ("5: x\n", 'c.yaml:1:1: the key 5 is no text; write "5"'),
        ("? [a]\n: x\n", "c.yaml:1:3: the key a list or mapping is no text"),
        ("a: !vault x\n", "c.yaml:1:4: the tag !vault is not known; known: !reset, !override"),
        ("a: *b\n", "c.yaml:1:4: found undefined alias"),
        ("<<: 5\n", "c.yaml:1:5: << takes a mapping"),
        ("a: [", "c.yaml:1:5:"),
        ("a: b\nc: d\x00", "c.yaml:2:5: the character U+0000 is not allowed"),
        ('a: "\\ud83d"', "c.yaml:1:4: '\\ud83d' has half a character"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1: expected a single document in the stream, but found another"),
        ("a: !mine {b: c}", "c.yaml:1:4: the tag !mine is not known"),
        ("a: !!binary eHg=", "c.yaml:1:4: the tag tag:yaml.org,2002:binary is not known"),
        ("a:\n\tb: c", "c.yaml:2:1: found character '\\t' that cannot start any token; indent with spaces"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2:1:"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse(text, "c.yaml")
    assert str(refused.value).startswith(problem)


def test_anchors_and_merge_keys_are_followed_and_own_keys_win() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 5}\nlist: [*x, *x]\n"
    found = parse(text, "c.yaml").plain()
    assert found["z"] == {"a": 5, "b": 2, "c": 4}
    assert found["list"] == [{"a": 1, "b": 2}] * 2


def test_the_tags_of_compose_are_kept() -> None:
    entries = parse("a: !reset []\nb: !override {c: 1}\nc: !reset\n", "c.yaml").entries
    assert (entries["a"].mark, entries["b"].mark, entries["c"].mark) == (
        Mark.RESET,
        Mark.OVERRIDE,
        Mark.RESET,
    )


def test_an_empty_file_says_nothing() -> None:
    assert parse("", "c.yaml").plain() == {}
    assert parse("# nothing\n", "c.yaml").plain() == {}


def test_aliases_of_aliases_are_counted_before_they_are_followed() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    with pytest.raises(InvalidArgument, match="COMPOSE_VALUES"):
        parse(text, "c.yaml")


def test_a_file_that_is_too_large_or_too_deep_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="COMPOSE_FILE_BYTES"):
        parse("a" * (limits.COMPOSE_FILE_BYTES.value + 1), "c.yaml")
    with pytest.raises(InvalidArgument, match=f"more than {DEPTH_MAX}"):
        parse("[" * (DEPTH_MAX + 2) + "]" * (DEPTH_MAX + 2), "c.yaml")
    with pytest.raises(InvalidArgument, match="nested"):
        parse("[" * 5000 + "]" * 5000, "c.yaml")
