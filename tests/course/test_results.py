import json

from galhelpers.course.lesson import Lesson
from galhelpers.learning.metrics import Interval


def lesson(tmp_path):
    return Lesson("03_baselines", "quick", "simulated", "", 0, str(tmp_path))


def test_metrics_are_written_down_with_their_facts(tmp_path):
    notebook = lesson(tmp_path)
    notebook.record("RMSE", Interval(0.1, 0.09, 0.11, 400), published="kaggle_central_pixel")
    notebook.record("accuracy", 0.8, spread=0.01, n=30)
    notebook.record("accuracy", 0.9, spread=0.01, n=30)
    rows = json.loads((tmp_path / "metrics" / "03_baselines.json").read_text())
    assert [row["name"] for row in rows] == ["RMSE", "accuracy"]
    assert rows[0]["low"] == 0.09
    assert rows[0]["n"] == 400
    assert rows[1]["value"] == 0.9
    assert rows[1] | {"dataset": "simulated", "profile": "quick", "seed": 0} == rows[1]
    lesson(tmp_path)  # a new run starts with a clean page
    assert not (tmp_path / "metrics" / "03_baselines.json").exists()
