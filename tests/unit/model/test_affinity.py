import pytest

from swarm.api.v1.types_pb2 import Affinity
from swarm.errors import InvalidArgument
from swarm.model.affinity import affinity_problems, parse_affinity, read_affinity, write_affinity


@pytest.mark.parametrize(
    ("text", "facet", "together", "weight"),
    [
        ("service==db", ("service", "db"), True, 0),
        ("service != db", ("service", "db"), False, 0),
        ("service==db,weight=50", ("service", "db"), True, 50),
        (
            "service.labels.org.tier!=x, weight=1",
            ("service.labels.org.tier", "x"),
            False,
            1,
        ),
    ],
)
def test_what_people_write_is_understood(text, facet, together, weight):
    affinity = read_affinity(text)
    parsed = parse_affinity(affinity)
    assert (parsed.facet, parsed.together, parsed.weight) == (facet, together, weight)
    assert read_affinity(write_affinity(affinity)) == affinity


@pytest.mark.parametrize(
    "text",
    [
        "db", "service=db", "service==", "==db", "service===db", "node==db", "service.labels.==x",
        "service==db,",
        "service==db,weight=0", "service==db,weight=101",
        "service==db,weight=x", "service==db,strong=1", "",
    ],
)  # fmt: skip
def test_what_nobody_understands_is_refused_with_what_is_allowed(text):
    with pytest.raises(InvalidArgument, match="service==NAME"):
        read_affinity(text)


@pytest.mark.parametrize(
    ("affinities", "problem"),
    [
        ([("service==web", 0)], "cannot wait for itself"),
        ([("service==db", 0), ("service!=db", 0)], "cannot both hold"),
        ([("service==db", 0), ("service==db", 5)], "given twice"),
        ([("service==db", 101)], "weight"),
        ([("service==db", -1)], "weight"),
        ([("service~db", 0)], "invalid affinity"),
        ([(f"service==s{one}", 0) for one in range(33)], "more than 32"),
    ],
)
def test_what_cannot_be_is_refused(affinities, problem):
    several = [Affinity(expression=expression, weight=weight) for expression, weight in affinities]
    assert problem in "; ".join(affinity_problems(several, "web"))


def test_a_service_may_keep_from_itself_and_wish_what_it_does_not_demand():
    several = [read_affinity(one) for one in ("service!=web", "service==db", "service!=cache,weight=5")]
    assert not list(affinity_problems(several, "web"))
