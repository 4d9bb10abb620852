"""Certificates with their keys."""

from swarm.clock import SECOND
from swarm.model.http_certificates import certificate_problem, self_signed


def test_one_that_is_made_can_be_served_in_either_order() -> None:
    pem = self_signed("swarm", 1_700_000_000 * SECOND)
    assert certificate_problem(pem) == ""
    at = pem.index(b"-----BEGIN PRIVATE")
    assert certificate_problem(pem[at:] + pem[:at]) == ""


def test_what_is_missing_is_said_and_nothing_is_quoted() -> None:
    one, other = (self_signed("swarm", 1_700_000_000 * SECOND) for _ in range(2))
    at = one.index(b"-----BEGIN PRIVATE")
    key_of_other = other[other.index(b"-----BEGIN PRIVATE") :]  # certificates are not equally long
    assert "no certificate" in certificate_problem(b"hello")
    assert "no private key" in certificate_problem(one[:at])
    assert "not that of the first" in certificate_problem(one[:at] + key_of_other)
