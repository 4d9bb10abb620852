"""Which Dockerfiles buildah would take steps of other arguments for."""

import pytest

from swarm.cli.image_cache import is_believed_wrongly


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
