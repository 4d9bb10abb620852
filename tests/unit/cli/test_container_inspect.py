"""`container inspect` has what scripts that were written for Docker ask it for."""

import pytest

from swarm.api.v1.containers_pb2 import ContainerDetails, ImageDefaults
from swarm.api.v1.plain_pb2 import PlainRestart
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import HEALTH_STATE_HEALTHY, Mount, PortConfig
from swarm.cli.container_inspect import details_view
from swarm.cli.render import fill
from swarm.model.volumes import anonymous_name


def details() -> ContainerDetails:
    """A container as its node tells of it."""
    found = ContainerDetails(warnings=["swap: left out"])
    one = found.summary
    one.id, one.name, one.image, one.plain, one.state, one.pid = "c1id", "db", "db:1", True, "running", 42
    one.command.extend(["sh", "-c", "serve"])
    one.labels["tier"] = "back"
    one.health.state = HEALTH_STATE_HEALTHY
    one.health.log.add(exit_code=0, output="fine")
    one.ports.add(target_port=80, published_port=8080)
    found.spec.image = "db:1"
    found.spec.env.append("A=1")
    found.spec.args.extend(["-c", "serve"])
    found.spec.mounts.add(type=Mount.TYPE_VOLUME, source="data", target="/d")
    found.spec.mounts.add(type=Mount.TYPE_BIND, source="/srv", target="/s", read_only=True)
    found.resources.limits.memory_bytes = 64 << 20
    plain = found.plain
    plain.id, plain.address, plain.restarts, plain.image_digest = "c1id", "172.30.0.4", 2, "sha256:aa"
    plain.published.add(target_port=80, published_port=8080)
    plain.published.add(target_port=53, protocol=PortConfig.PROTOCOL_UDP)
    plain.spec.restart.condition = PlainRestart.CONDITION_ON_FAILURE
    plain.spec.restart.max_retries = 3
    return found


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Id}} {{.Name}} {{.Image}} {{.Config.Image}}", "c1id /db sha256:aa db:1"),
        ("{{.Path}} {{json .Args}} {{.Config.Cmd}}", 'sh ["-c","serve"] [-c serve]'),
        ("{{.State.Running}} {{.State.Paused}} {{.State.Pid}} {{.State.Status}}", "true false 42 running"),
        ("{{.State.Health.Status}} {{(index .State.Health.Log 0).Output}}", "healthy fine"),
        ("{{if .State.Health}}yes{{end}} {{.State.FinishedAt}}", "yes 0001-01-01T00:00:00Z"),
        ("{{range .Mounts}}{{.Type}}={{.Source}}:{{.Destination}} {{.RW}};{{end}}", None),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\n"),
        ('{{index .Config.Labels "tier"}}', "back"),
        (
            "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.RestartCount}}",
            "67108864 on-failure 2",
        ),
        ("{{json .HostConfig.Binds}}", '["data:/d","/srv:/s:ro"]'),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{range $p, $c := .NetworkSettings.Ports}}{{$p}} {{end}}", "53/udp 80/tcp "),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.30.0.4"),
        ("{{.NetworkSettings.IPAddress}} {{.HostConfig.NetworkMode}}", "172.30.0.4 bridge"),
        ("{{.Node.Hostname}}", "worker-1"),
        ("{{json .Warnings}}", '["swap: left out"]'),
    ],
)
def test_templates_of_docker_users_are_filled(template: str, text: str | None) -> None:
    wanted = "volume=data:/d true;bind=/srv:/s false;" if text is None else text
    assert fill(template, details_view(details(), "n1", {"n1": "worker-1"})) == wanted


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.LogPath}} {{.HostsPath}} {{.HostnamePath}} {{.ResolvConfPath}}", "/c/log /c/hosts  "),
        ("{{.Driver}} {{.GraphDriver.Name}} {{.GraphDriver.Data.UpperDir}}", "overlayfs overlayfs /c/upper"),
        ("{{.AppArmorProfile}} {{.NetworkSettings.SandboxKey}}", "strict /run/netns/c"),
        ("{{json .HostConfig.MaskedPaths}}", '["/proc/kcore"]'),
        ("{{range .Mounts}}{{.Source}} {{end}}", "/volumes/data/_data /srv "),
        (
            "{{json .HostConfig.SecurityOpt}}",
            '["no-new-privileges:false","apparmor=strict","label=level:s0"]',
        ),
        ("{{.Config.Domainname}} {{.HostConfig.PublishAllPorts}}", "example.org true"),
        ("{{json .Config.Volumes}} {{json .HostConfig.MemorySwappiness}}", '{"/cache":{}} 0'),
    ],
)
def test_places_and_options_are_told_in_the_words_of_docker(template: str, text: str) -> None:
    found = details()
    found.places.log, found.places.hosts, found.places.apparmor = "/c/log", "/c/hosts", "strict"
    found.places.storage_driver, found.places.merged, found.places.upper = "overlayfs", "/c/all", "/c/upper"
    found.places.network = "/run/netns/c"
    found.places.masked_paths.append("/proc/kcore")
    found.places.sources["/d"] = "/volumes/data/_data"
    found.spec.privileges.no_new_privileges = False
    found.spec.privileges.apparmor = "strict"
    found.spec.privileges.selinux.level = "s0"
    found.spec.sysctls["kernel.domainname"] = "example.org"
    found.resources.memory_swappiness = 0
    found.plain.spec.publish_all = True
    if "Volumes" in template:
        found.spec.mounts.add(type=Mount.TYPE_VOLUME, target="/cache")
    assert fill(template, details_view(found, "n1", {})) == text


def test_a_node_of_an_older_version_tells_no_places() -> None:
    assert not {"LogPath", "Driver", "GraphDriver"} & details_view(details(), "n1", {}).keys()


def test_a_container_of_a_task_says_of_which_service_and_never_ran_before_it_starts() -> None:
    found = ContainerDetails()
    found.summary.id, found.summary.state, found.summary.service_name = "t1", "created", "web"
    view = details_view(found, "n1", {})
    assert view["Task"]["Service"]["Name"] == "web"
    assert (view["State"]["Running"], view["State"]["StartedAt"]) == (False, "0001-01-01T00:00:00Z")
    assert "Health" not in view["State"]
    assert view["Config"]["Labels"]["com.docker.swarm.service.name"] == "web"


IMAGE = ImageDefaults(
    entrypoint=["/entry"], command=["serve"], env=["PATH=/bin", "A=0", "B=2"], dir="/srv", user="app"
)
_ASKED = "{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.WorkingDir}} {{.Config.User}} {{.Config.Env}}"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (ContainerSpec(), "[/entry] [serve] /srv app [PATH=/bin A=0 B=2]"),
        (ContainerSpec(args=["ls"], dir="/", user="0"), "[/entry] [ls] / 0 [PATH=/bin A=0 B=2]"),
        (ContainerSpec(command=["sh"], env=["A=1", "B"]), "[sh] [] /srv app [A=1 PATH=/bin]"),
    ],
)
def test_what_the_image_says_is_shown_where_nobody_said_otherwise(spec: ContainerSpec, text: str) -> None:
    found = ContainerDetails(spec=spec, image=IMAGE)
    assert fill(_ASKED, details_view(found, "n1", {})) == text


def test_a_volume_without_a_name_has_the_name_of_its_node_and_is_no_bind() -> None:
    found = details()
    found.spec.mounts.add(type=Mount.TYPE_VOLUME, target="/own/")
    view = details_view(found, "n1", {})
    assert view["Mounts"][2]["Name"] == anonymous_name("c1id", "/own")
    assert view["HostConfig"]["Binds"] == ["data:/d", "/srv:/s:ro"]
