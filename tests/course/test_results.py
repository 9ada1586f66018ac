import json

import numpy as np

from galhelpers.course.lesson import Lesson
from galhelpers.learning.metrics import Interval


def lesson(tmp_path):
    return Lesson("04_baselines", "quick", "simulated", "", 0, str(tmp_path))


def rows(tmp_path):
    return json.loads((tmp_path / "metrics" / "04_baselines.json").read_text())


def test_metrics_are_written_down_with_their_facts(tmp_path):
    notebook = lesson(tmp_path)
    notebook.record("RMSE", Interval(0.1, 0.09, 0.11, 400), published="kaggle_central_pixel")
    notebook.record("accuracy", 0.8, spread=0.01, n=30)
    notebook.record("accuracy", np.float32(0.5), spread=np.float64(0.01), n=np.int64(30))
    first, second = rows(tmp_path)
    facts = {"notebook": "04_baselines", "dataset": "simulated", "profile": "quick", "seed": 0}
    assert first == facts | {
        "name": "RMSE", "value": 0.1, "low": 0.09, "high": 0.11, "n": 400,
        "published": "kaggle_central_pixel",
    }  # fmt: skip
    assert second == facts | {"name": "accuracy", "value": 0.5, "spread": 0.01, "n": 30}


def test_a_new_run_keeps_the_old_numbers_until_its_own_replace_all_of_them(tmp_path):
    first = lesson(tmp_path)
    first.record("RMSE", 0.1)
    first.record("a name that a later version does not use", 0.2)
    second = lesson(tmp_path)
    assert len(rows(tmp_path)) == 2
    second.record("RMSE", 0.3)
    assert [(row["name"], row["value"]) for row in rows(tmp_path)] == [("RMSE", 0.3)]


def test_parameters_may_be_text_and_name_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    one = Lesson("04_baselines", "quick", "simulated", "~/data", "7", "~/results")
    assert (one.seed, one.data_root, one.out) == (7, tmp_path / "data", tmp_path / "results")
    monkeypatch.setenv("GALHELPERS_OUT", "~/elsewhere")
    assert Lesson("04_baselines", "quick", "simulated", "", 0, "").out == tmp_path / "elsewhere"
