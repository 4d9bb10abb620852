"""Option values as Docker users write them."""

import time

import pytest

from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.cli import parse
from swarm.errors import InvalidArgument


def test_a_short_publish_is_ingress_as_in_docker():
    assert parse.publish("8080:80/udp") == [
        PortConfig(protocol=PortConfig.PROTOCOL_UDP, target_port=80, published_port=8080)
    ]


def test_a_published_range_expands_port_by_port():
    ports = parse.publish("8080-8082:80-82")
    assert [(port.published_port, port.target_port) for port in ports] == [
        (8080, 80),
        (8081, 81),
        (8082, 82),
    ]


def test_many_published_ports_may_lead_to_one_of_the_container():
    ports = parse.publish("8080-8081:80")
    assert [(port.published_port, port.target_port) for port in ports] == [(8080, 80), (8081, 80)]


def test_names_of_fields_and_protocols_may_be_in_capitals():
    assert parse.publish("8080:80/UDP") == parse.publish("8080:80/udp")
    assert parse.publish("PUBLISHED=8080,Target=80,mode=HOST") == parse.publish(
        "published=8080,target=80,mode=host"
    )
    assert parse.mount("type=BIND,Source=/Srv,Target=/data,ReadOnly") == parse.mount(
        "type=bind,source=/Srv,target=/data,readonly"
    )
    assert parse.mount("src=data,dst=/d,Volume-Label=A=b").volume.labels == {"A": "b"}


def test_a_long_publish_names_its_mode():
    (port,) = parse.publish("published=8080,target=80,mode=host")
    assert port.publish_mode == PortConfig.PUBLISH_MODE_HOST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.4:8080:80", ("192.0.2.4", 8080)),
        ("192.0.2.4::80", ("192.0.2.4", 0)),
        ("[2001:db8::4]:8080:80/udp", ("2001:db8::4", 8080)),
        ("published=8080,target=80,mode=host,host-ip=192.0.2.0/24", ("192.0.2.0/24", 8080)),
        ("0.0.0.0:8080:80", ("0.0.0.0/0", 8080)),
        ("8080:80", ("", 8080)),
    ],
)
def test_a_port_may_be_published_at_some_addresses(text, expected):
    (port,) = parse.publish(text)
    assert (port.host_ip, port.published_port, port.target_port) == (*expected, 80)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http",
        "80:",
        "somewhere:80:80",
        "192.0.2.4/8:80:80",
        "published=80,target=80,host-ip=here",
        "8080-8082:80-81",
        "70000:80",
        "published=80",
        "target=80,mode=bridge",
        "9-1:9-1",
    ],
)
def test_a_malformed_publish_is_one_error(text):
    with pytest.raises(InvalidArgument):
        parse.publish(text)


def test_a_mount_takes_dockers_field_names():
    assert parse.mount("type=bind,src=/srv,dst=/data,ro") == Mount(
        source="/srv", target="/data", read_only=True
    )
    tmpfs = parse.mount("type=tmpfs,target=/run,tmpfs-size=1m,tmpfs-mode=1777")
    assert (tmpfs.tmpfs.size_bytes, tmpfs.tmpfs.mode) == (1 << 20, 0o1777)


def test_a_mount_of_a_volume_takes_dockers_field_names():
    volume = parse.mount(
        "type=volume,src=data,dst=/data,readonly,volume-nocopy,volume-driver=local,volume-label=a=b,"
        'volume-opt=type=nfs,volume-opt=device=:/x,"volume-opt=o=addr=192.0.2.1,rw",volume-label=c'
    )
    assert (volume.type, volume.source, volume.read_only) == (Mount.TYPE_VOLUME, "data", True)
    assert (volume.volume.no_copy, volume.volume.driver) == (True, "local")
    assert dict(volume.volume.labels) == {"a": "b", "c": ""}
    options = {"type": "nfs", "device": ":/x", "o": "addr=192.0.2.1,rw"}
    assert dict(volume.volume.driver_options) == options


def test_a_mount_without_a_type_is_a_volume_unless_it_is_of_a_path():
    assert parse.mount("src=data,dst=/data").type == Mount.TYPE_VOLUME
    assert parse.mount("dst=/data").type == Mount.TYPE_VOLUME
    assert parse.mount("src=/srv,dst=/data").type == Mount.TYPE_BIND


def test_a_source_below_here_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse.mount("type=bind,src=./www,dst=/www").source == f"{tmp_path}/www"
    assert parse.mount("type=bind,src=.,dst=/www").source == str(tmp_path)


def test_what_is_so_anyway_may_be_said():
    plain = parse.mount("type=bind,src=/srv,dst=/data")
    assert parse.mount("type=bind,src=/srv,dst=/data,consistency=cached") == plain
    assert parse.mount("type=bind,src=/srv,dst=/data,bind-recursive=enabled") == plain
    with pytest.raises(InvalidArgument, match="not one of enabled, writable"):
        parse.mount("type=bind,src=/srv,dst=/data,bind-recursive=disabled")
    with pytest.raises(InvalidArgument, match="not one of default, consistent"):
        parse.mount("type=bind,src=/srv,dst=/data,consistency=odd")


@pytest.mark.parametrize("text", ["type=bind,src=/srv,target", "type,src=/srv,dst=/data"])
def test_a_field_without_its_value_is_refused(text):
    with pytest.raises(InvalidArgument, match="=VALUE"):
        parse.mount(text)


def test_an_unknown_mount_field_is_refused_with_the_known_ones():
    with pytest.raises(InvalidArgument, match="known: type"):
        parse.mount("type=bind,sorce=/srv,dst=/data")


def test_a_variable_without_value_is_passed_on_or_left_out():
    assert parse.environment(["A=1", "HOME", "NOPE"], {"HOME": "/root"}) == ["A=1", "HOME=/root"]


def test_an_unknown_filter_names_the_known_ones():
    with pytest.raises(InvalidArgument, match="id, name"):
        parse.filters(["colour=red"], ("id", "name"))


def test_files_of_variables_have_comments_and_empty_lines(tmp_path):
    file = tmp_path / "env"
    file.write_text("# of the shop\nA=1\n\n  B=two words  \nHOME\n")
    assert parse.file_lines([str(file)]) == ["A=1", "B=two words", "HOME"]
    with pytest.raises(InvalidArgument, match="--env-file"):
        parse.file_lines([str(tmp_path / "missing")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("10m", 4_000_000_000_000 - 600_000_000_000),
        ("1h0m1.5s", 4_000_000_000_000 - 3_601_500_000_000),
        ("-10m", 4_000_000_000_000 + 600_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.000000005Z", 1_700_000_000_000_000_005),
        ("2023-11-15T00:13:20.5+02:00", 1_700_000_000_500_000_000),
    ],
)
def test_a_moment_is_a_time_seconds_or_an_age(text: str, expected: int) -> None:
    assert parse.moment(text, 4_000_000_000_000) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "1.2.3", "-", "2023-13-01", "10 m"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is neither a time"):
        parse.moment(text, 0)


def test_a_time_without_a_zone_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-3")
    time.tzset()
    try:
        assert parse.moment("1970-01-01T03:00:01", 0) == 1_000_000_000
        assert parse.moment("1970-01-02", 0) == 21 * 3600 * 1_000_000_000
    finally:
        monkeypatch.undo()
        time.tzset()
