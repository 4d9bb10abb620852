import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pip_download() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pip_download", ROOT / "deploy" / "pip_download.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGE = """
<a href="../../files/pip-9.0.1-py3-none-any.whl#sha256=aa">old</a>
<a href="https://files.example/pip-25.3-py3-none-any.whl#sha256=bb" data-requires-python="&gt;=3.9">new</a>
<a href="pip-25.10-py3-none-any.whl" data-requires-python="&gt;=3.9">newest</a>
<a href="pip-99.0-py3-none-any.whl" data-requires-python="&gt;=3.99">for the future</a>
<a href="pip-26.0.tar.gz">source</a>
"""


def test_the_newest_wheel_for_this_python_is_chosen(pip_download: ModuleType) -> None:
    links = pip_download.wheels(PAGE, "https://index.example/simple/pip/")
    assert (
        max(links, key=pip_download.version) == "https://index.example/simple/pip/pip-25.10-py3-none-any.whl"
    )
    assert "https://index.example/files/pip-9.0.1-py3-none-any.whl#sha256=aa" in links
    assert not any("99.0" in link for link in links)


def test_the_environment_wins_over_files(
    pip_download: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://file.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert pip_download.setting("index-url") == "https://file.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.example/simple")
    assert pip_download.setting("index-url") == "https://environment.example/simple"


def test_passwords_are_not_shown(pip_download: ModuleType) -> None:
    assert (
        pip_download.hide_password("https://user:secret@index.example/simple")
        == "https://index.example/simple"
    )
