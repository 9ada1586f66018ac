"""The check that the course still learns would see what it must see."""

import math

import pytest

from galhelpers.course.results import write_metrics
from tests import expected_results
from tests.expected_results import RUN, differences, load, main, tolerance

EXPECTED = load()
NAMES = [(notebook, name) for notebook in EXPECTED for name in EXPECTED[notebook]]


def metrics(**changed):
    """Numbers of a run that are all as expected, but for those given by name."""
    rows = []
    for notebook, name in NAMES:
        value = changed.get(f"{notebook}/{name}", EXPECTED[notebook][name]["value"])
        if value is not None:
            rows.append({"notebook": notebook, "name": name, "value": value} | RUN)
    return rows


def test_every_notebook_has_expected_numbers(course):
    assert sorted(EXPECTED) == sorted(
        file.stem for file in (course / "notebooks").glob("[0-9]*.ipynb")
    )


def test_a_run_like_the_committed_one_is_fine():
    assert differences(EXPECTED, metrics(), EXPECTED) == []


@pytest.mark.parametrize(("notebook", "name"), NAMES, ids=lambda part: part)
def test_a_change_that_halves_a_number_fails(notebook, name):
    """Accuracies, errors and counts alike: the tolerance of none is as wide as that."""
    half = EXPECTED[notebook][name]["value"] / 2
    (problem,) = differences(EXPECTED, metrics(**{f"{notebook}/{name}": half}), EXPECTED)
    assert problem.startswith(f"{notebook}/{name}: expected ")
    assert f"got {half:.6g}" in problem


@pytest.mark.parametrize("value", [2000.0, 2002.0, math.nan, None])
def test_a_count_is_exact_and_no_number_may_be_missing(value):
    name = "01_votes/galaxies with a class"
    (problem,) = differences(EXPECTED, metrics(**{name: value}), EXPECTED)
    assert problem.startswith(f"{name}: ")


def test_unexpected_numbers_other_parameters_and_silent_notebooks_fail():
    (problem,) = differences(
        EXPECTED, [*metrics(), metrics()[0] | {"name": "a new number"}], EXPECTED
    )
    assert "a new number" in problem
    (problem,) = differences(EXPECTED, [*metrics()[:-1], metrics()[-1] | {"seed": 1}], EXPECTED)
    assert "'seed': 1" in problem
    (problem,) = differences(EXPECTED, metrics(), [*EXPECTED, "04_silent"])
    assert problem.startswith("04_silent: ")


def test_the_command(tmp_path, monkeypatch, capsys):
    """It writes the numbers of a run, compares with them, and ends with 1 where one is off."""
    monkeypatch.setattr(expected_results, "EXPECTED", tmp_path / "expected.yaml")

    def run(folder, value):
        row = {"name": "accuracy", "value": value, "spread": 0.01, "n": 300} | RUN
        write_metrics(tmp_path / folder, "04_baselines", [row])
        write_metrics(tmp_path / folder, "01_votes", [{"name": "galaxies", "value": 2001.0} | RUN])
        return str(tmp_path / folder)

    assert main([run("first", 0.8), "--update"]) == 0
    assert main([run("first", 0.8)]) == 0
    assert (
        main([run("near", 0.78), "notebooks/01_votes.ipynb", "notebooks/04_baselines.ipynb"]) == 0
    )
    assert capsys.readouterr().out.count("Headline numbers: 2") == 2
    assert main([run("halved", 0.4)]) == 1
    assert "04_baselines/accuracy: expected 0.8" in capsys.readouterr().out
    assert main([str(tmp_path / "nothing ran"), "notebooks/01_votes.ipynb"]) == 1
    (tmp_path / "first" / "metrics" / "01_votes.json").write_text("[{")
    assert main([str(tmp_path / "first")]) == 1
    assert "01_votes.json is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"value": 0.8, "spread": 0.05, "n": 300}, 0.15),
        ({"value": 0.8, "spread": 0.001, "n": 100}, 3 * math.sqrt(0.8 * 0.2 / 100)),
        ({"value": 0.13, "low": 0.12, "high": 0.14, "n": 400}, 0.015),
        ({"value": 0.13, "low": 0.1299, "high": 0.1301, "n": 400}, 0.0039),
        ({"value": 0.5, "spread": 0.1}, 0.2),
    ],
)
def test_how_far_a_trained_number_may_be_off(facts, expected):
    assert tolerance({"notebook": "04_baselines", "name": "x"} | facts)[0] == pytest.approx(
        expected
    )
