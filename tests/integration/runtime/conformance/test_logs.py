"""What containers say, with every driver that runs programs."""

import asyncio

import pytest

from swarm.runtime.abilities import Ability
from swarm.runtime.base import LogQuery
from tests.integration.runtime.labs import Lab, has_said, run, running, said, until

pytestmark = pytest.mark.integration


async def test_lines_are_chosen_by_stream_number_and_time(lab: Lab) -> None:
    driver = lab.driver()
    told = "trap told=1 USR1; echo c; until [ $told ]; do sleep 0.05; done"
    config = lab.config(f"echo a; echo b >&2; echo; {told}; echo d; printf 'no end'")
    await running(driver, config)
    await until(lambda: has_said(driver, config.id, "c"))  # what is written at once may have one time
    await driver.kill(config.id, "USR1")
    assert (await asyncio.wait_for(driver.wait(config.id), 60)).exit_code == 0
    assert await said(driver, config.id) == ["a", "", "c", "d", "no end"]
    lines = [line async for line in driver.logs(config.id, LogQuery())]
    assert {line.data for line in lines} == {b"", b"a", b"b", b"c", b"d", b"no end"}
    assert {line.stream for line in lines if line.data == b"b"} == {"stderr"}
    (d,) = (line for line in lines if line.data == b"d")
    (a,) = (line for line in lines if line.data == b"a")
    for query, expected in (
        (LogQuery(stdout=False), ["b"]),
        (LogQuery(stderr=False, tail=2), ["d", "no end"]),
        (LogQuery(tail=0), []),
        (LogQuery(stderr=False, since_ns=d.timestamp_ns), ["d", "no end"]),
        (LogQuery(stderr=False, until_ns=d.timestamp_ns - 1), ["a", "", "c"]),
        (LogQuery(stderr=False, until_ns=a.timestamp_ns - 1), []),
        (LogQuery(stderr=False, follow=True, tail=1), ["no end"]),
    ):
        assert await asyncio.wait_for(said(driver, config.id, query), 60) == expected, query


async def test_a_log_is_followed_from_before_the_start_to_the_end(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("echo 1; while ! [ -e go ]; do sleep 0.05; done; echo 2", working_dir="/tmp")
    await driver.create(config)
    following = asyncio.create_task(said(driver, config.id, LogQuery(follow=True)))
    await driver.start(config.id)
    await until(lambda: has_said(driver, config.id, "1"))
    assert not following.done()
    await driver.kill(config.id, "KILL")
    assert await asyncio.wait_for(following, 60) == ["1"]


async def test_a_reader_that_goes_away_and_a_removal_end_the_following(lab: Lab) -> None:
    driver = lab.driver()
    container = await running(driver, lab.config("echo up; exec sleep 100"))
    stream = driver.logs(container, LogQuery(follow=True))
    assert (await asyncio.wait_for(anext(stream), 60)).data == b"up"
    await stream.aclose()  # type: ignore[attr-defined]
    stream = driver.logs(container, LogQuery(follow=True))
    assert (await asyncio.wait_for(anext(stream), 60)).data == b"up"
    following = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0.1)
    await driver.remove(container)
    assert await asyncio.wait_for(following, 60) is None


async def test_long_lines_and_any_bytes_come_whole(lab: Lab) -> None:
    driver = lab.driver()
    script = "yes 0123456 | head -c 100000 | cat -n | grep -v '^$' | head -c 100 >/dev/null; "
    script += "i=0; while [ $i -lt 5000 ]; do printf 0123456789; i=$((i+1)); done; echo; printf '\\303\\n'"
    config = lab.config(script)
    await driver.create(config)
    await driver.start(config.id)
    await asyncio.wait_for(driver.wait(config.id), 60)
    pieces = [line async for line in driver.logs(config.id, LogQuery())]
    whole = b"".join(line.data + (b"" if line.partial else b"\n") for line in pieces)
    assert whole == b"0123456789" * 5000 + b"\n\xc3\n"


async def test_a_container_has_a_terminal_when_asked_for(lab: Lab) -> None:
    config = lab.config("test -t 1 && echo terminal $TERM; echo more >&2", tty=True)
    if not await lab.can(Ability.TTY, config):
        return
    driver = lab.driver()
    assert await run(driver, config) == (0, ["terminal xterm\r", "more\r"])
    tail = await said(driver, config.id, LogQuery(tail=1))
    assert tail == ["more\r"]


async def test_a_log_does_not_outgrow_its_limit(lab: Lab) -> None:
    driver = lab.driver()
    script = "trap told=1 USR1; i=0; while [ $i -lt 20000 ]; do echo line $i of many; i=$((i+1)); done; "
    script += "until [ $told ]; do echo waits; sleep 0.05; done; echo end"
    container = await running(driver, lab.config(script, log_max_bytes=100_000, log_files=1))

    async def is_shorter() -> bool:
        lines = await said(driver, container)
        return "waits" in lines and "line 0 of many" not in lines

    await until(is_shorter)
    await driver.kill(container, "USR1")
    assert (await asyncio.wait_for(driver.wait(container), 60)).exit_code == 0
    lines = await said(driver, container)
    assert lines[-1] == "end"
    assert len(lines) < 20_000
