"""Published values: complete, consistent with each other, and every rule enforced."""

import numpy as np
import pytest
import yaml

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.published import PublishedError, load_published

SHORT_CLASSES = ("round", "in_between", "cigar", "edge_on", "spiral")

# Gupta, Srijith & Desai 2022, Tables 1 to 3: rows are true classes, columns predicted ones.
GUPTA_MATRICES = {
    "gupta2022_resnet": [
        [757, 57, 0, 0, 29],
        [22, 741, 3, 4, 36],
        [0, 12, 11, 27, 5],
        [0, 8, 6, 363, 13],
        [7, 12, 1, 13, 748],
    ],
    "gupta2022_node": [
        [800, 24, 0, 0, 13],
        [36, 700, 0, 8, 22],
        [0, 6, 12, 31, 2],
        [0, 5, 7, 365, 8],
        [10, 29, 1, 22, 750],
    ],
    "gupta2022_node_aca": [
        [786, 36, 0, 0, 12],
        [25, 721, 0, 3, 16],
        [0, 4, 23, 20, 1],
        [1, 4, 12, 361, 5],
        [5, 36, 3, 15, 747],
    ],
}


@pytest.fixture(scope="module")
def published():
    return load_published()


def test_values_that_the_course_quotes(published):
    expected = {
        "kaggle_central_pixel": 0.16194,
        "kaggle_extra_trees": 0.12859,
        "kaggle_random_forest": 0.11606,
        "dieleman_single": 0.07693,
        "dieleman_ensemble": 0.07492,
        "zhu2019": 0.952083,
        "ignat2016": 0.17,
        "huertas_company2015": 0.13,
        "candels_constant_mean": 0.2352,
    }
    assert {name: published[name].value for name in expected} == expected


@pytest.mark.parametrize("name", GUPTA_MATRICES)
def test_gupta_values_follow_from_the_confusion_matrix(published, name):
    matrix = np.array(GUPTA_MATRICES[name])
    recalls = matrix.diagonal() / matrix.sum(axis=1)
    overall = published[name]
    assert overall.n == matrix.sum()
    assert overall.value == pytest.approx(matrix.trace() / matrix.sum(), abs=5e-5)
    assert published[f"{name}_macro"].value == pytest.approx(recalls.mean(), abs=5e-4)
    table4 = [published[f"{name}_{short}"].value for short in SHORT_CLASSES]
    # The matrices are averages over ten runs cut to whole galaxies; 50 cigars make that .01.
    np.testing.assert_allclose(table4, recalls, atol=0.012)


def test_zhu_classes_add_up(published):
    rows = [published[f"zhu2019_{short}"] for short in SHORT_CLASSES]
    correct = [round(row.value * row.n) for row in rows]
    total = published["zhu2019_recomputed"]
    assert sum(row.n for row in rows) == total.n == 2879
    assert total.value == pytest.approx(sum(correct) / 2879, abs=5e-7)
    assert published["zhu2019"].value == pytest.approx(sum(correct) / 2880, abs=5e-7)


def test_five_class_counts_add_up(published):
    counts = [published[f"five_class_n_{short}"].value for short in SHORT_CLASSES]
    assert len(counts) == len(FIVE_CLASSES)
    total = published["five_class_n"].value
    assert sum(counts) == total
    assert published["five_class_majority"].value == pytest.approx(max(counts) / total, abs=5e-5)
    selected = total / published["kaggle_n_train"].value
    assert published["five_class_selected"].value == pytest.approx(selected, abs=5e-4)


def test_baselines_say_that_they_are_computed(published):
    baselines = [value for value in published.values() if value.work == "Baselines"]
    assert len(baselines) >= 8
    assert {value.evidence for value in baselines} == {"computed"}


def test_candels_baselines_from_the_labels(published, real_data):
    import pandas as pd

    table = pd.read_csv(real_data / "candels_stamps" / "CANDELS_labels_kartaltepe15.csv")
    fractions = table.iloc[:, 1:].to_numpy()
    error = fractions - fractions.mean(axis=0)
    expected = {
        "candels_constant_mean": np.sqrt((error**2).mean()),
        "candels_constant_mean_per_galaxy": np.sqrt((error**2).mean(axis=1)).mean(),
        "candels_uniform": np.sqrt(((fractions - 0.2) ** 2).mean()),
        "candels_zeros": np.sqrt((fractions**2).mean()),
    }
    for name, value in expected.items():
        assert published[name].n == len(fractions)
        assert published[name].value == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize("gpus", [1, 2, 4, 8, 16, 32, 64])
def test_khan_minutes_are_epochs_times_their_seconds(published, gpus):
    whole = published[f"khan2019_gpus_{gpus}"]
    epochs = [int(word) for word in whole.caveat.split(" epochs")[0].split(" + ")]
    seconds = [published[f"khan2019_gpus_{gpus}_stage{stage}"].value for stage in (1, 2, 3)]
    # Seconds are rounded to 1 each, which the epochs multiply; minutes to 1.
    assert whole.value * 60 == pytest.approx(np.dot(epochs, seconds), abs=30 + sum(epochs) / 2)


GOOD = {
    "id": "a",
    "work": "Somebody 2020",
    "metric": "accuracy",
    "value": 0.9,
    "dataset": "gz2_five_class",
    "source": "Table 1",
    "evidence": "P",
}


def write(path, *values):
    path.write_text(yaml.safe_dump({"groups": [{"values": list(values)}]}))
    return path


def test_group_says_once_what_holds_for_all(tmp_path):
    path = tmp_path / "published.yaml"
    common = {key: GOOD[key] for key in ("work", "metric", "dataset", "source", "evidence")}
    values = [{"id": "a", "value": 0.9}, {"id": "b", "value": 0.8, "source": "Table 2"}]
    path.write_text(yaml.safe_dump({"groups": [{**common, "values": values}]}))
    found = load_published(path)
    assert list(found) == ["a", "b"]
    assert (found["a"].source, found["b"].source) == ("Table 1", "Table 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 95.2}, "percent"),
        ({"value": None}, "value"),
        ({"value": float("nan")}, "value"),
        ({"metric": "RMSE", "value": 0.0}, "RMSE"),
        ({"evidence": "U"}, "evidence"),
        ({"evidence": "S"}, "caveat"),
        ({"source": ""}, "source"),
        ({"caveats": "misspelt"}, "caveats"),
        ({"id": "Not a name"}, "id"),
        ({"spread": 0}, "spread"),
        ({"n": 0}, "n: "),
    ],
)
def test_broken_value_is_refused(tmp_path, change, message):
    with pytest.raises(PublishedError, match=message):
        load_published(write(tmp_path / "published.yaml", {**GOOD, **change}))


def test_repeated_id_is_refused(tmp_path):
    with pytest.raises(PublishedError, match="a: this id stands twice"):
        load_published(write(tmp_path / "published.yaml", GOOD, GOOD))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (": [", "not valid YAML"),
        ("values: []", "groups"),
        ("- 1", "groups"),
        ("groups: [1]", "list"),
    ],
)
def test_broken_file_is_refused(tmp_path, content, message):
    path = tmp_path / "published.yaml"
    path.write_text(content)
    with pytest.raises(PublishedError, match=message):
        load_published(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(PublishedError, match="Cannot read"):
        load_published(tmp_path / "none.yaml")
