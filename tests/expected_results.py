"""Compare the headline numbers of a quick run with the committed ones, or commit new ones.

    python tests/expected_results.py RUN_FOLDER            # compare, as `make notebooks` does
    python tests/expected_results.py RUN_FOLDER --update   # write expected_results.yaml anew

Nothing is executed here: the notebooks wrote their numbers down while something else ran them.
"""

import argparse
import math
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from galhelpers.course.results import collect_metrics

EXPECTED = Path(__file__).with_name("expected_results.yaml")
HEAD = """\
# Headline numbers of the run whose outputs are committed, and how far another run may be off.
# Written by: python tests/expected_results.py RUN_FOLDER --update
"""
RUN = {"profile": "quick", "dataset": "simulated", "seed": 0}
EXACT = re.compile(r"01_votes/.*|04_baselines/RMSE, (all zeros|constant mean)")
# Read from a recorded file: on real galaxies, whatever the run is on.
RECORDED = re.compile(r"06_resnet_to_node/\w+, real")
DIFFERENCE = re.compile(r"nats.*( - | minus | gained ).*")


def tolerance(metric: dict[str, Any]) -> tuple[float, str]:
    """How far another run may be off, on another machine or with other threads, and why.

    Training is repeatable on one machine and with one number of threads: an accuracy on another
    survey in notebook 10 was .71 with one and .67 with two. So a trained number may be off by the
    largest of what is known about it: its spread over seeds, its interval, what chance does to a
    share of n galaxies. At most by two fifths: half an accuracy is never within the tolerance.
    """
    value = metric["value"]
    if EXACT.fullmatch(f"{metric['notebook']}/{metric['name']}"):
        return 1e-5 * abs(value), "exact but for rounding: nothing is trained"
    if DIFFERENCE.fullmatch(metric["name"]):
        off = max(0.1, 0.1 * abs(value))
        return min(off, 0.4 * abs(value)), "what is hard for both cancels: a tenth, or of a nat"
    if metric["name"].startswith("gradient error"):
        return 0.2 * abs(value), "rounding decides whether a step of a solver is accepted"
    if metric["name"].startswith("nats a galaxy"):
        return 1.0, "another seed moves it by up to 1 nat"
    known = [(0.03 * abs(value), "3 % of the value")]
    if metric.get("spread") is not None:
        known.append((3 * metric["spread"], "3 standard deviations over seeds"))
    if metric.get("low") is not None:
        error = (metric["high"] - metric["low"]) / 4
        known.append((3 * error, "3 standard errors, from the 95 % interval"))
    elif metric.get("n") and 0 < value < 1:
        error = math.sqrt(value * (1 - value) / metric["n"])
        known.append((3 * error, f"3 standard errors of a share of {metric['n']:.0f} galaxies"))
    most, why = max(known)
    return (most, why) if most < 0.4 * abs(value) else (0.4 * abs(value), "two fifths of the value")


def differences(
    expected: dict[str, dict[str, Any]],
    metrics: Sequence[dict[str, Any]],
    notebooks: Collection[str],
) -> list[str]:
    """List what is not as expected in the numbers of a run, one sentence each.

    Parameters
    ----------
    expected
        ``value``, ``tolerance`` and ``because`` by notebook and name.
    metrics
        Rows of `galhelpers.course.results.collect_metrics`.
    notebooks
        Names of the notebooks that were executed.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in notebooks}
    problems = []
    for metric in metrics:
        name = f"{metric['notebook']}/{metric['name']}"
        other = {key: metric.get(key) for key in RUN if metric.get(key) != RUN[key]}
        if other and not RECORDED.fullmatch(name):
            problems.append(f"{name}: expected a run with {RUN}, got {other}.")
        found.setdefault(metric["notebook"], {})[metric["name"]] = metric["value"]
    for notebook, values in found.items():
        wanted = expected.get(notebook, {})
        if not values:
            problems.append(f"{notebook}: expected headline numbers, it recorded none.")
            continue
        problems += [f"{notebook}/{name}: not recorded." for name in wanted.keys() - values.keys()]
        for name, value in values.items():
            if name not in wanted:
                problems.append(f"{notebook}/{name}: recorded {value}, but nothing is expected.")
                continue
            right, off = wanted[name]["value"], wanted[name]["tolerance"]
            if not abs(value - right) <= off:  # NaN is not either
                problems.append(
                    f"{notebook}/{name}: expected {right:.6g} ± {off:.2g} "
                    f"({wanted[name]['because']}), got {value:.6g}."
                )
    return sorted(problems)


def update(folder: Path) -> None:
    """Write the numbers of a run to ``expected_results.yaml``; notebooks it lacks keep theirs."""
    expected = load() if EXPECTED.is_file() else {}
    metrics = collect_metrics(folder)
    for notebook in {metric["notebook"] for metric in metrics}:
        expected[notebook] = {}
    for metric in metrics:
        off, why = tolerance(metric)
        expected[metric["notebook"]][metric["name"]] = {
            "value": float(f"{metric['value']:.8g}"),
            "tolerance": float(f"{off:.2g}"),
            "because": why,
        }
    text = yaml.safe_dump(dict(sorted(expected.items())), sort_keys=False, width=200)
    EXPECTED.write_text(HEAD + text, encoding="utf-8")


def load() -> dict[str, dict[str, Any]]:
    """Read the committed numbers."""
    return yaml.safe_load(EXPECTED.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 when a number is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a run folder")
    parser.add_argument("notebooks", nargs="*", type=Path, help="those executed; default: all")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args(arguments)
    if options.update:
        update(options.folder)
        return 0
    notebooks = {path.stem for path in options.notebooks} or set(load())
    metrics = collect_metrics(options.folder)
    problems = differences(load(), metrics, notebooks)
    print("\n".join(problems) or f"Headline numbers: {len(metrics)}, all as expected.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
