import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from swarm.runtime.base import ContainerState
from swarm.runtime.state import Phase, Record, mark_running, read_record, remove_tree, write_record

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


def test_a_mark_makes_a_created_container_a_running_one_until_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    created = replace(RECORD, phase=Phase.CREATED)
    write_record(path, created)
    assert read_record(path) == created
    content = path.read_bytes()
    mark_running(path, 1_700_000_000_123_456_789)
    assert read_record(path) == replace(RECORD, started_at_ns=1_700_000_000_123_456_789)
    assert path.read_bytes() == content  # agents that do not know the mark find it created, and look further
    ended = replace(RECORD, phase=Phase.EXITED, exit_code=3)
    write_record(path, ended)
    assert read_record(path) == ended
    write_record(path, created)  # renewed
    assert read_record(path) == created


def test_nothing_ends_before_it_was_started_whatever_the_date_of_a_file_says() -> None:
    running = Record(id="a", boot_id="b", image_digest="c", phase=Phase.RUNNING, started_at_ns=1_000)
    for seen_ns, said_ns in ((999, 1_000), (1_001, 1_001)):
        end = running.ended(3, seen_ns, oom_killed=True)
        assert (end.phase, end.exit_code, end.finished_at_ns, end.oom_killed) == (
            Phase.EXITED,
            3,
            said_ns,
            True,
        )
