"""Variables in values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.compose.document import parse
from swarm.compose.dotenv import parse_dotenv
from swarm.compose.interpolation import interpolate, substitute
from swarm.errors import InvalidArgument

SET = {"A": "one", "EMPTY": "", "B": "two"}


def ignore(name: str) -> None: ...


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A", "one"),
        ("${A}", "one"),
        ("x${A}y$B.", "xoneytwo."),
        ("${NO}", ""),
        ("${NO:-d}", "d"),
        ("${NO-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${A:-d}", "one"),
        ("${A:+set}", "set"),
        ("${EMPTY:+set}", ""),
        ("${EMPTY+set}", "set"),
        ("${NO+set}", ""),
        ("${NO:-${B}}", "two"),
        ("${NO:-${NO2:-deep}}", "deep"),
        ("${NO:-a}b}", "ab}"),
        ("${A?must}", "one"),
        ("${EMPTY?must}", ""),
        ("$$A", "$A"),
        ("$${A}", "${A}"),
        ("a$", "a$"),
        ("^a$|b", "^a$|b"),
        ("$1", "$1"),
        ("${NO:-$$}", "$"),
        ("${NO:-}", ""),
    ],
)
def test_operators_are_those_of_the_shell(text: str, result: str) -> None:
    assert substitute(text, SET, ignore) == result


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${NO:?set it}", "the variable NO is not set: set it"),
        ("${EMPTY:?set it}", "the variable EMPTY is not set: set it"),
        ("${NO?}", "the variable NO is not set"),
        ("${NO:?${A}}", "the variable NO is not set: one"),
        ("${", "} is missing"),
        ("${A", "} is missing"),
        ("${}", "a variable's name is letters"),
        ("${1A}", "a variable's name is letters"),
        ("${A/x/y}", "after A comes one of"),
        ("${NO:-" * 20 + "x" + "}" * 20, "stands in more than"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        substitute(text, SET, ignore)
    assert problem in str(refused.value)


def test_keys_stay_values_change_and_errors_have_a_place() -> None:
    tree = parse("$A: [$A, 5]\n", "c.yaml")
    assert interpolate(tree, SET, ignore).plain() == {"$A": ["one", 5]}
    with pytest.raises(InvalidArgument, match=r"^c.yaml:2:4: the variable NO is not set"):
        interpolate(parse("a: 1\nb: ${NO?}\n", "c.yaml"), SET, ignore)


def test_a_variable_that_is_not_set_and_has_no_default_is_told() -> None:
    told: list[str] = []
    substitute("$NO ${NO2} ${NO3:-x} $A", SET, told.append)
    assert told == ["NO", "NO2"]


@given(st.text(alphabet="${}:-?+AB \n", max_size=30))
def test_any_text_is_replaced_or_refused(text: str) -> None:
    try:
        assert isinstance(substitute(text, SET, ignore), str)
    except InvalidArgument:
        assert "${" in text


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=1", "1"),
        ("export X=1", "1"),
        ("X = 1 # why", "1"),
        ("X=a#b", "a#b"),
        ("X='$A # no'", "$A # no"),
        ('X="a\\nb"', "a\nb"),
        ('X="${A} \\"q\\"" # c', 'one "q"'),
        ("X=${A}/x", "one/x"),
        ('X="$$A"', "$A"),
        ("X=", ""),
        ("X: 1", "1"),
        ("X='two\nlines'", "two\nlines"),
        ('X="\\$A"', "$A"),
    ],
)
def test_env_files_know_quotes_comments_and_variables(line: str, value: str) -> None:
    assert parse_dotenv(f"# first\n\n{line}\nY=2\n", ".env", SET) == {"X": value, "Y": "2"}


def test_a_name_alone_is_passed_on_if_it_is_set() -> None:
    assert parse_dotenv("A\nNO\n", ".env", SET) == {"A": "one"}


@pytest.mark.parametrize(("text", "line"), [("a b=1", 1), ("X=1\nX='open", 2), ("X='a'b", 1), ("=1", 1)])
def test_a_bad_line_of_an_env_file_is_named(text: str, line: int) -> None:
    with pytest.raises(InvalidArgument, match=rf"^\.env:{line}: "):
        parse_dotenv(text, ".env", {})
