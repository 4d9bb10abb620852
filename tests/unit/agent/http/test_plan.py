"""From what is known of the ingress network to a proxy: routes, configuration, commands."""

import pytest

from swarm.agent.http.commands import (
    Standing,
    commands,
    proof_commands,
    proofs_shown,
    standings,
    wanted_standings,
)
from swarm.agent.http.config import certificate_list, config, digest_of, proofs_map, routes_map
from swarm.agent.http.counters import Sums, counted
from swarm.agent.http.plan import Wanted, wanted_proxy
from swarm.agent.overlay.state import NetworkState, OverlayState
from swarm.api.v1.overlay_pb2 import HttpProxy, OverlayEndpoint, OverlayNetwork, OverlayService
from swarm.model.http_routes import parse_route

PROXY = HttpProxy(http_port=80, https_port=8443)


def state(
    *routes: str, tasks: dict[str, bool] | None = None, proxy: HttpProxy | None = PROXY
) -> OverlayState:
    known = NetworkState(OverlayNetwork(id="i", ingress=True, http_proxy=proxy))
    service = OverlayService(service_id="web1", name="web", routes=map(parse_route, routes))
    known.services["web1"] = service
    for number, (task_id, serving) in enumerate((tasks or {}).items()):
        known.endpoints[task_id] = OverlayEndpoint(
            task_id=task_id, service_id="web1", addresses=[f"10.0.0.{number + 5}"], serving=serving
        )
    found = OverlayState()
    found.networks["i"] = known
    return found


def wanted(*routes: str, tasks: dict[str, bool] | None = None) -> Wanted:
    found = wanted_proxy(state(*routes, tasks=tasks))
    assert found is not None
    return found


def test_a_node_that_is_not_told_to_has_no_proxy() -> None:
    assert wanted_proxy(OverlayState()) is None
    assert wanted_proxy(state("port=80", proxy=None)) is None


def test_routes_are_found_by_whole_segments_of_the_path() -> None:
    found = wanted("host=a.org,path=/api,port=80", "port=81", "host=*.b.org,port=82")
    assert [prefix for prefix, _ in sorted(found.routes.items())] == ["*.b.org/", "-/", "a.org/api/"]
    assert routes_map(found).count("\n") == 3


def test_a_route_that_differs_is_another_backend_and_tasks_are_not() -> None:
    one = wanted("port=80", tasks={"t1": True})
    assert one.routes != wanted("port=80,sticky").routes
    assert one.routes == wanted("port=80", tasks={"t2": True, "t3": False}).routes


def test_only_what_needs_a_new_process_changes_the_digest() -> None:
    pems = {"s": b"pem"}
    one = digest_of(wanted("port=80", tasks={"t1": True}), pems)
    assert one == digest_of(wanted("port=80", tasks={"t1": False, "t2": True}), pems)
    assert one != digest_of(wanted("port=80"), {"s": b"another"})
    assert one != digest_of(wanted("port=80,timeout=2s"), pems)


def test_the_file_has_the_tasks_that_serve_and_what_the_route_says() -> None:
    route = (
        "host=a.org,path=/api,port=80,redirect=https,strip-prefix,sticky,max-body=5,protocol=h2c,timeout=2s"
    )
    text = config(wanted(route, tasks={"t1": True, "t2": False}), "digest", "/map", "/proofs")
    assert "server t1 10.0.0.5:80 proto h2" in text
    assert "t2" not in text
    for part in (
        "redirect code 308 location https://%[var(txn.host)]:8443",
        "set-path /%[path,bytes(5)]",
        "cookie SWARM_ROUTE insert",
        "content-length) gt 5",
        "timeout server 2000ms",
        "description digest",
    ):
        assert part in text


def test_a_client_is_waited_for_longer_than_the_slowest_task() -> None:
    assert "timeout client 3605000ms" in config(wanted("port=80,timeout=1h"), "", "/map", "/proofs")


def test_certificates_are_listed_with_their_hosts_behind_the_default() -> None:
    found = state("host=a.org,port=80", "host=a.org,path=/x,port=80", "host=b.org,port=80,tls=later")
    for route in found.networks["i"].services["web1"].routes:
        route.tls_secret_id = "s2" if route.host == "b.org" else "s1"
    proxy = wanted_proxy(found)
    assert proxy is not None
    assert proxy.secret_ids == {"s1", "s2"}
    assert certificate_list(proxy, "/default", {"s1": "/fd/1"}) == "/default\n/fd/1 a.org\n"


def test_a_task_comes_drains_and_goes_by_commands() -> None:
    first = wanted("port=80", tasks={"t1": True})
    (name,) = first.routes.values()
    assert list(commands(first, {})) == [f"add server {name}/t1 10.0.0.5:80", f"enable server {name}/t1"]
    there = wanted_standings(first)
    assert list(commands(first, there)) == []
    draining = wanted("port=80", tasks={"t1": False})
    assert list(commands(draining, there)) == [f"set server {name}/t1 state maint"]
    assert list(commands(draining, {})) == [], "what does not serve is not added"
    assert list(commands(first, wanted_standings(draining))) == [f"set server {name}/t1 state ready"]
    assert list(commands(wanted("port=80"), there)) == [
        f"set server {name}/t1 state maint",
        f"shutdown sessions server {name}/t1",
        f"del server {name}/t1",
    ]


def test_tasks_of_other_routes_are_left_to_the_next_process() -> None:
    assert list(commands(wanted("port=80"), {("old.route", "t1"): Standing("10.0.0.5", 80, True)})) == []


def test_a_sticky_task_that_is_added_gets_its_cookie() -> None:
    found = wanted("port=80,sticky", tasks={"t1": True})
    (name,) = found.routes.values()
    assert list(commands(found, {}))[-1] == f"set dynamic-cookie-key backend {name} web1"


def test_what_a_proxy_says_of_its_tasks_is_read() -> None:
    text = (
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port\n"
        "3 web.x 1 t1 10.0.0.5 0 1 80\n3 web.x 2 t2 10.0.0.6 2 0 80\n\n"
    )
    assert standings(text) == {
        ("web.x", "t1"): Standing("10.0.0.5", 80, False),
        ("web.x", "t2"): Standing("10.0.0.6", 80, True),
    }


def test_requests_are_summed_over_proxies_that_follow_one_another() -> None:
    proxy = wanted("port=80")
    (name,) = proxy.routes.values()

    def said(count: int) -> str:
        return f"# pxname,svname,hrsp_2xx,hrsp_5xx\n{name},BACKEND,{count},1\n{name},t1,9,9\n\n"

    sums = Sums()
    for _ in range(2):
        sums.begin(proxy)
        sums.add(counted(said(3)))
        sums.add(counted(said(5)))
    assert sums.all()["web", "2xx"] == 10
    assert sums.all()["web", "5xx"] == 2


@pytest.mark.parametrize("text", ["", "\n", "# pxname,svname\n"])
def test_a_proxy_that_says_nothing_counts_nothing(text: str) -> None:
    assert counted(text) == {}


def challenged(**proofs: str) -> Wanted:
    proxy = HttpProxy(http_port=80, https_port=8443, acme_proofs=proofs)
    found = wanted_proxy(state("host=a.org,port=80,redirect=https", proxy=proxy))
    assert found is not None
    return found


def test_acme_challenges_come_change_and_go_without_another_process() -> None:
    one, two = challenged(), challenged(token="token.print", other="other.print")
    assert digest_of(one, {}) == digest_of(two, {})
    assert sorted(proof_commands(two, {"old": "old.print", "other": "x"}, "/m")) == [
        "add map /m /.well-known/acme-challenge/token token.print",
        "del map /m /.well-known/acme-challenge/old",
        "set map /m /.well-known/acme-challenge/other other.print",
    ]
    shown = "".join(f"0x5 {line}\n" for line in proofs_map(two).splitlines())
    assert proofs_shown(shown + "Unknown map identifier.\n") == two.proofs
    assert list(proof_commands(two, two.proofs, "/m")) == []


def test_acme_challenges_are_answered_before_any_redirect_and_route() -> None:
    text = config(challenged(token="token.print"), "", "/map", "/proofs")
    assert text.index("map_str(/proofs)") < text.index("map_beg(/map)") < text.index("redirect code 308")
