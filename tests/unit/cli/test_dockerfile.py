"""What is read from a Dockerfile before a builder reads it."""

import pytest

from swarm.cli.dockerfile import base_images, is_believed_wrongly


@pytest.mark.parametrize(
    ("text", "wrongly"),
    [
        ("FROM a\nARG V\nENV X=$V\n", True),
        ("FROM a\nARG V=1 W=2\nlabel a=1 \\\n  b=${W:-x}\n", True),
        ("FROM a\nARG V\nARG W=$V\nWORKDIR /srv/$W\n", True),
        ("FROM a\nARG V\nRUN make $V\nCOPY $V /x\nENV PATH=$PATH:/x V=1\n", False),
        ("FROM a\nENV V=1 W=$V\n", False),
        ("# ARG V\n# ENV X=$V\n", False),
    ],
)
def test_arguments_in_steps_that_are_compared_by_their_words(text: str, wrongly: bool) -> None:
    assert is_believed_wrongly(text) is wrongly


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a:1\nRUN b\n", ["a:1"]),
        (
            "from --platform=$BUILDPLATFORM a AS Build\nFROM build\nFROM scratch\nCOPY --from=0 /x /y\n",
            ["a"],
        ),
        (
            "FROM a\nCOPY --chown=1 --from=tools:2 /x /y\nRUN --mount=type=bind,from=c,target=/c x\n",
            ["a", "tools:2", "c"],
        ),
        ('ARG V=1\nARG BASE="web:$V"\nFROM ${BASE}\n', ["web:1"]),
        ("ARG TAG\nFROM a:${TAG:-3}\nFROM b:$TAG\n", ["a:3", "b:"]),
        ("ARG GIVEN=old\nFROM \\\n  a:$GIVEN\n", ["a:new"]),
        ("FROM a\nARG V=1\nFROM b:$V\nFROM a\n", ["a", "b:"]),
        ("# FROM a\nMAINTAINER from=b\n", []),
    ],
)
def test_base_images_are_what_no_stage_of_the_file_is(text: str, images: list[str]) -> None:
    assert base_images(text, {"GIVEN": "new"}) == images
