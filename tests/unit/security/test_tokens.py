"""Join tokens: their form, and errors that keep secrets."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import InvalidArgument
from swarm.security.certificates import create_root_ca, join_ca
from swarm.security.tokens import format_token, new_secret, parse_token, root_digest

ROOT = create_root_ca("c", 1_800_000_000 * 10**9)
SECRET = new_secret()
TOKEN = format_token(ROOT.cert_pem, SECRET)


def test_a_token_has_the_form_that_people_know() -> None:
    assert re.fullmatch(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", TOKEN)


def test_a_token_says_which_cluster_and_which_secret() -> None:
    token = parse_token(f"  {TOKEN}\n")
    assert token.secret == SECRET
    assert token.root_digest == root_digest(ROOT.cert_pem)


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100


def test_a_parsed_token_does_not_show_its_secret() -> None:
    assert SECRET not in repr(parse_token(TOKEN))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "swarmctl join-token"),
        ("hunter2", "not a join token"),
        (TOKEN.replace("-1-", "-9-"), "version"),
        (TOKEN[:-1], "copied completely"),
        (TOKEN + "0", "copied completely"),
        (TOKEN.upper(), "malformed|copied"),
        ("SWMTKN-1-" + "z" * 50 + "-" + SECRET, "too large"),
        ("SWMTKN-1-" + "0" * 50 + "-" + "z" * 25, "too large"),
    ],
    ids=["none", "word", "version", "shorter", "longer", "capitals", "digest", "secret"],
)
def test_a_bad_token_gets_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=hint):
        parse_token(text)


@given(st.text(min_size=1).filter(lambda text: len(text) != 51))
def test_no_error_repeats_the_text(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_token("SWMTKN-1-" + text + SECRET)
    assert SECRET not in str(caught.value)


def test_manager_and_joiner_derive_the_same_key_and_nobody_else_does() -> None:
    other_root = create_root_ca("c", 1_800_000_000 * 10**9)
    assert join_ca(SECRET, ROOT.cert_pem).key_pem == join_ca(SECRET, ROOT.cert_pem).key_pem
    assert join_ca(SECRET, ROOT.cert_pem).key_pem != join_ca(new_secret(), ROOT.cert_pem).key_pem
    assert join_ca(SECRET, ROOT.cert_pem).key_pem != join_ca(SECRET, other_root.cert_pem).key_pem
