from pathlib import Path

import pytest

from swarm.runtime.process.view import build_view, find_program, resolve_inside


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    top, middle, bottom = (tmp_path / name for name in ("top", "middle", "bottom"))
    for path, text in {
        top / "both/new": "new",
        top / "replaced": "a file now",
        middle / "both/.wh.gone": "",
        middle / "fresh/.wh..wh..opq": "",
        middle / "fresh/kept": "kept",
        bottom / "both/gone": "gone",
        bottom / "both/old": "old",
        bottom / "both/deep/er": "deep",
        bottom / "replaced/was/directory": "x",
        bottom / "fresh/hidden": "hidden",
        bottom / "usr/bin/tool": "tool",
        bottom / "usr/bin/data": "not runnable",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (bottom / "usr/bin/tool").chmod(0o755)
    (bottom / "bin").symlink_to("usr/bin")
    (bottom / "absolute").symlink_to("/usr/bin/tool")
    (bottom / "up").symlink_to("../../../../usr/bin/tool")
    (bottom / "loop").symlink_to("loop")
    return [top, middle, bottom]


@pytest.fixture
def view(layers: list[Path], tmp_path: Path) -> Path:
    build_view(layers, tmp_path / "view")
    return tmp_path / "view"


def test_layers_are_merged(view: Path) -> None:
    assert sorted(path.name for path in (view / "both").iterdir()) == ["deep", "new", "old"]
    assert (view / "both/deep/er").read_text() == "deep"
    assert (view / "replaced").read_text() == "a file now"
    assert "kept" in [path.name for path in (view / "fresh").iterdir()]
    assert not (view / "fresh/hidden").exists()


def test_links_mean_places_in_the_image(view: Path, layers: list[Path]) -> None:
    tool = layers[2] / "usr/bin/tool"
    for name in ("/usr/bin/tool", "/bin/tool", "/absolute", "/up", "bin/../bin/tool", "/../../bin/tool"):
        found = resolve_inside(view, name)
        assert found is not None
        assert found.resolve() == tool
    for name in ("/loop", "/missing", "/both/gone", "/bin/missing"):
        assert resolve_inside(view, name) is None


def test_programs_of_the_image_then_of_the_node(view: Path, layers: list[Path]) -> None:
    found = find_program("tool", "/nowhere:/bin", view)
    assert found is not None
    assert found.resolve() == layers[2] / "usr/bin/tool"
    assert find_program("data", "/bin", view) is None
    assert find_program("sh", "/usr/bin:/bin", view) in {Path("/usr/bin/sh"), Path("/bin/sh")}
    assert find_program("/bin/sh", "", view) == Path("/bin/sh")
    assert find_program("no-such-program", "/usr/bin:/bin", view) is None
