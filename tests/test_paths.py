import pytest

from galhelpers.paths import (
    atomic_write,
    course_root,
    default_data_root,
    is_portable,
    short,
)


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
    assert short(course_root() / "notebooks" / "01_votes.ipynb") == "notebooks/01_votes.ipynb"
    assert short(tmp_path / "someone" / "data.csv") == "../someone/data.csv"


def test_data_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GALHELPERS_DATA", raising=False)
    assert default_data_root() == course_root() / "data"
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path))
    assert default_data_root() == tmp_path


def test_names_that_every_system_can_keep():
    for name in ("J102532.37+052459.3", "1237661387086693265", "GDS_deep2_10000", "a.tar.gz"):
        assert is_portable(name)
    for name in ("", ".hidden", "-x", "a/b", "a\\b", "..", "a:b", "con", "NUL.jpg", "COM1", "a.",
                 "é", "a b", "x" * 151):  # fmt: skip
        assert not is_portable(name)


def test_a_folder_where_a_file_has_to_be_written_is_named(tmp_path):
    (tmp_path / "state.json").mkdir()
    with pytest.raises(IsADirectoryError) as raised, atomic_write(tmp_path / "state.json"):
        pass
    assert raised.value.filename == str(tmp_path / "state.json")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
