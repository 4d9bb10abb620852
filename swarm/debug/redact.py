"""What a printed object must not show: keys, tokens, passwords. Pure.

A field is secret by its name, whatever message it is in, so that a message of tomorrow is covered; a text is
secret by its form, whatever field it is in.
"""

import re
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

HIDDEN = "(redacted)"

_SECRET_NAME = re.compile(
    r"(^|_)(secret|password|passwd|token|unlock_key|private_key|credentials?|data_key|secret_data|preshared_key)$"
)
_SECRET_PEM = re.compile(r"(^|_)key_pem$")
_SECRET_TEXT = re.compile(r"SWM(TKN|KEY)-[0-9A-Za-z-]+")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_SECRET_VARIABLE = re.compile(r"(PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH)", re.IGNORECASE)


def shown(message: Message) -> dict[str, Any]:
    """Return what may be seen of a message, with the names of its definition, fit for JSON."""
    copy = type(message)()
    copy.CopyFrom(message)
    _hide(copy)
    return MessageToDict(copy, preserving_proto_field_name=True)


def _hide(message: Message) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                _hide_map(value)
            else:
                for child in [value] if isinstance(value, Message) else value:
                    _hide(child)
        elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            _hide_field(message, field.name, value)


def _hide_map(values: Any) -> None:
    for key in values:
        if isinstance(values[key], Message):
            _hide(values[key])
        elif isinstance(values[key], str | bytes):
            values[key] = _instead(values[key], secret=False)


def _hide_field(message: Message, name: str, value: Any) -> None:
    secret = bool(_SECRET_NAME.search(name) or _SECRET_PEM.search(name))
    if isinstance(value, str | bytes):
        setattr(message, name, _instead(value, secret=secret))
    else:
        value[:] = [_variable(_instead(one, secret=secret), of_env=name == "env") for one in value]


def _instead(value: str | bytes, *, secret: bool) -> str | bytes:
    if isinstance(value, bytes):
        return HIDDEN.encode() if secret or _PRIVATE_KEY.search(value) else value
    if secret or _PRIVATE_KEY.search(value.encode()):
        return HIDDEN
    return _SECRET_TEXT.sub(HIDDEN, value)


def _variable(text: str | bytes, *, of_env: bool) -> str | bytes:
    """Hide the value of an environment variable (KEY=value) whose name says that it is a secret."""
    if not of_env or isinstance(text, bytes):
        return text
    key, equals, _ = text.partition("=")
    return f"{key}={HIDDEN}" if equals and _SECRET_VARIABLE.search(key) else text
