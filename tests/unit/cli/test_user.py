"""What `user update` makes of a user's scope and names of images."""

from typing import Any

import pytest
from click.testing import CliRunner

from swarm.api.v1.users_pb2 import UserSpec
from swarm.cli.user import _change, user
from swarm.errors import FailedPrecondition, InvalidArgument

RED = "registry.example/red"


def changed(**given: Any) -> UserSpec:
    spec = UserSpec(scope=["team=red"], image_names=[RED])
    nothing = dict.fromkeys(
        ("scope_add", "scope_rm", "image_name_add", "image_name_rm", "label_add", "label_rm"), ()
    )
    _change(spec, "kim", {**nothing, "role": None, "no_scope": False, **given})
    return spec


def test_names_of_images_are_added_once_and_taken_away() -> None:
    assert list(changed(image_name_add=("a.example", RED)).image_names) == [RED, "a.example"]
    assert list(changed(image_name_rm=(RED,)).image_names) == []
    assert list(changed(scope_add=("b",)).image_names) == [RED]
    with pytest.raises(InvalidArgument, match="--image-name-rm nowhere: user kim does not have it"):
        changed(image_name_rm=("nowhere",))


def test_who_is_not_confined_any_more_needs_no_names() -> None:
    assert changed(no_scope=True) == UserSpec()
    with pytest.raises(FailedPrecondition, match="say --no-scope"):
        changed(scope_rm=("team=red",))


@pytest.mark.parametrize(
    "words", [(), ("--no-scope", "--image-name-add", RED), ("--no-scope", "--scope-add", "a")]
)
def test_nothing_and_what_contradicts_itself_are_refused_before_anybody_is_asked(
    words: tuple[str, ...],
) -> None:
    assert CliRunner().invoke(user, ["update", "kim", *words], obj="unix:///nowhere").exit_code == 2
