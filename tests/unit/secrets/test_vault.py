"""The driver vault against a server that is as strict as the real one."""

import asyncio
import base64
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from swarm.clock import SystemClock
from swarm.errors import TaskRejected, Unavailable
from swarm.manager.secrets.vault import Vault
from tests.unit.secrets.vaults import Kept, a_question, a_vault
from tests.vault_server import State

KEPT = Kept({"token": b"t0ken\n", "wrong": b"other", "sid": b"s-id"})


class Person:
    """Asks the driver."""

    def __init__(self, vault: Vault, state: State, address: str) -> None:
        self.vault = vault
        self.state = state
        self.address = address

    async def read(self, lookup: Kept = KEPT, **options: str) -> bytes:
        given = {"address": self.address, "path": "apps/web", "token-secret": "token"}
        given |= {key.replace("_", "-"): value for key, value in options.items()}
        given = {key: value for key, value in given.items() if value}
        return (await self.vault.read(a_question(given), lookup)).value


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    with a_vault(tmp_path) as (state, address):
        state.change(
            tokens={"t0ken": ["secret/", "kv/"], "narrow": ["secret/data/apps/db"]},
            roles={"r1": {"secret_id": "s-id", "token": "t0ken"}},
            kv1={"kv/apps/web": {"password": "one"}},
            kv2={"secret/apps/web": [{"password": "first"}, {"password": "second", "user": "ada"}]},
        )
        vault = Vault(SystemClock())
        try:
            yield Person(vault, state, address)
        finally:
            await vault.close()


async def test_the_newest_version_of_a_field_is_read_and_pinned_ones_when_they_are_named(
    person: Person,
) -> None:
    assert await person.read(field="password") == b"second"
    assert await person.read(version="1") == b"first"
    assert json.loads(await person.read(field="*")) == {"password": "second", "user": "ada"}
    assert await person.read(mount="kv", kv="1") == b"one"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "has 2 fields: say which"),
        ({"field": "pin"}, 'has no field "pin"'),
        ({"path": "apps/none"}, "has nothing for the path"),
        ({"version": "7"}, "has nothing for the path"),
        ({"token_secret": "wrong"}, "does not permit .*permission denied"),
        ({"token_secret": "gone"}, "no secret gone"),
        ({"path": "../sys/mounts"}, "cannot ask for the path"),
        ({"path": "apps//web"}, "cannot ask for the path"),
        ({"mount": "kv", "field": "password"}, "nothing for the path|does not permit"),
        ({"namespace": "other"}, "has nothing for the path"),
        ({"field": "password", "encoding": "base64"}, "is not in base64"),
        (
            {"token_secret": "", "role_id": "r2", "secret_id_secret": "sid"},
            r"refuses the login .*invalid role",
        ),
    ],
)
async def test_what_asking_again_will_not_mend_is_refused_and_says_what_to_change(
    person: Person, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(TaskRejected, match=reason) as caught:
        await person.read(**options)
    assert "second" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


async def test_a_deleted_version_is_told_as_such(person: Person) -> None:
    person.state.change(kv2={"secret/apps/web": [{"a": "b"}, "deleted", "destroyed"]})
    with pytest.raises(TaskRejected, match="that version was deleted"):
        await person.read(version="2")
    with pytest.raises(TaskRejected, match="that version was destroyed"):
        await person.read()


async def test_binary_secrets_come_in_base64(person: Person) -> None:
    person.state.change(kv2={"secret/apps/web": [{"key": base64.encodebytes(b"\x00\xff" * 60).decode()}]})
    assert await person.read(encoding="base64") == b"\x00\xff" * 60


async def test_a_namespace_is_asked_for_by_its_header(person: Person) -> None:
    person.state.change(namespace="team/a")
    assert await person.read(namespace="team/a", field="user") == b"ada"


async def test_an_app_role_logs_in_once_and_again_when_its_token_was_revoked(person: Person) -> None:
    role = {"token_secret": "", "role_id": "r1", "secret_id_secret": "sid", "field": "user"}
    answers = await asyncio.gather(*(person.read(**role) for _ in range(5)))
    assert answers == [b"ada"] * 5
    assert [one for one in person.state.asked() if "login" in one] == ["POST /v1/auth/approle/login 200"]
    person.state.change(tokens={"fresh": ["secret/"]}, roles={"r1": {"secret_id": "s-id", "token": "fresh"}})
    assert await person.read(**role) == b"ada"
    person.state.change(tokens={})
    with pytest.raises(TaskRejected, match="does not permit"):
        await person.read(**role)


@pytest.mark.parametrize("lease", [0, 3600])
async def test_a_token_is_not_used_beyond_its_life(tmp_path: Path, lease: int) -> None:
    class Later(SystemClock):
        ahead_s = 0.0

        def monotonic_s(self) -> float:
            return super().monotonic_s() + self.ahead_s

    clock = Later()
    with a_vault(tmp_path) as (state, address):
        state.change(
            tokens={"t0ken": ["secret/"]},
            roles={"r1": {"secret_id": "s-id", "token": "t0ken", "lease_duration": lease}},
            kv2={"secret/apps/web": [{"password": "first"}]},
        )
        vault = Vault(clock)
        person = Person(vault, state, address)
        for clock.ahead_s in (0.0, 3500.0):
            await person.read(token_secret="", role_id="r1", secret_id_secret="sid")
        await vault.close()
        assert len([one for one in state.asked() if "login" in one]) == (1 if lease == 0 else 2)


async def test_a_sealed_server_a_silent_one_and_none_at_all_may_answer_later(person: Person) -> None:
    person.state.change(sealed=True)
    with pytest.raises(Unavailable, match="is sealed"):
        await person.read()
    person.state.change(sealed=False, slow_s=2)
    slow = Person(Vault(SystemClock(), timeout_s=0.2), person.state, person.address)
    with pytest.raises(Unavailable, match=r"did not answer within 0.2 s|cannot be asked"):
        await slow.read()
    await slow.vault.close()
    nobody = Person(person.vault, person.state, "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="cannot be asked"):
        await nobody.read()


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(person: Person) -> None:
    person.state.change(kv2={"secret/apps/web": [{"a": "x" * 3_000_000}]})
    with pytest.raises(TaskRejected, match="too large"):
        await person.read()


def a_certificate(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """A server's certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vault")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, pem


async def test_a_server_is_trusted_by_the_ca_of_a_config_and_by_no_other(tmp_path: Path) -> None:
    context, pem = a_certificate(tmp_path)
    with a_vault(tmp_path, context) as (state, address):
        state.change(tokens={"t0ken": ["secret/"]}, kv2={"secret/apps/web": [{"a": "b"}]})
        vault = Vault(SystemClock())
        person = Person(vault, state, address)
        lookup = Kept(KEPT.secrets, {"ca": pem, "none": b"no PEM"})
        assert await person.read(lookup, ca_config="ca") == b"b"
        with pytest.raises(Unavailable, match="cannot be asked"):
            await person.read(lookup)
        with pytest.raises(TaskRejected, match="holds no CA"):
            await person.read(lookup, ca_config="none")
        await vault.close()
