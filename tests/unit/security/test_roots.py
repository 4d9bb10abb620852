"""Which certificates may be roots, and what is made of several of them."""

import contextlib
import datetime as dt
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.security.certificates import KeyedCertificate, create_root_ca
from swarm.security.roots import (
    check_cross_signed,
    check_keyed_root,
    check_root,
    cross_sign,
    is_root,
    join_pem,
    same_key,
    split_chain,
    trust_digest,
)
from swarm.security.tokens import root_digest

NOW = 1_800_000_000 * SECOND
DAY = dt.timedelta(days=1)
RSA_KEY = rsa.generate_private_key(65537, 2048)


def made(
    key: object = None,
    *,
    ca: bool | None = True,
    path_length: int | None = None,
    since: dt.timedelta = -DAY,
    until: dt.timedelta = DAY,
    usage: x509.KeyUsage | None = None,
    subject: str = "corp",
    signer: object = None,
) -> KeyedCertificate:
    """A certificate as some other tool might make it."""
    private: ec.EllipticCurvePrivateKey = key or ec.generate_private_key(ec.SECP256R1())  # type: ignore[assignment]
    now = dt.datetime.fromtimestamp(NOW / SECOND, dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signer or private, algorithm)  # type: ignore[arg-type]
    pem = (
        private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        if not isinstance(private, ed25519.Ed25519PrivateKey)
        else b""
    )
    return KeyedCertificate(certificate.public_bytes(Encoding.PEM), pem)


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.mark.parametrize(
    "root",
    [
        made(),
        made(RSA_KEY),
        made(ec.generate_private_key(ec.SECP384R1())),
        made(path_length=1, usage=usage(signs=True)),
    ],
)
def test_a_root_of_another_tool_will_do(root: KeyedCertificate) -> None:
    checked = check_keyed_root(b"a comment\n" + root.cert_pem, root.key_pem, NOW)
    assert checked.cert_pem == root.cert_pem
    assert b"BEGIN PRIVATE KEY" in checked.key_pem


@pytest.mark.parametrize(
    ("root", "why"),
    [
        (lambda: made(ca=None), "no basic constraints"),
        (lambda: made(ca=False), "not that of a CA"),
        (lambda: made(path_length=0), "path length is 0"),
        (lambda: made(since=DAY, until=2 * DAY), "valid only from"),
        (lambda: made(since=-2 * DAY, until=-DAY), "expired at"),
        (lambda: made(usage=usage(signs=False)), "may not sign certificates"),
        (lambda: made(subject=""), "no subject"),
        (lambda: made(signer=ec.generate_private_key(ec.SECP256R1())), "not self-signed"),
        (lambda: made(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        (lambda: made(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (lambda: made(ed25519.Ed25519PrivateKey.generate()), "neither an elliptic curve nor an RSA key"),
    ],
)
def test_what_cannot_be_a_root_is_refused_with_the_reason(
    root: Callable[[], KeyedCertificate], why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        check_root(root().cert_pem, NOW)


@pytest.mark.parametrize("pem", [b"", b"nonsense", made().cert_pem * 2])
def test_exactly_one_certificate_is_a_root(pem: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"must be one PEM certificate, and there are [02]"):
        check_root(pem, NOW)


def test_the_key_must_be_that_of_the_certificate_and_open() -> None:
    root = made()
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    for pem, why in [(made().key_pem, "not the key of"), (sealed, "passphrase"), (b"x", "cannot be read")]:
        with pytest.raises(InvalidArgument, match=why) as caught:
            check_keyed_root(root.cert_pem, pem, NOW)
        assert "BEGIN" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@given(st.binary(max_size=400), st.integers(0, 900), st.integers(0, 255))
@settings(max_examples=200)
def test_no_text_makes_the_checks_fail_in_any_other_way(noise: bytes, where: int, byte: int) -> None:
    """Whatever is in a file, the answer is a sentence, never a crash."""
    damaged = bytearray(CROSS_SIGNABLE.cert_pem)
    damaged[where % len(damaged)] = byte
    for text in (
        noise,
        bytes(damaged),
        b"-----BEGIN CERTIFICATE-----" + noise + b"-----END CERTIFICATE-----",
    ):
        with contextlib.suppress(InvalidArgument):
            check_keyed_root(text, CROSS_SIGNABLE.key_pem, NOW)


CROSS_SIGNABLE = made()


def test_a_new_root_below_the_old_one_is_the_same_name_and_key() -> None:
    old, new = create_root_ca("c", NOW), create_root_ca("c", NOW)
    crossed = cross_sign(new.cert_pem, old)
    assert check_cross_signed(crossed, new.cert_pem, old.cert_pem) == ""
    assert "present root" in check_cross_signed(crossed, new.cert_pem, new.cert_pem)
    assert "new root" in check_cross_signed(crossed, old.cert_pem, old.cert_pem)
    assert not is_root(x509.load_pem_x509_certificate(crossed))
    assert same_key(crossed, new.cert_pem)
    assert not same_key(old.cert_pem, new.cert_pem)


def test_a_root_that_may_not_have_another_below_it_is_told_so() -> None:
    with pytest.raises(FailedPrecondition, match="cannot be rotated"):
        cross_sign(made().cert_pem, made(path_length=0))


def test_a_node_file_is_told_apart_into_chain_and_roots() -> None:
    old, new = create_root_ca("c", NOW), create_root_ca("c", NOW)
    crossed = cross_sign(new.cert_pem, old)
    leaf = made(ca=False, signer=ec.generate_private_key(ec.SECP256R1())).cert_pem
    chain, roots = split_chain([leaf, crossed, new.cert_pem, old.cert_pem])
    assert (chain, roots) == (leaf + crossed, new.cert_pem + old.cert_pem)


def test_the_digest_of_one_root_is_that_of_its_tokens_and_order_does_not_matter() -> None:
    one, two = create_root_ca("c", NOW).cert_pem, create_root_ca("c", NOW).cert_pem
    assert trust_digest(one) == root_digest(one) == trust_digest(one + one)
    assert trust_digest(one + two) == trust_digest(two + one)
    assert trust_digest(one + two) not in {trust_digest(one), trust_digest(two)}
    assert join_pem([one, two, one]) == one + two
