import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import InvalidArgument
from swarm.model.reference import parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "normal", "familiar"),
    [
        ("web", "docker.io/library/web:latest", "web:latest"),
        ("web:1.2", "docker.io/library/web:1.2", "web:1.2"),
        ("docker.io/web", "docker.io/library/web:latest", "web:latest"),
        ("index.docker.io/web", "docker.io/library/web:latest", "web:latest"),
        ("team/web", "docker.io/team/web:latest", "team/web:latest"),
        ("localhost/web", "localhost/web:latest", "localhost/web:latest"),
        ("localhost:5000/web:1", "localhost:5000/web:1", "localhost:5000/web:1"),
        (
            "reg.example.com/a/b__c/d-e",
            "reg.example.com/a/b__c/d-e:latest",
            "reg.example.com/a/b__c/d-e:latest",
        ),
        ("reg:80/web", "reg:80/web:latest", "reg:80/web:latest"),
        ("[fd00::1]:5000/web", "[fd00::1]:5000/web:latest", "[fd00::1]:5000/web:latest"),
        (f"web@{DIGEST}", f"docker.io/library/web@{DIGEST}", f"web@{DIGEST}"),
        (f"web:1@{DIGEST}", f"docker.io/library/web:1@{DIGEST}", f"web:1@{DIGEST}"),
    ],
)
def test_a_reference_has_a_normal_and_a_familiar_form(text, normal, familiar):
    reference = parse_reference(text)
    assert str(reference) == normal
    assert reference.familiar == familiar
    assert parse_reference(normal) == reference
    assert parse_reference(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Web",
        "web:",
        "web:ta g",
        "web@sha256:abc",
        "web@",
        "/web",
        "web/",
        "a//b",
        "-web",
        "web:" + "t" * 129,
        "a" * 64,
        "re_g.example.com/web",
        "x/" * 200 + "y",
        "reg.example.com:port/web",
        "web\n",
        "../etc/passwd",
    ],
)
def test_a_malformed_reference_is_refused(text):
    with pytest.raises(InvalidArgument, match="invalid image reference"):
        parse_reference(text)


def test_a_reference_can_be_pinned():
    pinned = parse_reference("web:1").with_digest(DIGEST)
    assert str(pinned) == f"docker.io/library/web:1@{DIGEST}"
    assert pinned.name == "docker.io/library/web"


@given(st.text(alphabet="aA0._-/:@[]s ", max_size=40) | st.text())
def test_whatever_is_written_either_has_a_stable_normal_form_or_is_refused(text):
    with contextlib.suppress(InvalidArgument):
        reference = parse_reference(text)
        assert parse_reference(str(reference)) == reference
        assert parse_reference(reference.familiar) == reference
