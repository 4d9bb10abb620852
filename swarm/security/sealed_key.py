"""A node's private key, encrypted with a data key of its key file, as a block in place of the clear one."""

import base64
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swarm.errors import FailedPrecondition
from swarm.security.keyring import KEY_ID_BYTES, NONCE_BYTES, DataKey, DataKeys

_BEGIN = b"-----BEGIN SWARM SEALED PRIVATE KEY-----\n"
_END = b"-----END SWARM SEALED PRIVATE KEY-----\n"
_LINE = 64
_PURPOSE = b"swarm node key"


def seal_key(key_pem: bytes, key: DataKey) -> bytes:
    """Return the block that holds `key_pem`, readable with `key` only."""
    nonce = os.urandom(NONCE_BYTES)
    text = base64.b64encode(key.id + nonce + AESGCM(key.secret).encrypt(nonce, key_pem, _PURPOSE))
    lines = [text[at : at + _LINE] + b"\n" for at in range(0, len(text), _LINE)]
    return _BEGIN + b"".join(lines) + _END


def sealed_with(text: bytes) -> bytes | None:
    """Return the id of the data key that the block in `text` needs, None when there is no such block."""
    block = _block(text)
    return None if block is None else block[:KEY_ID_BYTES]


def unsealer(keys: DataKeys | None) -> Callable[[bytes], bytes]:
    """Return what puts the clear key in place of the block in a text; it raises FailedPrecondition."""

    def unseal(text: bytes) -> bytes:
        block = _block(text)
        if block is None:
            return text
        key = keys.find(block[:KEY_ID_BYTES]) if keys is not None else None
        if key is None:
            raise FailedPrecondition("the private key of this node is sealed with a key that is not there")
        nonce, sealed = block[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES], block[KEY_ID_BYTES + NONCE_BYTES :]
        try:
            clear = AESGCM(key.secret).decrypt(nonce, sealed, _PURPOSE)
        except InvalidTag as error:
            raise FailedPrecondition("the private key of this node is damaged") from error
        before, _, rest = text.partition(_BEGIN)
        return before + clear + rest.partition(_END)[2]

    return unseal


def _block(text: bytes) -> bytes | None:
    _, begin, rest = text.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not begin or not end:
        return None
    try:
        block = base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError as error:
        raise FailedPrecondition("the private key of this node is damaged") from error
    if len(block) <= KEY_ID_BYTES + NONCE_BYTES:
        raise FailedPrecondition("the private key of this node is damaged")
    return block
