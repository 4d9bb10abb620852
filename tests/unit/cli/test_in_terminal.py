"""What people at a terminal see: bars, pagers, top and completion, each in a real pseudo-terminal."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.pseudo_terminal import PseudoTerminal
from tests.unit.cli.stage import served

SWARMCTL = [sys.executable, "-m", "swarm.cli.main"]
# People wait a second with a finger on the Tab key; on a busy machine names may take longer.
PATIENT = "from swarm.cli import completion, main; completion.PATIENCE_S = 60.0; main.main()"
COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-9][0-9;]*m")
# Both replicas of the new number run already: it has converged at the first look.
CONVERGES = ["service", "update", "--replicas", "2", "--update-monitor", "1ms", "web"]
NEVER = ["service", "scale", "shop_db=3"]  # nobody makes tasks of it here


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    with served(tmp_path) as address:
        yield {"SWARMCTL_HOST": address}


def test_bars_show_how_far_a_service_is(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, *CONVERGES], env) as terminal:
        assert terminal.ended() == 0
    assert "overall progress: 2 out of 2 tasks" in terminal.text
    assert re.search(r"web\.1 +━+ +running", terminal.text)
    assert terminal.text.rstrip().endswith("verify: service converged")
    assert COLOUR.search(terminal.seen)
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l"), "the cursor is shown again"


def test_no_color_takes_the_colours_and_not_the_bars(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, *CONVERGES], {**env, "NO_COLOR": "1"}) as terminal:
        assert terminal.ended() == 0
    assert not COLOUR.search(terminal.seen)
    assert re.search(r"web\.2 +━+ +running", terminal.text)


def test_a_dumb_terminal_gets_plain_lines(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, *CONVERGES], {**env, "TERM": "dumb"}) as terminal:
        assert terminal.ended() == 0
    assert "\x1b" not in terminal.seen
    assert "overall progress: 2 out of 2 tasks\nverify: service converged" in terminal.text


PROGRESS = {
    "machines": "from swarm.cli.machine_progress import Progress\n"
    "shown = Progress(['m1', 'm2'])\nfor text in ('asking', 'done'): shown.tell('m1', text)",
    "images": "from swarm.cli.image_transfers import _Lines\nshown = _Lines()\n"
    "for bytes in (1, 2): shown.add(f'Pulling from registry: {bytes} of 2')\nshown.end()",
    "archives": "import io\nfrom swarm.cli.image import _chunks\n"
    "for _ in _chunks(io.BytesIO(bytes(1 << 21)), '', 1 << 21): pass",
}


@pytest.mark.parametrize("what", PROGRESS)
def test_all_progress_is_drawn_where_that_is_possible_and_in_plain_lines_elsewhere(what: str) -> None:
    script = [sys.executable, "-c", PROGRESS[what]]
    for kind, drawn in (("xterm", True), ("dumb", False)):
        with PseudoTerminal(script, {"TERM": kind}) as terminal:
            assert terminal.ended() == 0, terminal.seen
        overwrites = "\x1b" in terminal.seen or re.search(r"\r[^\r\n]", terminal.seen) is not None
        assert overwrites == drawn, (kind, terminal.seen)


@pytest.mark.parametrize(
    ("options", "said"), [([], "overall progress: 2 out of 2 tasks"), (["-q"], ""), (["-d"], "")]
)
def test_what_is_no_terminal_gets_plain_lines_or_nothing(
    env: dict[str, str], options: list[str], said: str
) -> None:
    command = [*SWARMCTL, "--host", env["SWARMCTL_HOST"], *CONVERGES, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "web\n"
    assert done.stderr.partition("\n")[0] == said
    assert "\x1b" not in done.stderr


def test_bars_fit_windows_that_change_and_ctrl_c_leaves_the_work_going(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, *NEVER], env) as terminal:
        terminal.until("overall progress: 0 out of 3 tasks")
        terminal.resize(12, 30)
        terminal.until("progress: 0 out of 3 …")  # cut to the new width
        terminal.type("\x03")
        assert terminal.ended() == 130
    assert "Detached: the service goes on in the background; `swarmctl service ps shop_db` shows it." in (
        terminal.text
    )


def test_ctrl_c_says_how_to_watch_a_drain_that_goes_on(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, "node", "drain", "--wait", "beta"], env) as terminal:
        terminal.until(r"beta: 1 of 1 tasks left")
        terminal.type("\x03")
        assert terminal.ended() == 130
    assert "`swarmctl node ps beta` shows it" in terminal.text


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that says so, shows the first line, and leaves."""
    script = tmp_path / "pager.py"
    script.write_text("import sys\nprint('PAGER', sys.stdin.readline(), end='')\n")
    return shlex.join([sys.executable, str(script)])


LONG = ["service", "create", "--help"]


@pytest.mark.parametrize("name", ["PAGER", "SWARMCTL_PAGER"])
def test_what_is_longer_than_the_screen_goes_through_a_pager_that_may_leave_early(
    pager: str, name: str
) -> None:
    with PseudoTerminal([*SWARMCTL, *LONG], {name: pager}) as terminal:
        assert terminal.ended() == 0
    assert "PAGER Usage: swarmctl service create" in terminal.text
    assert "--replicas" not in terminal.text


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["service", "--help"], {}),
        (["--no-pager", *LONG], {}),
        (LONG, {"SWARMCTL_PAGER": ""}),
        (LONG, {"SWARMCTL_PAGER": "cat"}),
        (LONG, {"SWARMCTL_PAGER": "/nonexistent/pager"}),
        (LONG, {"TERM": "dumb"}),
    ],
)
def test_no_pager_where_none_is_wanted_or_needed(pager: str, words: list[str], more: dict[str, str]) -> None:
    rows = 60 if words == ["service", "--help"] else 24
    with PseudoTerminal([*SWARMCTL, *words], {"PAGER": pager, **more}, rows=rows) as terminal:
        assert terminal.ended() == 0
    assert "PAGER" not in terminal.text
    assert "Usage: swarmctl service" in terminal.text
    assert "Show this message and exit." in terminal.text or "Examples" in terminal.text


def test_less_shows_lists_that_are_longer_than_the_screen(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, "service", "inspect", "web"], env, rows=10) as terminal:
        terminal.until('"ID": "service1')
        terminal.until(r"\n:")
        terminal.type("q")
        assert terminal.ended() == 0
    assert "shop_db" not in terminal.text


def test_errors_come_after_what_was_shown(env: dict[str, str], pager: str) -> None:
    words = [*SWARMCTL, "service", "inspect", "web", "nothing"]
    with PseudoTerminal(words, {**env, "SWARMCTL_PAGER": pager}, rows=10) as terminal:
        assert terminal.ended() in {0, 1}  # 0 where the reader left before the error was known
    assert "PAGER [" in terminal.text


def test_top_takes_the_screen_and_gives_it_back(env: dict[str, str]) -> None:
    with PseudoTerminal([*SWARMCTL, "top", "--interval", "0.2"], env) as terminal:
        terminal.until("(?s)alpha.*beta.*web")
        terminal.resize(30, 70)
        terminal.until("(?s)alpha.*beta.*web")
        terminal.type("\x03")
        assert terminal.ended() == 130
    assert "\x1b[?1049l" in terminal.seen


@pytest.fixture
def shell_env(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that finds `swarmctl`, and none of this user's files."""
    program = tmp_path / "bin" / "swarmctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-c", PATIENT])} "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:/usr/bin:/bin"
    return {**env, "PATH": path, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PS1": "> "}


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(swarmctl completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit && compinit -u; source <(swarmctl completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "swarmctl completion fish | source"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands_and_the_names_of_objects(shell: str, shell_env: dict[str, str]) -> None:
    words, setup = SHELLS[shell]
    with PseudoTerminal(words, shell_env) as terminal:
        terminal.type(f"{setup}; echo rea''dy\r")
        terminal.until("ready")
        terminal.type("swarmctl service inspe\t")
        terminal.until("service inspect ")
        terminal.type("--format '{{.ID}}' shop\t")
        terminal.until("shop_db")
        terminal.type("\r")
        terminal.until("service2service2service2s")
        terminal.type("exit\r")
        terminal.ended()
