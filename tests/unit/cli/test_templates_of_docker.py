"""Templates as Docker's own command fills them: what `docker inspect --format` printed of a container."""

import json
from pathlib import Path

import pytest

from swarm.cli.render import fill
from swarm.cli.unsaid import with_unsaid
from swarm.errors import InvalidArgument

SEEN = json.loads(Path(__file__).with_name("docker_templates.json").read_text())
VALUE = with_unsaid(SEEN["value"])


@pytest.mark.parametrize(("template", "text"), SEEN["printed"])
def test_a_template_prints_what_it_prints_there(template, text):
    assert fill(template, VALUE) == text


@pytest.mark.parametrize("template", [template for template, _ in SEEN["refused"]])
def test_what_is_refused_there_is_refused_here(template):
    with pytest.raises(InvalidArgument, match="--format: "):
        fill(template, VALUE)
