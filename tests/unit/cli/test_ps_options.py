"""What people who know ps write behind `top CONTAINER`."""

import pytest
from click.testing import CliRunner

from swarm.cli.container import container
from swarm.cli.container_table import PROCESS_COLUMNS
from swarm.cli.ps_options import columns_of
from swarm.errors import InvalidArgument


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        ("", "UID PID PPID C STIME TTY TIME CMD"),
        ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("aux", "USER PID RSS START TIME COMMAND"),
        ("-o pid,comm", "PID COMM"),
        ("-eo pid -ouser=WHO,rss", "PID WHO RSS"),
        ("aux -o args", "ARGS"),
    ],
)
def test_options_choose_columns(options: str, titles: str) -> None:
    assert " ".join(title for title, _ in columns_of(options.split(), PROCESS_COLUMNS)) == titles


@pytest.mark.parametrize("options", ["-o pid,nice", "--sort rss", "-p 1", "-", "auxz"])
def test_what_is_not_known_is_refused(options: str) -> None:
    with pytest.raises(InvalidArgument, match="write aux, -ef, or -o"):
        columns_of(options.split(), PROCESS_COLUMNS)


def test_an_option_of_nobody_is_no_container() -> None:
    done = CliRunner().invoke(container, ["top", "--sotr", "cpu"], obj="unix:///nowhere")
    assert done.exit_code == 2
    assert "No such option" in done.output
    assert "--sotr" in done.output
