"""Options of `service create` and `service update` become a spec that says what the user said, no more."""

import click
import pytest

from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO, ServiceSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.cli import service
from swarm.errors import InvalidArgument


def options_of(command, *words):
    context = command.make_context(command.name, list(words), resilient_parsing=False)
    return context.params


def created(*words):
    given = options_of(service.create, *words)
    return service.new_spec(given.pop("image"), given.pop("args"), given)


def updated(spec, *words):
    given = options_of(service.update, "web", *words)
    given.pop("ref")
    result = ServiceSpec()
    result.CopyFrom(spec)
    service._change(result, given)
    return result


def test_what_the_user_did_not_say_is_absent():
    spec = created("--name", "web", "web:1")
    expected = ServiceSpec()
    expected.annotations.name = "web"
    expected.task.container.image = "web:1"
    expected.replicated.SetInParent()
    assert spec == expected


def test_options_after_the_image_belong_to_the_command():
    spec = created("--name", "web", "web:1", "serve", "--port", "80")
    assert list(spec.task.container.args) == ["serve", "--port", "80"]


def test_an_update_without_options_changes_nothing():
    spec = created("--name", "web", "--replicas", "3", "web:1")
    assert updated(spec) == spec
    assert updated(spec, "--replicas", "3") == spec


def test_an_update_replaces_and_removes_by_key():
    spec = created("--name", "web", "-e", "A=1", "-e", "B=2", "-l", "x=1", "-p", "80:80", "web:1")
    new = updated(spec, "--env-add", "A=9", "--env-rm", "B", "--label-rm", "x", "--publish-rm", "80")
    assert list(new.task.container.env) == ["A=9"]
    assert not new.annotations.labels
    assert not new.endpoint.ports


def test_publishing_again_takes_another_port_beside_the_one_that_is_there():
    spec = created("--name", "web", "-p", "8080:80", "web:1")
    new = updated(spec, "--publish-add", "8081:80")
    assert [port.published_port for port in new.endpoint.ports] == [8080, 8081]
    moved = updated(spec, "--publish-rm", "80", "--publish-add", "8081:80")
    assert [port.published_port for port in moved.endpoint.ports] == [8081]


def test_the_same_port_published_again_takes_the_mode_that_was_said_last():
    spec = created("--name", "web", "-p", "8080:80", "web:1")
    new = updated(spec, "--publish-add", "published=8080,target=80,mode=host")
    assert [(port.published_port, port.publish_mode) for port in new.endpoint.ports] == [
        (8080, PortConfig.PUBLISH_MODE_HOST)
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--env-rm", "A"),
        ("--label-rm", "x"),
        ("--container-label-rm", "x"),
        ("--mount-rm", "/data"),
        ("--publish-rm", "80"),
        ("--constraint-rm", "a==b"),
        ("--placement-pref-rm", "spread=node.labels.zone"),
        ("--generic-resource-rm", "tpu"),
        ("--secret-rm", "key"),
        ("--config-rm", "ini"),
        ("--network-rm", "shop"),
        ("--group-rm", "x"),
        ("--sysctl-rm", "x"),
        ("--ulimit-rm", "x"),
        ("--host-rm", "x"),
        ("--dns-rm", "x"),
        ("--dns-search-rm", "x"),
        ("--dns-option-rm", "x"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_to_be_removed_is_told_and_the_rest_is_done(words, capsys):
    spec = created("--name", "web", "web:1")
    new = updated(spec, *words, "--env-add", "B=1")
    assert list(new.task.container.env) == ["B=1"]
    new.task.container.ClearField("env")
    assert new == spec
    assert f"Warning: {' '.join(words)}: " in capsys.readouterr().err


def test_a_port_is_taken_away_as_it_was_published_too():
    spec = created("--name", "web", "-p", "8080:80", "-p", "53:53/udp", "-p", "90-91:90-91", "web:1")
    for given, left in (("8080:80", [53, 90, 91]), ("53/udp", [80, 90, 91]), ("90-91", [80, 53])):
        assert [port.target_port for port in updated(spec, "--publish-rm", given).endpoint.ports] == left


def test_resources_and_restart_policy_are_in_the_units_of_the_api():
    spec = created(
        "--limit-cpu", "0.5", "--limit-memory", "64m", "--reserve-cpu", "0.25", "--restart-delay", "2s",
        "--restart-max-attempts", "3", "--restart-condition", "on-failure",
        "--stop-grace-period", "1m", "web:1",
    )  # fmt: skip
    assert spec.task.resources.limits.nano_cpus == 500_000_000
    assert spec.task.resources.limits.memory_bytes == 64 << 20
    assert spec.task.resources.reservations.nano_cpus == 250_000_000
    assert spec.task.restart.delay_ns == 2 * 10**9
    assert spec.task.restart.max_attempts == 3
    assert spec.task.container.stop_grace_period_ns == 60 * 10**9


def test_a_negative_number_of_replicas_is_refused():
    with pytest.raises(InvalidArgument, match="negative"):
        created("--replicas", "-1", "web:1")


def test_a_global_service_has_no_replicas():
    with pytest.raises(InvalidArgument, match="global"):
        created("--mode", "global", "--replicas", "2", "web:1")


def test_an_unknown_option_is_a_usage_error():
    with pytest.raises(click.UsageError):
        created("--nope", "web:1")


def test_rebalance_is_said_only_when_it_was_asked_for():
    assert created("--name", "web", "--rebalance", "auto", "web:1").rebalance == REBALANCE_MODE_AUTO
    assert not created("--name", "web", "web:1").HasField("rebalance")
    assert (
        updated(created("--name", "web", "--rebalance", "auto", "web:1"), "--rebalance", "off").rebalance
        == 0
    )


def test_a_registry_without_credentials_is_asked_without(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    spec = created("--name", "web", "web:1")
    service._registry_auth(spec, {"with_registry_auth": True})
    assert not spec.task.container.HasField("registry_auth")
    assert "Warning: --with-registry-auth: " in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--image", "web:2"), ("--force",), ("--env-add", "A=1"), ("--no-init",)])
def test_going_back_and_changing_something_else_at_once_is_refused(words):
    context = service.update.make_context("update", ["--rollback", *words, "web"], obj="unix:///nowhere")
    with pytest.raises(click.UsageError, match="cannot go with --rollback"), context:
        service.update.invoke(context)
