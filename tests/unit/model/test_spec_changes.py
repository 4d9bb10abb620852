from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateConfig
from swarm.clock import SECOND
from swarm.model.spec_changes import changes


def told(edit, start=None) -> list[str]:
    before, after = ServiceSpec(), ServiceSpec()
    before.task.container.image = "web:1"
    before.replicated.replicas = 2
    if start is not None:
        start(before)
    after.CopyFrom(before)
    edit(after)
    return list(changes(before, after))


def test_equal_specs_have_no_changes() -> None:
    assert told(lambda spec: None) == []


def test_what_people_change_most_is_said_shortest() -> None:
    assert told(lambda spec: setattr(spec.task.container, "image", "web:2")) == ["image web:1 → web:2"]
    assert told(lambda spec: setattr(spec.replicated, "replicas", 5)) == ["replicas 2 → 5"]
    assert told(lambda spec: setattr(spec.task, "force_update", 1)) == ["forced"]


def test_another_digest_of_the_same_image_is_a_change() -> None:
    assert told(lambda spec: setattr(spec.task.container, "image_digest", "sha256:1")) == [
        "image has another digest"
    ]


def test_of_lists_and_labels_what_came_and_went_is_said() -> None:
    def start(spec: ServiceSpec) -> None:
        spec.task.container.env.extend(["A=1", "B=2"])
        spec.annotations.labels["x"] = "1"

    def edit(spec: ServiceSpec) -> None:
        spec.task.container.env[:] = ["A=1", "B=3"]
        spec.annotations.labels["x"] = "2"

    assert sorted(told(edit, start)) == ["env -B=2 +B=3", "labels -x=1 +x=2"]
    assert told(lambda spec: spec.task.container.env.reverse(), start) == ["env in another order"]


def test_units_and_words_are_those_of_the_command_line() -> None:
    def edit(spec: ServiceSpec) -> None:
        spec.update.delay_ns = 10 * SECOND
        spec.update.order = UpdateConfig.ORDER_START_FIRST
        spec.task.resources.limits.memory_bytes = 64_000_000
        spec.task.resources.limits.nano_cpus = 5 * 10**8

    assert sorted(told(edit)) == [
        "limits memory 0B → 64MB",
        "limits nano-cpus 0 → 0.5",
        "update delay - → 10s",
        "update order - → start-first",
    ]


def test_a_published_port_is_said_with_its_numbers() -> None:
    (text,) = told(lambda spec: spec.endpoint.ports.add(target_port=80, published_port=8080))
    assert text.startswith("ports +")
    assert "8080" in text


def test_secrets_and_configs_are_named_by_what_was_said_of_them() -> None:
    def start(spec: ServiceSpec) -> None:
        spec.task.container.secrets.add(secret_id="1", secret_name="key").target.name = "key"
        spec.task.container.configs.add(config_id="2", config_name="ini").target.name = "/ini"

    def edit(spec: ServiceSpec) -> None:
        secret, config = spec.task.container.secrets[0], spec.task.container.configs[0]
        secret.secret_id, secret.secret_name = "3", "key2"
        config.target.uid, config.target.mode = 1000, 0o400

    assert told(edit, start) == ["secrets -key +key2:key", "configs -ini +ini 1000:0 0400"]
