"""`swarmctl network`, and the options by which a service joins networks."""

import contextlib
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Network, Service, Task
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import NetworkAddresses, NetworkAttachment
from swarm.cli import inspect_view, network
from swarm.cli.cluster_options import apply_options
from swarm.cli.network_options import attachment
from swarm.clock import SECOND, SystemClock, timestamp
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.model.spec_changes import changes
from tests.unit.cli.test_service_spec import created, updated


class Control:
    """Keeps what is created; `used` cannot be removed."""

    def __init__(self) -> None:
        self.networks: dict[str, Network] = {}
        self.users: dict[str, int] = {}
        self.asked: list[Any] = []

    def CreateNetwork(self, request: c.CreateNetworkRequest) -> c.CreateNetworkResponse:
        name = request.spec.annotations.name
        made = self.networks[f"id-{name}"] = Network(id=f"id-{name}", spec=request.spec)
        made.meta.created_at.CopyFrom(timestamp(SystemClock().now_ns() - 3600 * SECOND))
        made.subnets.add(subnet="10.0.1.0/24", gateway="10.0.1.1", pool="10.0.0.0/8")
        return c.CreateNetworkResponse(network=made)

    def ListNetworks(self, request: c.ListNetworksRequest) -> c.ListNetworksResponse:
        self.asked.append(request)
        found = list(self.networks.values())
        users = [self.users.get(one.spec.annotations.name, 0) for one in found]
        return c.ListNetworksResponse(networks=found, users=users)

    def GetNetwork(self, request: c.GetNetworkRequest) -> c.GetNetworkResponse:
        self.asked.append(request)
        found = self._found(request.ref)
        kinds = c.NetworkEndpoint
        endpoints = [
            c.NetworkEndpoint(
                kind=kinds.KIND_TASK, id="t1", name="web.1.t1", node_id="n1", addresses=["10.0.1.6"]
            ),
            c.NetworkEndpoint(kind=kinds.KIND_SERVICE, id="s1", name="web", addresses=["v"]),
            c.NetworkEndpoint(kind=kinds.KIND_NODE, id="n1", name="node-1", node_id="n1", addresses=["r"]),
            c.NetworkEndpoint(
                kind=kinds.KIND_CONTAINER,
                id="c1",
                name="db",
                node_id="n1",
                addresses=["10.0.1.7", "fd00::7"],
                mac_address="02:42:ac:11:00:02",
            ),
            c.NetworkEndpoint(kind=kinds.KIND_NODE, id="n2", name="node-2", node_id="n2", addresses=["s"]),
        ]
        endpoints[-1].warnings.add(type="DATA_PATH_GAPS", reason="192.0.2.1 does not answer")
        return c.GetNetworkResponse(network=found, endpoints=endpoints if request.verbose else ())

    def RemoveNetwork(self, request: c.RemoveNetworkRequest) -> c.RemoveNetworkResponse:
        found = self._found(request.ref)
        if found.spec.annotations.name == "used":
            raise FailedPrecondition("network used is in use by service web")
        del self.networks[found.id]
        return c.RemoveNetworkResponse(id=found.id)

    def _found(self, ref: str) -> Network:
        for one in self.networks.values():
            if ref in (one.id, one.spec.annotations.name):
                return one
        raise NotFound(f"there is no network {ref}")


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    control = Control()

    @contextlib.contextmanager
    def connect(host: str) -> Iterator[Any]:
        yield SimpleNamespace(control=control)

    monkeypatch.setattr(network, "connect", connect)
    return control


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(network.network, list(arguments), obj="nowhere", input=stdin)


def test_dockers_flags_make_the_spec(control: Control) -> None:
    flags = "--subnet 10.1.0.0/16 --subnet fd00::/64 --ipv6 --ip-range 10.1.4.0/24 --gateway 10.1.0.9"
    more = "--gateway fd00::9 --aux-address nas=10.1.4.7 --label a=b -o a.b=y --attachable --internal=true"
    made = run("create", *flags.split(), *more.split(), "-d", "overlay", "shop")
    assert (made.exit_code, made.output) == (0, "id-shop\n")
    spec = control.networks["id-shop"].spec
    four, six = spec.subnets
    assert (four.subnet, four.range, four.gateway) == ("10.1.0.0/16", "10.1.4.0/24", "10.1.0.9")
    assert (dict(four.reserved), six.gateway) == ({"nas": "10.1.4.7"}, "fd00::9")
    assert (spec.driver, spec.attachable, spec.internal, spec.ipv6) == ("overlay", True, True, True)
    assert (dict(spec.driver_options), dict(spec.annotations.labels)) == ({"a.b": "y"}, {"a": "b"})
    assert run("create", "--ipv4=false", "--ipv6", "six").exit_code == 0
    assert control.networks["id-six"].spec.no_ipv4


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ("--ip-range 10.1.4.0/24", "--ip-range 10.1.4.0/24 is in none of the subnets"),
        ("--subnet 10.1.0.0/16 --gateway 10.2.0.1", "--gateway 10.2.0.1 is in none"),
        ("--subnet 10.1.0.0/16 --aux-address x=y", '--aux-address x=y: "y" is not an IP address'),
        ("--subnet 10.1.0.0/16 --aux-address 10.1.0.9", '--aux-address "10.1.0.9": write NAME=ADDRESS'),
        (
            "--subnet 10.1.0.0/16 --aux-address a=10.1.0.8 --aux-address a=10.1.0.9",
            "--aux-address a 10.1.0.8 and 10.1.0.9: give one of them",
        ),
        (
            "--subnet 10.1.0.0/16 --ip-range 10.1.2.0/24 --ip-range 10.1.3.0/24",
            "--ip-range 10.1.2.0/24 and 10.1.3.0/24: give one of them",
        ),
        ("--subnet 10.1.0.0/16 --gateway 10.1.0.7 --gateway 10.1.0.8", "--gateway 10.1.0.7 and 10.1.0.8"),
        ("--subnet 10.1.0.0/16 --gateway abc", '--gateway abc: "abc" is not an IP address'),
        ("-o encrypt", "a network of driver overlay has no option encrypt"),
        ("-d weave", "no network driver"),
        ("--subnet 10.1.0.5/16", "inside 10.1.0.0/16"),
    ],
)
def test_what_cannot_be_is_one_clear_error_and_nothing_is_made(
    control: Control, flags: str, problem: str
) -> None:
    error = run("create", *flags.split(), "shop").exception
    assert isinstance(error, InvalidArgument)
    assert problem in str(error)
    assert not control.networks


def test_the_table_is_dockers_and_its_filters_select(control: Control) -> None:
    control.users["shop"] = 2
    for name, driver in (("shop", "overlay"), ("lan", "macvlan"), ("back", "overlay")):
        options = ("-o", "parent=eth1") if driver == "macvlan" else ()
        run("create", "-d", driver, *options, name)
    lines = run("ls").output.splitlines()
    assert lines[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert [line.split()[1:] for line in lines[1:]] == [
        ["back", "overlay", "swarm"],
        ["lan", "macvlan", "swarm"],
        ["shop", "overlay", "swarm"],
    ]
    assert run("ls", "-q", "--filter", "driver=macvlan").output == "id-lan\n"
    assert run("ls", "-q", "-f", "dangling=true", "-f", "driver=overlay").output == "id-back\n"
    assert run("ls", "-q", "-f", "dangling=false").output == "id-shop\n"
    assert run("ls", "-q", "-f", "type=builtin").output == ""
    assert run("ls", "-q", "-f", "scope=local").output == ""
    run("ls", "-f", "name=sh", "-f", "label=a=b", "-f", "id=id-")
    filters = control.asked[-1].filters
    assert (filters.labels, filters.id_prefixes) == (["a=b"], ["id-"])
    assert run("ls", "-q", "-f", "name=ho").output == "id-shop\n"  # a part of the name is enough
    assert run("ls", "-q", "-f", "name=ack", "-f", "name=la").output == "id-back\nid-lan\n"
    assert run("ls", "--format", "{{.Name}} {{.Services}} {{.Subnets}}").output.splitlines()[2] == (
        "shop 2 10.0.1.0/24"
    )
    for wrong in ("dangling=x", "type=x", "x=y"):
        assert isinstance(run("ls", "-f", wrong).exception, InvalidArgument)


def test_inspect_shows_what_docker_does_and_with_v_everybody(control: Control) -> None:
    run("create", "--label", "a=b", "shop")
    (view,) = json.loads(run("inspect", "shop").output)
    assert (view["Name"], view["Id"], view["Driver"], view["Scope"]) == (
        "shop",
        "id-shop",
        "overlay",
        "swarm",
    )
    assert view["IPAM"]["Config"] == [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1", "Pool": "10.0.0.0/8"}]
    assert "Services" not in view
    told = run("inspect", "-v", "shop")
    (view,) = json.loads(told.stdout)
    assert view["Services"]["web"]["VIP"] == "v"
    assert view["Services"]["web"]["Tasks"][0]["EndpointIP"] == "10.0.1.6"
    warnings = [{"Type": "DATA_PATH_GAPS", "Reason": "192.0.2.1 does not answer"}]
    assert view["Peers"] == [
        {"Name": "node-1", "NodeID": "n1", "IP": "r", "Warnings": []},
        {"Name": "node-2", "NodeID": "n2", "IP": "s", "Warnings": warnings},
    ]
    assert told.stderr == "Warning: network shop, node node-2: 192.0.2.1 does not answer\n"
    assert run("inspect", "shop").stderr == ""
    assert run("inspect", "shop", "gone").exit_code == 1


def test_networks_are_in_the_order_of_their_numbers_and_labels_in_that_of_their_keys(
    control: Control,
) -> None:
    labels = [str(key) for key in range(20)]
    for name in ("n10", "n9"):
        run("create", *(word for one in labels for word in ("--label", one)), name)
    assert run("ls", "-q").output == "id-n9\nid-n10\n"
    (view,) = json.loads(run("inspect", "n9").stdout)
    assert list(view["Labels"]) == sorted(labels)
    assert (view["ConfigFrom"], view["ConfigOnly"]) == ({"Network": ""}, False)


def test_removal_goes_on_after_a_failure_and_tells_it(control: Control) -> None:
    for name in ("used", "shop", "back"):
        run("create", name)
    result = run("rm", "shop", "used", "gone", "back")
    assert result.exit_code == 1
    assert "in use by service web" in result.output
    assert list(control.networks) == ["id-used"]
    forced = run("rm", "--force", "gone", "used")
    assert "gone" not in forced.stdout
    assert run("rm", "--force", "gone").exit_code == 0


def test_prune_removes_what_nobody_uses_and_asks_before(control: Control) -> None:
    control.users["busy"] = 1
    for name in ("busy", "shop", "back"):
        run("create", name)
    assert run("prune", stdin="n\n").exit_code == 1
    assert len(control.networks) == 3
    assert run("prune", "-f", "--filter", "until=2h").output == ""
    assert run("prune", "-f", "--filter", "until=30m").output == "Deleted Networks:\nshop\nback\n\n"
    assert list(control.networks) == ["id-busy"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("shop", NetworkAttachment(network_name="shop")),
        (
            "shop,alias=www,alias=web,ip=10.0.0.7",
            NetworkAttachment(network_name="shop", aliases=["www", "web"], ipv4_address="10.0.0.7"),
        ),
        (
            "alias=www,name=shop,ip6=fd00::7,driver-opt=a=b",
            NetworkAttachment(
                network_name="shop", aliases=["www"], ipv6_address="fd00::7", driver_options={"a": "b"}
            ),
        ),
    ],
)
def test_a_network_is_written_short_or_long(text: str, wanted: NetworkAttachment) -> None:
    assert attachment(text) == wanted


@pytest.mark.parametrize("text", ["", "alias=www", "shop,www", "shop,alias=", "name=shop,mac=1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--network"):
        attachment(text)


def test_a_service_joins_and_leaves_networks() -> None:
    spec = created(
        "--network", "shop", "--network", "name=back,alias=db", "--endpoint-mode", "dnsrr", "web:1"
    )
    assert [one.network_name for one in spec.task.networks] == ["shop", "back"]
    assert inspect_view.service_spec(spec)["EndpointSpec"]["Mode"] == "dnsrr"
    before = type(spec)()
    before.CopyFrom(spec)
    after = updated(
        spec, "--network-rm", "shop", "--network-add", "back,alias=sql", "--endpoint-mode", "vip"
    )
    assert list(changes(before.task, after.task)) == ["networks -shop -back as db +back as sql"]
    assert [list(one.aliases) for one in after.task.networks] == [["sql"]]


def test_an_affinity_is_asked_for_and_shown_and_taken_back() -> None:
    spec = created("--network", "shop", "--endpoint-affinity", "client-ip", "web:1")
    assert inspect_view.service_spec(spec)["EndpointSpec"]["Affinity"] == "client-ip"
    after = updated(spec, "--endpoint-affinity", "none")
    assert "Affinity" not in inspect_view.service_spec(after)["EndpointSpec"]


def test_clients_are_hidden_from_tasks_until_that_is_taken_back() -> None:
    spec = created("--publish", "80", "--endpoint-snat", "web:1")
    assert inspect_view.service_spec(spec)["EndpointSpec"]["SNAT"] is True
    assert updated(spec, "--env-add", "A=1").endpoint.snat
    assert "SNAT" not in inspect_view.service_spec(updated(spec, "--no-endpoint-snat"))["EndpointSpec"]


def test_addresses_are_shown_with_services_and_tasks() -> None:
    service = Service(id="s1", virtual_addresses=[NetworkAddresses(network_id="n", addresses=["10.0.0.2"])])
    view = inspect_view.service(service)
    assert view["Endpoint"]["VirtualIPs"] == [{"NetworkID": "n", "Addr": "10.0.0.2"}]
    task = Task(id="t1", networks=[NetworkAddresses(network_id="n", addresses=["10.0.0.3"])])
    task.spec.networks.add(network_id="n", network_name="shop")
    view = inspect_view.task(task)
    assert view["NetworksAttachments"] == [
        {"Network": {"ID": "n", "Name": "shop"}, "Addresses": ["10.0.0.3"]}
    ]
    assert view["Spec"]["Networks"] == [{"Target": "n", "Name": "shop"}]
    assert "VirtualIPs" not in inspect_view.service(Service())["Endpoint"]


def test_pools_are_settings_of_the_cluster() -> None:
    spec = ClusterSpec(default_address_pools=["10.0.0.0/8"])
    given = {"default_addr_pool": ("10.9.0.0/16", "fd00::/48"), "default_addr_pool_mask_length": 26}
    apply_options(spec, given | {"data_path_port": 5000})
    assert list(spec.default_address_pools) == ["10.9.0.0/16", "fd00::/48"]
    assert (spec.subnet_length, spec.data_path_port) == (26, 5000)
    apply_options(spec, {"default_addr_pool": ()})
    assert len(spec.default_address_pools) == 2


def test_templates_of_docker_users_find_the_containers_of_a_network(control: Control) -> None:
    run("create", "--attachable", "shop")
    template = "{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.IPv6Address}};{{end}}"
    assert run("inspect", "-f", template, "shop").output == "db 10.0.1.7/24 fd00::7;web.1.t1 10.0.1.6/24 ;\n"
    asked = run("inspect", "-f", "{{range .Containers}}{{.MacAddress}} {{end}}", "shop").output
    assert asked == "02:42:ac:11:00:02 02:42:0a:00:01:06 \n"
    assert "Services" not in run("inspect", "shop").output
    assert "TaskID" in run("inspect", "-v", "shop").output
