"""Compose files in, specs or the error out: each case is a pair of files in `cases` (see case_form.py)."""

import pytest

from tests.unit.compose.case_form import CASES, answer_to, case_names

MANY = 150


@pytest.mark.parametrize("name", case_names())
def test_what_comes_of_a_compose_file_is_what_was_reviewed(name: str) -> None:
    assert answer_to(name) == (CASES / f"{name}.txt").read_text()


def test_no_answer_is_without_a_question_and_there_are_many() -> None:
    assert {path.stem for path in CASES.glob("*.txt")} == set(case_names())
    assert len(case_names()) >= MANY
