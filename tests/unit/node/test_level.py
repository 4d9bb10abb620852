"""The mark that keeps older versions from a node's folder."""

import json
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition
from swarm.model.compatibility import LEVEL_MAX
from swarm.node.level import check_level, forget_level, note_level, read_level


def mark(folder: Path, text: str) -> Path:
    path = folder / "level.json"
    path.write_text(text)
    return path


def test_a_folder_without_a_mark_is_of_the_first_level(tmp_path: Path) -> None:
    assert read_level(tmp_path) == 1
    check_level(tmp_path)


def test_a_folder_of_a_newer_level_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = mark(tmp_path, json.dumps({"level": LEVEL_MAX + 1, "version": "9"}))
    before = path.read_bytes()
    with pytest.raises(FailedPrecondition, match=r"written by a newer version.*install that version"):
        check_level(tmp_path)
    assert path.read_bytes() == before


def test_a_node_does_not_mark_what_it_does_not_know(tmp_path: Path) -> None:
    note_level(tmp_path, LEVEL_MAX + 5)
    assert read_level(tmp_path) == LEVEL_MAX
    check_level(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"level": "x"}', "\x00"])
def test_a_damaged_mark_is_an_error(tmp_path: Path, text: str) -> None:
    mark(tmp_path, text)
    with pytest.raises(FailedPrecondition, match=r"damaged"):
        check_level(tmp_path)


def test_who_leaves_the_cluster_has_no_level(tmp_path: Path) -> None:
    mark(tmp_path, '{"level": 1}')
    forget_level(tmp_path)
    forget_level(tmp_path)
    assert read_level(tmp_path) == 1
