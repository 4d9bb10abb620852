"""Log lines: their form, and that no secret gets into one."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from swarm.security.certificates import create_root_ca
from swarm.security.tokens import format_token, new_secret
from swarm.telemetry.log import configure_logging, redact

ROOT = create_root_ca("c", 1_800_000_000 * 10**9)
SECRET = new_secret()
TOKEN = format_token(ROOT.cert_pem, SECRET)


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


def logged(
    form: str = "json", level: str = "info"
) -> tuple[structlog.typing.FilteringBoundLogger, io.StringIO]:
    stream = io.StringIO()
    configure_logging(level, form, stream)
    return structlog.get_logger("test"), stream


def test_a_line_is_one_json_object_with_time_and_level() -> None:
    log, stream = logged()
    log.info("node.joined", node_id="n1")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["node_id"]) == ("node.joined", "info", "n1")
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_dropped() -> None:
    log, stream = logged(level="warning")
    log.info("node.joined")
    logging.getLogger("asyncio").info("nothing")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_gets_through(form: str) -> None:
    log, stream = logged(form)
    event = f"node.joining {TOKEN}"
    log.info(event, reason=f"tried {TOKEN}", nested={"a": [TOKEN, TOKEN.encode()]}, token=SECRET)
    log.info("node.key_made", keys=ROOT.key_pem, join_secret=SECRET, root_key_pem=ROOT.key_pem.decode())
    try:
        int(TOKEN)
    except ValueError:
        log.exception("node.join_failed")
    logging.getLogger("library").error("boom %s", TOKEN)
    text = stream.getvalue()
    assert "boom" in text
    assert "node.join_failed" in text
    assert SECRET not in text
    assert ROOT.key_pem.decode().splitlines()[1] not in text


def test_the_public_part_of_a_token_stays() -> None:
    assert redact(TOKEN) == TOKEN.replace(SECRET, "[redacted]")


def test_a_reader_that_went_away_does_no_harm() -> None:
    log, stream = logged()
    stream.close()
    log.error("node.left")
