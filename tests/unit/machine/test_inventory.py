import pytest

from swarm.errors import InvalidArgument
from swarm.machine.endpoint import Hop
from swarm.machine.inventory import parse_inventory

TEXT = """
cluster: prod
defaults: {user: ada, key: /k, jump: gate}
machines:
  w1: {host: 10.0.0.4, labels: {disk: ssd, rack: 7}}
  m1: {host: 10.0.0.1:2222, role: manager, user: bob, jump: "", advertise_addr: eth0, data_path_addr: eth1}
"""


def test_machines_are_read_managers_first() -> None:
    first, second = parse_inventory(TEXT)
    assert (first.name, first.role, first.cluster) == ("m1", "manager", "prod")
    assert first.endpoint.hop == Hop("10.0.0.1", 2222, "bob")
    assert first.endpoint.jumps == ()
    assert (first.advertise_addr, first.data_path_addr) == ("eth0", "eth1")
    assert second.data_path_addr == ""
    assert (second.name, second.role, second.labels) == ("w1", "worker", {"disk": "ssd", "rack": "7"})
    assert second.endpoint.jumps == (Hop("gate", 22, "ada"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file: write KEY: VALUE"),
        ("a: [", "this is not YAML"),
        ("machines: {}", "there are 0"),
        ("machine: {m1: {host: h}}", "did you mean machines"),
        ("machines: {m1: {host: h, rol: manager}}", "machines.m1: there is no 'rol'; did you mean role"),
        ("machines: {m1: {host: h, role: boss}}", "machines.m1.role: write manager or worker"),
        ("machines: {m1: {role: manager}}", "machines.m1: where is it"),
        ("machines: {w1: {host: h}}", "none has `role: manager`"),
        ("machines: {a b: {host: h, role: manager}}", "cannot be a name"),
        ("machines: {m1: {host: h, role: manager, port: x}}", "machines.m1.port"),
        ("machines: {m1: {host: h, role: manager}, m2: {host: h}}", "machines.m2: h is m1 already"),
        (
            "defaults: {jump: g}\nmachines: {m1: {host: h, role: manager}, m2: {host: h}}",
            "machines.m2: h is m1 already",
        ),
        ("machines:\n  m1: {host: h, role: manager}\n  m1: {host: i}\n", "m1 is there twice"),
        ("machines: {m1: {host: h, role: manager, host: i}}", "host is there twice"),
        ("machines: {m1: {host: 'h;x', role: manager}}", 'machines.m1: "h;x" is not'),
        ("machines: {m1: {host: h, role: manager, labels: [a]}}", "machines.m1.labels"),
        ("cluster: ../x\nmachines: {m1: {host: h, role: manager}}", "cluster: "),
        ("machines: !!python/object/apply:os.system [x]", "this is not YAML"),
    ],
)
def test_a_wrong_word_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_inventory(text)
    assert words in str(refused.value)


def test_an_address_may_be_there_behind_each_gate() -> None:
    text = "machines: {m1: {host: h, jump: a, role: manager}, m2: {host: h, jump: b}, m3: {host: h}}"
    assert len(parse_inventory(text)) == 3


def test_lines_may_be_taken_over_and_said_otherwise() -> None:
    text = (
        "machines: {m1: &one {host: h, role: manager, user: ada}, m2: &two {<<: *one, host: i},"
        " m3: {<<: *two, host: j}}"
    )
    assert [record.endpoint.hop.user for record in parse_inventory(text)] == ["ada"] * 3


def test_machines_that_their_driver_makes_have_no_address_yet() -> None:
    text = (
        "defaults: {driver: cloud, user: ubuntu, options: {image: ami-1, size: small}}\n"
        "machines:\n  m1: {role: manager}\n  w1: {options: {size: large}}\n"
        "  w2: {driver: generic, host: 10.0.0.9}\n"
    )
    m1, w1, w2 = parse_inventory(text)
    assert (m1.driver, m1.endpoint.hop.host, m1.endpoint.hop.user) == ("cloud", "", "ubuntu")
    assert dict(w1.options) == {"image": "ami-1", "size": "large"}
    assert (w2.endpoint.hop.host, dict(w2.options)) == ("10.0.0.9", {})
    with pytest.raises(InvalidArgument, match=r"machines\.m1: the driver cloud needs --driver-opt image"):
        parse_inventory("machines:\n  m1: {role: manager, driver: cloud}\n")
    with pytest.raises(InvalidArgument, match=r"machines\.m1: there is no driver"):
        parse_inventory("machines:\n  m1: {role: manager, driver: clout, host: h}\n")
