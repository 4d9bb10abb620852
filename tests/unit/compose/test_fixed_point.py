"""Whatever a Compose file says: as `stack config` prints it, it says the same; deployed twice, it changes
nothing; and what is deployed is what it says.
"""

import asyncio
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Config, Network, Secret
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.stack_changes import steps, steps_back
from swarm.cli.stack_diff import differences
from swarm.compose.interpolation import escaped
from swarm.compose.services import Stack, read_stack
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.store.store import Store
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.compose import samples
from tests.unit.compose.files import Files, project
from tests.unit.controlapi.fakes import FakeContext
from tests.unit.controlapi.test_networks import able
from tests.unit.controlapi.test_planning import a_servicer

words = st.text("abcxyz09.-_ $\"':#{}é\n", min_size=1, max_size=8)
names = st.sampled_from(["A", "B", "LONG_NAME", "c.d"])
numbers = st.integers(1, 9)
durations = st.sampled_from(["1s", "1m30s", "250ms", "2h"])
mappings = st.dictionaries(names, words | numbers, max_size=3)
listed = mappings.map(lambda found: [f"{key}={value}" for key, value in found.items()])


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with some of these keys."""
    return st.fixed_dictionaries({}, optional=keys)


updates = some(
    parallelism=numbers,
    delay=durations,
    failure_action=st.sampled_from(["pause", "continue"]),
    monitor=durations,
    max_failure_ratio=st.sampled_from([0, 0.25, "0.5"]),
    order=st.sampled_from(["stop-first", "start-first"]),
)
deploys = some(
    replicas=numbers | numbers.map(str),
    labels=mappings | listed,
    update_config=updates,
    rollback_config=updates,
    restart_policy=some(
        condition=st.sampled_from(["none", "on-failure", "any"]), delay=durations, max_attempts=numbers
    ),
    placement=some(
        constraints=st.lists(st.sampled_from(["node.role==worker", "node.labels.a != b"]), unique=True),
        preferences=st.just([{"spread": "node.labels.zone"}]),
        max_replicas_per_node=numbers,
        **{"x-affinity": st.just(["service!=db,weight=5"]), "x-sticky": st.booleans()},
    ),
    resources=some(
        limits=some(cpus=st.sampled_from([1, "0.5"]), memory=st.sampled_from(["64m", "1gb"])),
        reservations=some(memory=st.just("32m")),
    ),
    endpoint_mode=st.just("vip"),
    **{"x-priority": st.integers(-3, 3), "x-endpoint": some(drain=durations)},
)
services = some(
    command=words.map(lambda text: ["sh", "-c", text]) | st.just("run --now 'a b'"),
    environment=mappings | listed,
    labels=mappings | listed,
    hostname=st.just("host"),
    user=st.just("1000:1000"),
    working_dir=st.just("/srv"),
    stop_grace_period=durations,
    read_only=st.booleans(),
    init=st.booleans(),
    healthcheck=some(test=st.just("true") | st.just(["CMD", "true"]), interval=durations, retries=numbers),
    ports=st.just(["8080", {"target": 53, "protocol": "udp"}]),
    volumes=st.just(["data:/data", "./here:/here:ro", "/anonymous"]),
    tmpfs=st.just("/run"),
    secrets=st.just(["key"]) | st.just([{"source": "key", "target": "k", "mode": 0o400}]),
    configs=st.just(["conf"]),
    networks=st.just(["front"]) | st.just({"front": {"aliases": ["www"]}, "default": None}),
    ulimits=st.just({"nofile": {"soft": 10, "hard": 20}}),
    cap_add=st.just(["NET_ADMIN"]),
    extra_hosts=st.just(["db:192.0.2.1"]),
    deploy=deploys,
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Compose files with one to three services."""
    found = draw(st.dictionaries(st.sampled_from(["web", "db", "cache"]), services, min_size=1))
    for name, service in found.items():
        service["image"] = f"{name}:1"
    dependency = [name for name in ("db", "cache") if name in found and "web" in found]
    if dependency and draw(st.booleans()):
        found["web"]["depends_on"] = dependency
    top = {
        "services": found,
        "volumes": {"data": None},
        "networks": {"front": draw(some(attachable=st.booleans(), labels=mappings))},
        "secrets": {"key": {"file": "key.txt"}},
        "configs": {"conf": {"content": draw(words)}},
    }
    return yaml.safe_dump(doubled(top), allow_unicode=True)


def doubled(value: Any) -> Any:
    """Return `value` with dollars doubled, as files have them."""
    if isinstance(value, dict):
        return {key: doubled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [doubled(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def read(text: str) -> tuple[Stack, str]:
    """Return the stack of a file, and what `stack config` prints."""
    found = Files(**{"sub/more.env": "A=2\n"})
    for name, content in samples.FILES.items():
        found.add(name, content)
    loaded = project(text, files=found, variables=samples.VARIABLES)
    printed = yaml.safe_dump(escaped(loaded.tree).plain(), sort_keys=False, allow_unicode=True)
    return read_stack(loaded, "shop", found.read, found.read_data), printed


async def deploy(servicer: ControlServicer, store: Store, wanted: Stack) -> None:
    planned = steps(wanted, list(store.view.services), prune=True, resolve="always")
    with acting_as(Identity("", Role.LOCAL, "")):
        request = c.ApplyChangesRequest(changes=[one.change for one in planned])
        await servicer.ApplyChanges(request, FakeContext())


def test_every_key_that_is_honoured_is_printed_as_it_is_meant_and_deployed_once() -> None:
    async def story(text: str) -> None:
        servicer, store = a_servicer(able("overlay", "ingress", "macvlan", "host"), *of_others())
        stack, printed = read(text)
        again, printed_again = read(printed)
        assert printed_again == printed
        assert again.services == stack.services
        assert (again.networks, again.configs, again.secrets) == (
            stack.networks,
            stack.configs,
            stack.secrets,
        )
        await deploy(servicer, store, stack)
        version = store.version
        await deploy(servicer, store, stack)
        await deploy(servicer, store, again)
        assert store.version == version

    for document in samples.documents():
        asyncio.run(story(yaml.dump(document, Dumper=yaml.CSafeDumper)))


def of_others() -> tuple[Secret, Config, Network]:
    """Return what the samples use and no stack owns."""
    secret, config, network = Secret(id="s1"), Config(id="c1"), Network(id="n7")
    for one in (secret, config, network):
        one.spec.annotations.name = "of-others"
    network.spec.driver = "overlay"
    return secret, config, network


@given(files())
@settings(max_examples=40)
def test_what_is_printed_says_the_same_and_is_printed_the_same(text: str) -> None:
    stack, printed = read(text)
    again, printed_again = read(printed)
    assert printed_again == printed
    assert again.services == stack.services
    assert (again.networks, again.configs, again.secrets) == (stack.networks, stack.configs, stack.secrets)


@given(files())
@settings(max_examples=40)
def test_deployed_twice_or_as_printed_it_changes_nothing(text: str) -> None:
    async def story() -> None:
        servicer, store = a_servicer(able("overlay", "ingress"))
        stack, printed = read(text)
        await deploy(servicer, store, stack)
        version = store.version
        await deploy(servicer, store, stack)
        await deploy(servicer, store, read(printed)[0])
        assert store.version == version
        revision = store.view.stacks.by_name("shop").revisions[-1]
        back = steps_back("shop", revision, list(store.view.services), list(revision.services))
        request = c.ApplyChangesRequest(changes=[one.change for one in back])
        with acting_as(Identity("", Role.LOCAL, "")):
            await servicer.ApplyChanges(request, FakeContext())
        assert store.version == version

    asyncio.run(story())


@given(files())
@settings(max_examples=20)
def test_what_is_deployed_is_what_the_file_says(text: str) -> None:
    async def story() -> None:
        servicer, store = a_servicer(able("overlay", "ingress"))
        stack, _ = read(text)
        await deploy(servicer, store, stack)
        for spec in stack.services:
            answer = await servicer.GetService(c.GetServiceRequest(ref=spec.annotations.name), FakeContext())
            assert differences(spec, as_said(answer.service.spec)) == []

    asyncio.run(story())


def as_said(deployed: ServiceSpec) -> ServiceSpec:
    """Return a spec without what managers fill in: digests, ids, and numbers of versions."""
    spec = ServiceSpec()
    spec.CopyFrom(deployed)
    container = spec.task.container
    container.image_digest = ""
    for secret in container.secrets:
        secret.secret_name = secret.secret_name.removesuffix("-1")
    for config in container.configs:
        config.config_name = config.config_name.removesuffix("-1")
    for network in spec.task.networks:
        network.ClearField("driver")
    assert spec.annotations.labels[NAMESPACE_LABEL] == "shop"
    return spec
