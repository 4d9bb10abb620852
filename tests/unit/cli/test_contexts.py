"""Clusters by name: what is kept, who may read it, and which of them counts."""

import json
import os
import stat

import pytest

from swarm.cli.contexts import (
    Context,
    ContextStore,
    Tls,
    choose,
    default_root,
    parse,
    to_text,
    write_private,
)
from swarm.cli.endpoints import MachineEndpoint, ManagersEndpoint, SshEndpoint, UnixEndpoint, parse_endpoint
from swarm.cli.main import main
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, NameConflict, NotFound
from swarm.security.certificates import create_csr, create_root_ca, issue_user_certificate, new_key_pem
from swarm.security.identity import Role

SOCKET = "unix:///run/swarm/swarmd.sock"
LAB = Context("lab", "ssh://root@lab", "below the desk")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for variable in ("SWARMCTL_HOST", "SWARMCTL_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    return ContextStore(default_root(os.environ))


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([*words])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def credentials(folder, **about):
    now_ns = SystemClock().now_ns()
    root, key = create_root_ca("cluster1", now_ns), new_key_pem()
    about = {"user": "ann", "role": Role.VIEWER, "cluster_id": "cluster1", "now_ns": now_ns, **about}
    cert = issue_user_certificate(root, create_csr(key), **about)
    for name, pem in (("ca", root.cert_pem), ("cert", cert), ("key", key)):
        (folder / f"{name}.pem").write_bytes(pem)
    return [word for name in ("ca", "cert", "key") for word in (f"--{name}", str(folder / f"{name}.pem"))]


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("unix:///a/b.sock", UnixEndpoint("/a/b.sock")),
        ("/a/b.sock", UnixEndpoint("/a/b.sock")),
        ("ssh://lab", SshEndpoint("lab")),
        ("ssh://ann@lab.example.com:2222", SshEndpoint("lab.example.com", "ann", 2222)),
        (
            "ssh://root@[2001:db8::1]:22/run/two.sock",
            SshEndpoint("2001:db8::1", "root", 22, "/run/two.sock"),
        ),
        ("ssh://lab/", SshEndpoint("lab")),
        ("machine://w1", MachineEndpoint("w1")),
        ("tcp://10.0.0.1", ManagersEndpoint((("10.0.0.1", 2377),))),
        ("tcp://a:1, b,[::1]:3", ManagersEndpoint((("a", 1), ("b", 2377), ("::1", 3)))),
        ("tcp://a,tcp://b", ManagersEndpoint((("a", 2377), ("b", 2377)))),
    ],
)
def test_endpoints_are_read_as_people_write_them(text, endpoint):
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    ["", "lab", "unix://relative", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@lab", "ssh://a b", "tcp://",
     "tcp://a,", "tcp://a:0", "tcp://a:99999", "ssh://a:70000", "http://a", "machine://", "ssh://lab\nx"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused_and_cannot_become_an_option(text):
    with pytest.raises(InvalidArgument, match="host"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("context", "host", "environ", "used", "chosen"),
    [
        (None, None, {}, None, SOCKET),
        (None, None, {}, "lab", "context://lab"),
        (None, None, {"SWARMCTL_CONTEXT": "two"}, "lab", "context://two"),
        (None, None, {"SWARMCTL_CONTEXT": "default"}, "lab", SOCKET),
        (None, None, {"SWARMCTL_HOST": "/h", "SWARMCTL_CONTEXT": "two"}, "lab", "/h"),
        (None, "/o", {"SWARMCTL_HOST": "/h", "SWARMCTL_CONTEXT": "two"}, "lab", "/o"),
        ("three", None, {"SWARMCTL_HOST": "/h", "SWARMCTL_CONTEXT": "two"}, "lab", "context://three"),
        ("default", None, {"SWARMCTL_HOST": "/h"}, "lab", "/h"),
    ],
)
def test_what_is_said_more_closely_counts_more(store, context, host, environ, used, chosen):
    if used:
        store.use(used)
    assert choose(context, host, environ, store) == chosen


def test_two_places_at_once_are_refused(store):
    with pytest.raises(InvalidArgument, match="--context and --host"):
        choose("lab", "/o", {}, store)


def test_a_context_is_kept_for_its_owner_only(store):
    before = os.umask(0)
    try:
        store.add(LAB)
    finally:
        os.umask(before)
    path = store.path("lab")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["lab.json"]
    assert store.load("lab", {}) == LAB


def test_a_file_is_replaced_as_a_whole_or_not_at_all(store, monkeypatch):
    store.add(LAB)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("swarm.cli.contexts.os.fsync", full)
    with pytest.raises(FailedPrecondition, match="No space left"):
        store.save(Context("lab", "ssh://other"))
    assert store.load("lab", {}) == LAB
    assert [one.name for one in store.path("lab").parent.iterdir()] == ["lab.json"]


def test_names_are_taken_once_and_cannot_leave_the_folder(store):
    store.add(LAB)
    with pytest.raises(NameConflict, match="lab"):
        store.add(LAB)
    with pytest.raises(NameConflict, match="default"):
        store.add(Context("default", SOCKET))
    for name in ("../x", ".hidden", "", "a/b", "-f"):
        with pytest.raises(InvalidArgument, match="cannot be the name"):
            store.path(name)


def test_a_context_that_is_not_there_is_named_with_those_that_are(store):
    store.add(LAB)
    with pytest.raises(NotFound, match='"nope"; known: default, lab'):
        store.load("nope", {})


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "null", '{"schema": 2, "host": "x"}', '{"schema": 1}'),
        *('{"schema": 1, "host": 5}', '{"schema": 1, "host": "x", "tls": {"ca": ""}}'),
    ],
)
def test_a_damaged_file_is_an_error_with_a_next_step_and_hides_no_other(store, text, capsys):
    store.add(LAB)
    write_private(store.path("bad"), text)
    with pytest.raises(InvalidArgument, match="swarmctl context rm -f bad"):
        store.load("bad", {})
    code, out, _ = run(capsys, "context", "ls", "--format", "json")
    rows = {row["Name"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0
    assert rows["lab"]["Error"] == ""
    assert "damaged" in rows["bad"]["Error"]
    assert run(capsys, "context", "rm", "bad")[0] == 0
    assert store.names() == ["default", "lab"]


def test_what_is_written_is_what_is_read():
    whole = Context("x", "tcp://a", "d", Tls("ca", "cert", "key"))
    assert parse(to_text(whole), "x") == whole
    assert "key='key'" not in repr(whole)


def test_a_context_with_a_key_goes_round_by_export_and_import(store, tmp_path, capsys):
    files = credentials(tmp_path)
    assert run(capsys, "context", "create", "shop", "--host", "tcp://10.0.0.1,10.0.0.2", *files)[0] == 0
    code, _, err = run(capsys, "context", "export", "shop", str(tmp_path / "out"))
    assert (code, "private key" in err) == (0, True)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    assert run(capsys, "context", "export", "shop", str(tmp_path / "out"))[0] == 1
    assert run(capsys, "context", "import", "copy", str(tmp_path / "out"))[0] == 0
    assert store.load("copy", {}).tls == store.load("shop", {}).tls
    code, out, _ = run(capsys, "context", "inspect", "copy", "--format", "{{.Certificate.User}}")
    assert out == "ann\n"
    assert "PRIVATE" not in run(capsys, "context", "inspect", "copy")[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "tcp://a"], "give --ca, --cert and --key"),
        ([], "say where it is"),
        (["--host", "nowhere"], "no place where"),
        (["--docker", "host=tcp://a,b,skip-tls-verify=true"], "skip-tls-verify"),
        (["--host", "tcp://a", "--ca", "/nonexistent"], "belong together"),
        (
            ["--host", "tcp://a", *("--ca", "x/y"), *("--cert", "x/y"), *("--key", "x/y")],
            "cannot read x/y",
        ),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_kept(store, capsys, words, reason):
    code, _, err = run(capsys, "context", "create", "x", *words)
    assert (code, reason in err) == (1, True)
    assert store.names() == ["default"]


def test_a_key_of_another_certificate_is_refused(store, tmp_path, capsys):
    files = credentials(tmp_path)
    (tmp_path / "key.pem").write_bytes(new_key_pem())
    code, _, err = run(capsys, "context", "create", "x", "--host", "tcp://a", *files)
    assert (code, "not that of the certificate" in err) == (1, True)


def test_an_address_list_keeps_its_commas_as_docker_writes_it(store, tmp_path, capsys):
    files = dict(zip(("ca", "cert", "key"), credentials(tmp_path)[1::2], strict=True))
    docker = ",".join(["host=tcp://a,b:1", *(f"{key}={path}" for key, path in files.items())])
    assert run(capsys, "context", "create", "x", "--docker", docker)[0] == 0
    assert store.load("x", {}).host == "tcp://a,b:1"


def test_the_context_in_use_is_removed_only_with_force(store, capsys):
    store.add(LAB)
    assert run(capsys, "context", "use", "lab")[0] == 0
    code, _, err = run(capsys, "context", "rm", "lab", "nope")
    assert code == 1
    assert "in use" in err
    assert 'no context "nope"' in err
    assert run(capsys, "context", "rm", "-f", "lab")[0] == 0
    assert store.current == "default"
    assert run(capsys, "context", "rm", "-f", "nope")[:2] == (0, "nope\n")
    assert "always there" in run(capsys, "context", "rm", "default")[2]


def test_using_a_context_says_so_when_the_environment_counts_more(store, capsys, monkeypatch):
    store.add(LAB)
    monkeypatch.setenv("SWARMCTL_HOST", SOCKET)
    assert "SWARMCTL_HOST is set" in run(capsys, "context", "use", "lab")[2]


def test_an_expired_certificate_is_named_before_anybody_is_called(store, tmp_path, capsys):
    hour = 3600 * 10**9
    files = credentials(tmp_path, now_ns=SystemClock().now_ns() - 48 * hour, lifetime_ns=int(47.5 * hour))
    assert run(capsys, "context", "create", "old", "--host", "tcp://127.0.0.1:1", *files)[0] == 0
    code, _, err = run(capsys, "-c", "old", "node", "ls")
    assert (code, "certificate of context old expired on" in err) == (1, True)


def test_every_manager_that_does_not_answer_is_named(store, tmp_path, capsys):
    files = credentials(tmp_path)
    run(capsys, "context", "create", "gone", "--host", "tcp://127.0.0.1:1,127.0.0.1:2", *files)
    code, _, err = run(capsys, "-c", "gone", "node", "ls")
    assert code == 1
    assert "127.0.0.1:1: Connection refused; 127.0.0.1:2: Connection refused" in err
