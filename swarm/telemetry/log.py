"""How log lines look and what they never contain.

Console on a terminal, one JSON object a line otherwise. Lines of other libraries (asyncio, grpc) take the
same way. The last step before writing blanks whatever looks like a secret, in case somebody logged one.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_REDACTED = "[redacted]"
# The digest in a token is public and says which cluster was meant; the part after it is the secret.
_TOKEN = re.compile(r"(SWMTKN-1-[0-9a-z]{1,50}-)[0-9a-z]+")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)
_SECRET_NAMES = re.compile(r"(^|_)(token|secret|password|private_key|key_pem)$")


def configure_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """Log from `level` on, as `form` (auto, console, json) to `stream` (default: stderr)."""
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    renderer = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            blank_secret_keys,
            renderer,
            redact_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: _StreamLogger(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_IntoStructlog()], level=logging.WARNING, force=True)


def redact(text: str) -> str:
    """Return `text` without secrets of join tokens and without private keys."""
    return _KEY.sub(_REDACTED, _TOKEN.sub(rf"\g<1>{_REDACTED}", text))


def blank_secret_keys(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Blank the values of keys that are named like secrets (a structlog processor)."""
    for key in event:
        if _SECRET_NAMES.search(key):
            event[key] = _REDACTED
    return event


def redact_line(_logger: Any, _method: str, line: Any) -> str:
    """Redact the finished line (a structlog processor, the one after the renderer)."""
    return redact(str(line))


class _StreamLogger:
    """Writes finished lines; a reader that went away must not take the node down with it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = msg


class _IntoStructlog(logging.Handler):
    """Passes records of the standard library's logging on."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        level = min(max(record.levelno, logging.DEBUG), logging.CRITICAL)
        log.log(
            level,
            "library.message_logged",
            library=record.name,
            reason=record.getMessage(),
            exc_info=record.exc_info,
        )
