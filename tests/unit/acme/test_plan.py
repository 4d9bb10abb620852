"""When certificates are ordered, renewed, put off and forgotten."""

import pytest

from swarm.api.v1.objects_pb2 import AcmeCertificate, AcmeState, AcmeTrouble, Node
from swarm.api.v1.specs_pb2 import AcmeConfig
from swarm.api.v1.types_pb2 import NodeState
from swarm.manager.acme import plan as p
from swarm.model import limits
from swarm.model.acme import config_problems
from swarm.timestamps import SECOND, nanoseconds, timestamp

NOW = 1_800_000_000 * SECOND
DAY = 24 * 3600 * SECOND


def kept(renew_ns: int, *, ends_ns: int = NOW + 30 * DAY) -> AcmeCertificate:
    return AcmeCertificate(secret_id="s", renew_at=timestamp(renew_ns), not_after=timestamp(ends_ns))


def under_way() -> AcmeCertificate:
    one = AcmeCertificate()
    one.order.key_pem = b"key"
    return one


def state(**certificates: AcmeCertificate) -> AcmeState:
    return AcmeState(certificates=certificates)


def hosts(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_a_host_without_a_certificate_is_ordered_at_once_and_one_with_a_young_one_is_not() -> None:
    found = p.plan(state(b=kept(NOW + 5)), hosts("a", "b"), NOW)
    assert (found.steps, found.next_ns) == (("a",), NOW + 5)
    assert p.plan(state(b=kept(NOW + 5)), hosts("b"), NOW + 5).steps == ("b",)


def test_what_is_under_way_goes_on_first_then_new_hosts_then_the_renewal_that_is_most_urgent() -> None:
    known = state(z=under_way(), late=kept(NOW - 9), later=kept(NOW - 99, ends_ns=NOW + 40 * DAY))
    assert p.plan(known, hosts("z", "later", "late", "new"), NOW).steps == ("z", "new", "late", "later")


def test_no_more_orders_are_under_way_at_once_than_the_limit_says() -> None:
    most = limits.ACME_ORDERS.value
    names = [f"h{number}" for number in range(most + 3)]
    assert len(p.plan(state(), hosts(*names), NOW).steps) == most
    waiting = under_way()
    waiting.trouble.retry_at.CopyFrom(timestamp(NOW + 1))
    some = p.plan(AcmeState(certificates=dict.fromkeys(names[:2], waiting)), hosts(*names), NOW)
    assert len(some.steps) == most - 2, "an order that waits for its next try is one, too"


def test_a_host_in_trouble_waits_until_it_may_be_tried_again() -> None:
    one = AcmeCertificate(trouble=AcmeTrouble(problem="x", failures=1, retry_at=timestamp(NOW + 7)))
    found = p.plan(state(a=one), hosts("a"), NOW)
    assert (found.steps, found.next_ns) == ((), NOW + 7)
    assert p.plan(state(a=one), hosts("a"), NOW + 7).steps == ("a",)


def test_a_certificate_is_forgotten_a_day_after_the_last_route_for_it() -> None:
    one = kept(NOW + 5)
    assert p.plan(state(a=one), hosts(), NOW).unwanted == ("a",)
    one.unwanted_since.CopyFrom(timestamp(NOW))
    waits = p.plan(state(a=one), hosts(), NOW + 1)
    assert (waits.unwanted, waits.forgotten, waits.next_ns) == ((), (), NOW + p.FORGOTTEN_NS)
    assert p.plan(state(a=one), hosts(), NOW + p.FORGOTTEN_NS).forgotten == ("a",)
    assert p.plan(state(a=one), hosts("a"), NOW + p.FORGOTTEN_NS).wanted_again == ("a",)


def test_renewal_comes_after_two_thirds_of_the_life_spread_over_a_twentieth() -> None:
    assert p.renewal_ns(0, 90 * DAY, 0.0) == 60 * DAY
    assert p.renewal_ns(0, 90 * DAY, 0.999) < 65 * DAY
    assert p.renewal_ns(0, 90 * DAY, 0.5) > 60 * DAY


def test_pauses_grow_stay_below_the_limits_of_servers_and_keep_what_the_server_asked_for() -> None:
    one, at_ns, tries = AcmeTrouble(), NOW, 0
    while at_ns < NOW + 3600 * SECOND:
        one = p.troubled(one, "no", at_ns, reached=True)
        at_ns, tries = nanoseconds(one.retry_at), tries + 1
    assert tries <= 4
    for _ in range(100):
        one = p.troubled(one, "no", NOW, reached=True)
    assert nanoseconds(one.retry_at) == NOW + p.FAILED_MAX_NS
    asked = p.troubled(AcmeTrouble(), "slow", NOW, reached=True, retry_after_s=DAY / SECOND)
    assert nanoseconds(asked.retry_at) == NOW + DAY
    far = p.troubled(AcmeTrouble(), "slow", NOW, reached=True, retry_after_s=9e9)
    assert nanoseconds(far.retry_at) == NOW + p.RETRY_AFTER_MAX_NS
    assert (
        nanoseconds(p.troubled(AcmeTrouble(), "gone", NOW, reached=False).retry_at) == NOW + p.UNREACHABLE_NS
    )


def test_the_server_is_told_when_every_proxy_that_is_there_answers() -> None:
    def node(*proofs: str, ready: bool = True, running: bool = True) -> Node:
        found = Node()
        found.status.state = NodeState.NODE_STATE_READY if ready else NodeState.NODE_STATE_DOWN
        found.description.http_proxy.running = running
        found.description.http_proxy.proofs.extend(proofs)
        return found

    assert p.proxies_answer([node("t"), node("t", "u")], "t")
    assert not p.proxies_answer([node("t"), node()], "t")
    assert p.proxies_answer([node("t"), node(ready=False), node(running=False)], "t")
    assert not p.proxies_answer([], "t")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"email": "ops"}, "no email address"),
        ({"directory": "http://a.org/dir"}, "https://"),
        ({"directory": "https://a.org/" + "x" * 1024}, "ACME_TEXT_CHARACTERS"),
        ({"terms_agreed": False}, "--acme-agree-tos"),
        ({"ca_pem": b"hello"}, "no certificate in PEM"),
        ({"ca_pem": b"x" * 70_000}, "ACME_CA_BYTES"),
    ],
)
def test_where_certificates_come_from_has_to_be_possible(change: dict[str, object], problem: str) -> None:
    good = {"email": "ops@example.org", "terms_agreed": True}
    assert not list(config_problems(AcmeConfig(**good)))  # type: ignore[arg-type]
    assert problem in " ".join(config_problems(AcmeConfig(**{**good, **change})))  # type: ignore[arg-type]
