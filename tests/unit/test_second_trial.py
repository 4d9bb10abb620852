"""What tests/all.sh makes of tests that fail beside others (docs/decisions/0075)."""

import subprocess
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
ALL = Path(__file__).resolve().parents[1] / "all.sh"

# Stands in for pytest: fails the files that a list names, while others run beside them or always.
PYTEST = """
case "$*" in
    *simulation*|*"-m alone"*|*tests/unit*) exit 0;;
    *"-n 2"*) what=beside;;
    *) what=alone; echo "$*" >> trials;;
esac
[ -s $what ] || exit 0
for file in $(cat $what); do echo "FAILED $file::test_it[a]" >> "$SWARM_FAILURES"; done
exit ${CODE:-1}
"""


def run(folder: Path, beside: list[str], alone: list[str], code: int = 1) -> Done:
    (folder / "pytest").write_text(PYTEST)
    (folder / "beside").write_text(" ".join(beside))
    (folder / "alone").write_text(" ".join(alone))
    words = ["sh", str(ALL), "sh ./pytest", "sh ./pytest -n 2"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CODE": str(code)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def files(count: int) -> list[str]:
    return [f"tests/integration/test_{number}.py" for number in range(count)]


def test_without_a_failure_nothing_is_tried_again(tmp_path: Path) -> None:
    done = run(tmp_path, [], [])
    assert (done.returncode, done.stdout) == (0, "")
    assert not (tmp_path / "trials").exists()


def test_what_failed_beside_others_and_passes_alone_is_named_and_no_failure(tmp_path: Path) -> None:
    done = run(tmp_path, files(2) + files(1), [])
    assert done.returncode == 0
    assert (tmp_path / "trials").read_text() == f"-m not alone {' '.join(files(2))}\n"
    assert f"FAILED {files(1)[0]}::test_it[a]\n" in done.stdout
    assert "FLAKY" in done.stdout


@pytest.mark.parametrize(("beside", "alone"), [(files(5), files(1)), (files(6), [])])
def test_who_fails_twice_or_with_many_others_fails(
    tmp_path: Path, beside: list[str], alone: list[str]
) -> None:
    done = run(tmp_path, beside, alone)
    assert done.returncode == 1
    assert "FLAKY" not in done.stdout


def test_a_run_that_broke_off_is_not_saved_by_a_second(tmp_path: Path) -> None:
    assert run(tmp_path, files(1), [], code=3).returncode == 1
    assert not (tmp_path / "trials").exists()
