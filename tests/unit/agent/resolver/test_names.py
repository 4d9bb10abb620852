"""Which task is answered what? Networks as managers tell them, through `zones`, to what `tables` decides."""

from ipaddress import ip_address

import dns.message
import pytest

from swarm.agent.overlay.state import OverlayState, Touched
from swarm.agent.resolver.base import Client
from swarm.agent.resolver.message import A, Question, parse, respond
from swarm.agent.resolver.process import introduction
from swarm.agent.resolver.tables import Answer, Forward, Tables
from swarm.agent.resolver.zones import Zones
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayEndpoint, OverlayNetwork, OverlayService
from swarm.api.v1.types_pb2 import PortConfig

FORWARDED, FAILED, NO_SUCH_NAME, NOTHING = "forwarded", "SERVFAIL", "NXDOMAIN", "nothing"


def endpoint(task_id: str, service_id: str, *addresses: str, **more: object) -> OverlayEndpoint:
    return OverlayEndpoint(
        task_id=task_id,
        service_id=service_id,
        addresses=addresses,
        **{"name": f"{service_id}.1.{task_id}", "serving": True, **more},
    )


HTTP = PortConfig(name="http", target_port=80)
DNS_PORT = PortConfig(name="dns", target_port=53, protocol=PortConfig.PROTOCOL_UDP)

SHOP = OverlayChanges(
    network_id="n1",
    network=OverlayNetwork(
        id="n1",
        name="Shop",
        subnets=[Subnet(subnet="10.0.1.0/24"), Subnet(subnet="fd00:1::/64")],
    ),
    services=[
        OverlayService(
            service_id="web",
            name="Web",
            aliases=["www", "both"],
            virtual_addresses=["10.0.1.2", "fd00:1::2"],
            ports=[HTTP, PortConfig(target_port=443)],
        ),
        OverlayService(service_id="rr", name="rr_1", aliases=["both"], ports=[HTTP, DNS_PORT]),
        OverlayService(service_id="idle", name="idle", virtual_addresses=["10.0.1.9"]),
        OverlayService(service_id="down", name="down", ports=[HTTP]),
    ],
    endpoints=[
        endpoint("web1", "web", "10.0.1.3", "fd00:1::3", hostname="front", aliases=["first"]),
        endpoint("web2", "web", "10.0.1.4", "fd00:1::4", hostname="front"),
        endpoint("web3", "web", "10.0.1.5", "fd00:1::5", serving=False, hostname="sick"),
        endpoint("rr1", "rr", "10.0.1.6", hostname="idle"),
        endpoint("rr2", "rr", "10.0.1.7", hostname=""),
        endpoint("down1", "down", "10.0.1.8", serving=False),
        endpoint("alone", "", "10.0.1.20", name="box"),
    ],
)
BACK = OverlayChanges(
    network_id="n2",
    network=OverlayNetwork(id="n2", name="back", subnets=[Subnet(subnet="10.0.2.0/24")], internal=True),
    services=[
        OverlayService(service_id="web", name="web", virtual_addresses=["10.0.2.2"]),
        OverlayService(service_id="db", name="db", aliases=["down"], virtual_addresses=["10.0.2.3"]),
    ],
    endpoints=[endpoint("web3", "web", "10.0.2.5"), endpoint("db1", "db", "10.0.2.6")],
)


def client(task_id: str, *network_ids: str, **more: object) -> Client:
    return Client(task_id, "172.30.0.9", network_ids, **{"name": f"x.1.{task_id}", "hostname": "me", **more})


def state_of(*networks: OverlayChanges) -> OverlayState:
    state = OverlayState()
    state.apply(networks, complete=True)
    return state


def tables_for(asker: Client, *networks: OverlayChanges) -> Tables:
    state, tables = state_of(*networks), Tables()
    touched = [Touched(one.network_id, network=True) for one in networks]
    tables.put_zones(Zones().follow(state, touched), whole=True)
    tables.put_client({**introduction(asker, state), "netns_path": "/somewhere"})
    return tables


def ask(tables: Tables, name: str, kind: str = "A", address: str = "172.30.0.9") -> str:
    """Return what is answered, as an independent reader of messages understands it."""
    question = parse(dns.message.make_query(name, kind).to_wire())
    assert question is not None
    decided = tables.decide(question, address, sorted)
    if isinstance(decided, Forward):
        return FORWARDED
    answer = dns.message.from_wire(respond(question, decided.code, decided.records, decided.more, 65535))
    if answer.rcode():
        return str(dns.rcode.to_text(answer.rcode()))
    found = sorted(str(item) for records in answer.answer for item in records)
    return " ".join(found) or NOTHING


CASES = [
    # A service with virtual addresses: they are its name, whatever its tasks do.
    ("web", "A", "10.0.1.2"),
    ("WEB", "A", "10.0.1.2"),
    ("web.", "AAAA", "fd00:1::2"),
    ("www", "A", "10.0.1.2"),
    ("web.shop", "A", "10.0.1.2"),
    ("www.SHOP.", "A", "10.0.1.2"),
    ("web", "MX", NOTHING),
    ("idle", "A", "10.0.1.9"),
    ("idle", "AAAA", NOTHING),
    # Its tasks, but for those that are ill.
    ("tasks.web", "A", "10.0.1.3 10.0.1.4"),
    ("tasks.www.shop", "AAAA", "fd00:1::3 fd00:1::4"),
    ("tasks.idle", "A", NO_SUCH_NAME),
    # A service without virtual addresses is its tasks.
    ("rr_1", "A", "10.0.1.6 10.0.1.7"),
    ("tasks.rr_1", "A", "10.0.1.6 10.0.1.7"),
    ("rr_1", "AAAA", NOTHING),
    ("down", "A", NO_SUCH_NAME),
    ("down.shop", "A", NO_SUCH_NAME),
    ("tasks.down", "A", NO_SUCH_NAME),
    # A name that two services have is both of them.
    ("both", "A", "10.0.1.2 10.0.1.6 10.0.1.7"),
    # Containers by name, alias and hostname; a hostname gives way.
    ("web.1.web1", "A", "10.0.1.3"),
    ("web.1.web1.shop", "A", "10.0.1.3"),
    ("first", "A", "10.0.1.3"),
    ("front", "A", "10.0.1.3 10.0.1.4"),
    ("rr2", "A", "10.0.1.7"),
    ("box", "A", "10.0.1.20"),
    ("alone.shop", "A", "10.0.1.20"),
    ("sick", "A", NO_SUCH_NAME),
    ("web.1.web3", "A", NO_SUCH_NAME),
    # The other way round, also of those that are not up.
    ("2.1.0.10.in-addr.arpa", "PTR", "Web.shop."),
    ("3.1.0.10.in-addr.arpa", "PTR", "web.1.web1.shop."),
    ("5.1.0.10.in-addr.arpa", "PTR", "web.1.web3.shop."),
    (ip_address("fd00:1::4").reverse_pointer, "PTR", "web.1.web2.shop."),
    ("99.1.0.10.in-addr.arpa", "PTR", NO_SUCH_NAME),
    (ip_address("fd00:1::99").reverse_pointer, "PTR", NO_SUCH_NAME),
    ("99.99.0.10.in-addr.arpa", "PTR", FORWARDED),
    ("1.0.10.in-addr.arpa", "SOA", FORWARDED),
    ("300.1.0.10.in-addr.arpa", "PTR", FORWARDED),
    # Ports with names.
    ("_http._tcp.web", "SRV", "0 1 80 web.shop."),
    ("_HTTP._tcp.www.shop", "SRV", "0 1 80 www.shop."),
    ("_http._tcp.tasks.web", "SRV", "0 1 80 web.1.web1.shop. 0 1 80 web.1.web2.shop."),
    ("_http._tcp.rr_1", "SRV", "0 1 80 rr.1.rr1.shop. 0 1 80 rr.1.rr2.shop."),
    ("_dns._udp.tasks.rr_1", "SRV", "0 1 53 rr.1.rr1.shop. 0 1 53 rr.1.rr2.shop."),
    ("_dns._tcp.rr_1", "SRV", NO_SUCH_NAME),
    ("_nothing._tcp.web", "SRV", NO_SUCH_NAME),
    ("_http._tcp.down", "SRV", NO_SUCH_NAME),
    ("_http._tcp.example.org", "SRV", FORWARDED),
    # Its own name; and what is nobody's here.
    ("me", "A", "10.0.1.3"),
    ("me.shop", "AAAA", "fd00:1::3"),
    ("db", "A", FORWARDED),
    ("web.back", "A", FORWARDED),
    ("web.example.org", "A", FORWARDED),
    ("nothing", "A", FORWARDED),
    (".", "NS", FORWARDED),
]


@pytest.mark.parametrize(("name", "kind", "answer"), CASES)
def test_a_task_in_one_network_is_answered_by_it(name: str, kind: str, answer: str) -> None:
    assert ask(tables_for(client("web1", "n1"), SHOP, BACK), name, kind) == answer


@pytest.mark.parametrize(
    ("networks", "name", "answer"),
    [
        (("n1", "n2"), "web", "10.0.1.2"),
        (("n2", "n1"), "web", "10.0.2.2"),
        (("n2", "n1"), "web.shop", "10.0.1.2"),
        (("n1", "n2"), "tasks.web.back", "10.0.2.5"),
        (("n1", "n2"), "down", "10.0.2.3"),  # nothing in the first one: what the next one has
        (("n1", "n2"), "db", "10.0.2.3"),
        (("n1", "n2"), "example.org", FORWARDED),
        (("n2",), "example.org", FAILED),  # nothing leaves an internal network, questions neither
        (("n2",), "db", "10.0.2.3"),
        (("n1", "n2"), "me", "10.0.1.5"),
        (("n1", "n2"), "x.1.web3.back", "10.0.2.5"),
        (("n2", "n1"), "me", "10.0.2.5"),
        ((), "web", FORWARDED),
        ((), "me", "172.30.0.9"),
        (("n1", "later"), "web", "10.0.1.2"),
        (("n1", "later"), "nothing", FAILED),  # it may be a name there: not to be denied, nor told the world
    ],
)
def test_a_task_in_several_networks_is_answered_in_their_order(
    networks: tuple[str, ...], name: str, answer: str
) -> None:
    assert ask(tables_for(client("web3", *networks), SHOP, BACK), name) == answer


def test_an_asker_whom_nobody_knows_hears_of_the_world_only() -> None:
    assert ask(tables_for(client("web1", "n1"), SHOP), "web", address="172.30.0.10") == FORWARDED


def test_a_task_with_servers_of_its_own_asks_them_from_inside_also_in_internal_networks() -> None:
    tables = tables_for(client("web1", "n2", nameservers=["9.9.9.9"]), BACK)
    question = Question(1, 0, b"", "example.org", A)
    assert tables.decide(question, "172.30.0.9", list) == Forward(("9.9.9.9",), "/somewhere")
    assert ask(tables, "db") == "10.0.2.3"


def test_a_task_finds_itself_while_others_do_not() -> None:
    tables = tables_for(client("web3", "n1", hostname="sick", name="web.1.web3"), SHOP)
    assert ask(tables, "sick") == ask(tables, "web.1.web3.shop") == "10.0.1.5"


def test_the_addresses_of_an_answer_about_ports_come_along() -> None:
    tables = tables_for(client("web1", "n1"), SHOP)
    question = parse(dns.message.make_query("_http._tcp.tasks.web", "SRV").to_wire())
    assert question is not None
    decided = tables.decide(question, "172.30.0.9", list)
    assert isinstance(decided, Answer)
    answer = dns.message.from_wire(respond(question, 0, decided.records, decided.more, 65535))
    found = {(str(records.name), str(item)) for records in answer.additional for item in records}
    assert found == {
        ("web.1.web1.shop.", "10.0.1.3"),
        ("web.1.web1.shop.", "fd00:1::3"),
        ("web.1.web2.shop.", "10.0.1.4"),
        ("web.1.web2.shop.", "fd00:1::4"),
    }


def test_an_address_that_another_task_has_now_asks_for_that_one() -> None:
    tables = tables_for(client("web1", "n1"), SHOP)
    state = state_of(SHOP)
    tables.put_client({**introduction(client("new", "n1", hostname="other"), state), "netns_path": ""})
    tables.remove_client("web1")  # the task that had the address before is forgotten late
    assert ask(tables, "web") == "10.0.1.2"
    tables.keep_clients(["web1"])
    assert ask(tables, "web") == FORWARDED
