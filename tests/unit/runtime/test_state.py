import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from swarm.runtime.base import ContainerState
from swarm.runtime.state import Phase, Record, read_record, remove_tree, write_record

RECORD = Record(id="a", boot_id="b", phase=Phase.RUNNING, pid=5, pid_started=6, exit_code=0, error="")


def test_records_are_read_as_written(tmp_path: Path) -> None:
    write_record(tmp_path / "state.json", RECORD)
    assert read_record(tmp_path / "state.json") == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_records_of_a_later_version_may_have_more_fields(tmp_path: Path) -> None:
    write_record(tmp_path / "state.json", RECORD)
    text = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(text.replace("{", '{"unknown": 1, ', 1))
    assert read_record(tmp_path / "state.json") == RECORD


def test_records_that_are_missing_or_cut_off_are_none(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_record(path) is None
    write_record(path, RECORD)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read_record(path) is None


def test_records_say_what_callers_may_know() -> None:
    assert RECORD.info().state is ContainerState.RUNNING
    assert replace(RECORD, phase=Phase.STARTING).info().state is ContainerState.RUNNING
    assert replace(RECORD, phase=Phase.CREATED).info().state is ContainerState.CREATED
    assert replace(RECORD, phase=Phase.EXITED).info().pid == 0


def test_trees_go_also_when_others_are_at_work_in_them(tmp_path: Path) -> None:
    remove_tree(tmp_path / "never was")
    stop = threading.Event()
    tree = tmp_path / "tree"

    def write_records() -> None:
        while not stop.is_set():
            with suppress(OSError):
                write_record(tree / "state.json", RECORD)

    writer = threading.Thread(target=write_records)
    writer.start()
    try:
        for _ in range(200):
            (tree / "below").mkdir(parents=True)
            for number in range(5):
                (tree / "below" / str(number)).touch()
            with suppress(OSError):  # the writer may win ten times in a row; then it is said, not hidden
                remove_tree(tree)
                assert not tree.exists()
            remove_tree_in_the_end(tree)
    finally:
        stop.set()
        writer.join()


def remove_tree_in_the_end(tree: Path) -> None:
    while tree.exists():
        with suppress(OSError):
            remove_tree(tree)
