import pytest

from galhelpers.paths import atomic_write, course_root, default_data_root, short


def test_atomic_write_replaces_only_on_success(tmp_path):
    target = tmp_path / "deep" / "table.csv"
    with atomic_write(target) as temporary:
        temporary.write_text("first")

    def power_cut():
        with atomic_write(target) as temporary:
            temporary.write_text("half of the sec")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        power_cut()
    assert target.read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["table.csv"]


def test_short_paths_do_not_show_where_home_is(tmp_path):
    assert short(course_root() / "notebooks" / "01_data.ipynb") == "notebooks/01_data.ipynb"
    assert short(tmp_path / "someone" / "data.csv") == "../someone/data.csv"


def test_data_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GALHELPERS_DATA", raising=False)
    assert default_data_root() == course_root() / "data"
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path))
    assert default_data_root() == tmp_path
