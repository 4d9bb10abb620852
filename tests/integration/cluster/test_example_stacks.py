"""Three of the example stacks, for real: stand-ins of their images, made of busybox, reach each other."""

import importlib.util
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path
from types import ModuleType

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.operator import ROOT, Operator, wait_until

STACKS = ROOT / "examples/stacks"

# The first process must pass the stop on; `$1` is ignored: what the real program is told means nothing here.
SERVE = """\
httpd -f -p PORT -h /www &
server=$!
trap 'kill "$server"; exit 0' TERM INT
wait "$server"
"""
PAGE = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n%s\n"
# What each image is here: its port, and what its page says.
IMAGES = {
    "shop/web:1": (
        8080,
        'head -n 2 /etc/shop/settings.ini; cat "$DATABASE_PASSWORD_FILE"; for one in "$DATABASE_HOST:5432" '
        '"$CACHE_HOST:6379"; do wget -q -O - "http://$one/cgi-bin/page"; done',
    ),
    "postgres:16": (
        5432,
        'echo "postgres $(id -u)"; test ! -f /run/secrets/db_password || echo with a password',
    ),
    "redis:7": (6379, "echo redis"),
    "voting/vote:1": (80, "echo vote; wget -q -O - http://queue:6379/cgi-bin/page"),
    "voting/result:1": (80, "echo result; wget -q -O - http://db:5432/cgi-bin/page"),
    "voting/worker:1": (81, "echo worker"),
    "example/whoami:1": (8080, 'echo "whoami $GREETING"'),
    "example/proxy:1": (8080, 'wget -q -O - "$(cut -d " " -f 2 /etc/proxy/routes)/cgi-bin/page"'),
}
READY = b"#!/bin/sh\nexec wget -q -O /dev/null http://127.0.0.1:%d/cgi-bin/page\n"


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hello_build", ROOT / "examples/hello/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hello_build"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def _stand_ins(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    builder = _builder()
    images = []
    for name, (port, page) in IMAGES.items():
        script = SERVE.replace("PORT", str(port))
        files = {"usr/bin/pg_isready": READY % 5432, "usr/bin/redis-cli": READY % 6379}
        files["www/cgi-bin/page"] = (PAGE % page).encode()
        full = f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"
        entrypoint = ("/bin/sh", "-c", script, "sh")
        images.append(builder.build(builder.ImageSpec(full, env={}, entrypoint=entrypoint, files=files)))
    archive = tmp_path_factory.mktemp("images") / "images.tar"
    archive.write_bytes(builder.archive(*images))
    operator("image", "load", "-i", str(archive))


def page_of(cluster: DevCluster, port: int) -> str:
    """What the page at a port of a node, the last one, says; empty when it does not answer."""
    address = cluster.plan.nodes[-1].address
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/cgi-bin/page", timeout=60) as answer:
            return str(answer.read().decode())
    except (OSError, HTTPException):  # it begins, or was replaced in the middle of its answer
        return ""


def wait_for(cluster: DevCluster, port: int, *said: str) -> None:
    wait_until(lambda: all(one in page_of(cluster, port) for one in said), 60, f"{said} at port {port}")


def deploy(operator: Operator, name: str, *more: str) -> str:
    return operator(
        "stack", "deploy", "-c", str(STACKS / name / "compose.yaml"), "--timeout", "2m", *more, timeout_s=150
    )


def test_a_shop_answers_with_its_database_and_its_cache(cluster: DevCluster, operator: Operator) -> None:
    deploy(operator, "web-db-cache")
    wait_for(cluster, 8080, "The shop", "change-me", "postgres", "with a password", "redis")
    logs = operator("stack", "logs", "shop", "db")
    assert all(line.startswith("db.1@") for line in logs.splitlines())
    operator("stack", "rm", "shop", timeout_s=120)


def test_votes_and_results_reach_what_is_behind_them(cluster: DevCluster, operator: Operator) -> None:
    deploy(operator, "voting")
    wait_for(cluster, 5001, "vote", "redis")
    wait_for(cluster, 5002, "result", "postgres")
    operator("stack", "rm", "voting", timeout_s=120)


def test_a_proxy_leads_to_what_is_behind_it_and_a_stack_goes_back_as_a_whole(
    cluster: DevCluster, operator: Operator, tmp_path: Path
) -> None:
    files = ("-c", str(STACKS / "proxy/compose.yaml"))
    assert operator.typed("stack", "diff", *files).returncode == 1
    deploy(operator, "proxy")
    assert operator.typed("stack", "diff", *files).returncode == 0
    wait_for(cluster, 8088, "whoami hello")

    other = tmp_path / "other.yaml"
    other.write_text(
        "services:\n"
        "  proxy: {deploy: {update_config: &at_once {parallelism: 0, monitor: 1s, x-canary: 0}}}\n"
        "  whoami: {environment: {GREETING: hi}, deploy: {update_config: *at_once}}\n"
        "configs: {routes: {content: '/x http://backend:8080'}}\n"
    )
    told = operator.typed("stack", "diff", *files, "-c", str(other))
    assert (told.returncode, "+GREETING=hi" in told.stdout) == (1, True)
    assert "+config proxy_routes version 2" in told.stdout
    deploy(operator, "proxy", "-c", str(other))
    wait_for(cluster, 8088, "whoami hi")

    rows = operator.rows("stack", "history", "proxy")
    assert [row["Changed"] for row in rows] == ["~proxy ~whoami", "+proxy +whoami"]
    operator("stack", "rollback", "-d", "proxy")
    wait_for(cluster, 8088, "whoami hello")
    assert operator.typed("stack", "diff", *files).returncode == 0
    operator("stack", "rm", "proxy", timeout_s=120)
    assert operator.typed("stack", "history", "proxy").returncode == 1
