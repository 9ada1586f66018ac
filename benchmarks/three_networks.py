"""Compare the three networks of Gupta et al. 2022 under one recipe, on real galaxies.

    python benchmarks/three_networks.py --data-root DIR --record docs/results/three_networks.json

Trains ``resnet6``, ``node`` and ``node_aca`` as ``galhelpers train`` does, on the same three
splits, or takes what that left under ``--out``. An interval of a difference comes from resampling
galaxies of the test parts, with the networks as they are: ``by_split`` shows what training them
again on other galaxies does. Then the test galaxies are classified again with other solvers and
tolerances than the network was trained with, one view each. One thread; 110 minutes of CPU time
for the trainings, 5 for the rest.
"""

import argparse
import json
import platform
import time
from itertools import combinations
from pathlib import Path

from galhelpers.data.images import load_images
from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.make_networks import make_network
from galhelpers.learning.metrics import bootstrap, per_class, proportion
from galhelpers.learning.recipes import NETWORKS
from galhelpers.learning.samples import join, read_sample
from galhelpers.models.resnet_node import OdeBlock
from galhelpers.paths import atomic_write, image_cache

import numpy as np
import torch
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

NAMES = ("resnet6", "node", "node_aca")
SOLVERS = {
    "bosh3": (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0),
    "adaptive_heun": (1e-3, 1e-2, 0.1, 1.0, 10.0),
    "euler": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),  # lengths of its steps
}
POINTS = 60
"""Points of a curve that are written down."""
RESAMPLES = 4_000


def thinned(*columns):
    """Take about as many points of a curve as a reader can see, ends included."""
    rows = np.unique(np.linspace(0, len(columns[0]) - 1, POINTS).round().astype(int))
    return [np.round(column[rows], 4).tolist() for column in columns]


def split_facts(result, classes):
    """Say what one split of one network came to."""
    rows = per_class(np.array(result["confusion"]), classes)
    facts = {name: result[name] for name in ("split", "accuracy", "macro_recall", "n_test")}
    facts |= {"macro_f1": rows.loc["mean", "f1"]}
    for column, name in (("recall", "recalls"), ("precision", "precisions"), ("f1", "f1s")):
        facts[name] = rows.loc[classes, column].to_dict()
    facts |= {name: result[name] for name in ("cpu_seconds", "train_loss", "validation_loss")}
    facts |= {"validation_accuracy": result["validation"]["accuracy"]}
    return facts


def curves(truth, probabilities, classes):
    """Draw ROC and precision-recall curves of each class against the others."""
    roc, precision_recall = {}, {}
    for number, name in enumerate(classes):
        is_class, score = truth == number, probabilities[:, number]
        false_positive_rate, recall, _ = roc_curve(is_class, score)
        # A precision of 1 at a recall of 0 is a convention, and no galaxy's.
        precision, found, _ = precision_recall_curve(is_class, score, drop_intermediate=True)
        x, y = thinned(false_positive_rate, recall)
        area = auc(false_positive_rate, recall)
        roc[name] = {"false_positive_rate": x, "recall": y, "area": area}
        x, y = thinned(found, precision)
        average = average_precision_score(is_class, score)
        precision_recall[name] = {"recall": x, "precision": y, "average_precision": average}
    return roc, precision_recall


def network_facts(results, tests, classes):
    """Say what a network came to on all its splits."""
    truth = np.concatenate([test["truth"] for test in tests])
    roc, precision_recall = curves(
        truth, np.concatenate([test["probabilities"] for test in tests]), classes
    )
    forward, backward = results[0].get("evaluations", (0, 0))
    return {
        "parameters": results[0]["parameters"],
        "splits": [split_facts(result, classes) for result in results],
        "confusion": np.sum([result["confusion"] for result in results], axis=0).tolist(),
        "roc": roc,
        "precision_recall": precision_recall,
        "evaluations": {"forward": forward, "backward": backward},
    }


def scores(truth, right, weights, metric):
    """Accuracy or macro recall of galaxies that count as often as their weight says."""
    if metric == "accuracy":
        return np.average(right, weights=weights)
    sums = np.bincount(truth, weights * right), np.bincount(truth, weights)
    return np.mean(sums[0] / sums[1])


def differences(tests):
    """Compare each two networks on the same galaxies: 95 %, resampling galaxies.

    A galaxy may be in the test parts of two splits; it is drawn with all its rows.
    """
    first = next(iter(tests.values()))
    truth = np.concatenate([part["truth"] for part in first])
    galaxy = np.unique(np.concatenate([part["id"] for part in first]), return_inverse=True)[1]
    ends = np.cumsum([len(part["truth"]) for part in first])[:-1]
    draws = np.random.default_rng(0).integers(galaxy.max() + 1, size=(RESAMPLES, galaxy.max() + 1))
    rows = []
    for one, other in combinations(tests, 2):
        right = {
            name: np.concatenate(
                [part["probabilities"].argmax(axis=1) == part["truth"] for part in tests[name]]
            )
            for name in (one, other)
        }
        for metric in ("accuracy", "macro_recall"):

            def difference(rows, weights, metric=metric, right=right, one=one, other=other):
                ours = (scores(truth[rows], right[n][rows], weights, metric) for n in (other, one))
                return float(np.subtract(*ours))

            everything = np.arange(len(truth))
            resampled = [
                difference(everything, np.bincount(draw, minlength=galaxy.max() + 1)[galaxy])
                for draw in draws
            ]
            low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
            by_split = [difference(part, np.ones(len(part))) for part in np.split(everything, ends)]
            value = difference(everything, np.ones(len(truth)))
            rows.append(
                {"first": one, "second": other, "metric": metric, "value": value, "low": low}
                | {"high": high, "n": int(galaxy.max() + 1), "by_split": by_split}
                | {"how": f"second less first; galaxies of {len(first)} test parts resampled"}
            )
    return rows


def other_solvers(name, file, pixels, truth):
    """Classify galaxies with other solvers and tolerances than the network was trained with.

    The difference of each to the first, the most accurate, is of the same galaxies.
    """
    trained = load_checkpoint(file)
    trained.preprocessing["views"] = 1
    (block,) = (part for part in trained.model.modules() if isinstance(part, OdeBlock))
    counts, finest = [], None
    block.register_forward_hook(lambda module, *_: counts.append(module.stats.forward))
    rows = []
    for method, values in SOLVERS.items():
        for value in values:
            block.method = method
            block.tolerance, block.step_size = (1e-2, value) if method == "euler" else (value, None)
            counts.clear()
            clock = time.process_time()
            right = trained.predict(pixels).numpy().argmax(axis=1) == truth
            milliseconds = 1000 * (time.process_time() - clock) / len(truth)
            found = proportion(int(right.sum()), len(truth))
            finest = right if finest is None else finest
            paired = bootstrap(lambda x: float(x.mean()), right.astype(float) - finest)
            rows.append(
                {"network": name, "method": method, "tolerance": value}
                | {"evaluations": float(np.mean(counts)), "accuracy": found.value}
                | {"low": found.low, "high": found.high, "cpu_ms_a_galaxy": milliseconds}
                | {"difference": paired.value, "difference_low": paired.low}
                | {"difference_high": paired.high}
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root")
    parser.add_argument("--out", type=Path, default=Path("runs/networks/work"))
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--record", type=Path, help="write the results to this file, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    galaxies = join([read_sample(s, options.data_root) for s in NETWORKS[NAMES[0]].samples])
    classes, tests, networks, tolerance = list(galaxies.classes), {}, {}, []
    for name in options.only:
        made = make_network(NETWORKS[name], options.data_root, options.out, progress=True)
        parts = [dict(np.load(Path(one["folder"]) / "test.npz")) for one in made.results]
        tests[name] = parts
        networks[name] = network_facts(made.results, parts, classes)
        print(name, [round(one["accuracy"], 4) for one in made.results], flush=True)
        if name != "resnet6":
            test = parts[made.results.index(made.best)]
            chosen = np.searchsorted(galaxies.ids, test["id"], sorter=np.argsort(galaxies.ids))
            rows = np.argsort(galaxies.ids)[chosen]
            size, crop = NETWORKS[name].recipe.size, NETWORKS[name].recipe.crop
            images = load_images(galaxies.files, size, crop, cache_dir=image_cache())
            tolerance += other_solvers(name, made.file, images.pixels[rows], test["truth"])
    found = {"command": "python benchmarks/three_networks.py --data-root DIR"}
    found |= {"machine": f"{platform.machine()}, one thread, torch {torch.__version__}"}
    found |= {"networks": networks, "differences": differences(tests), "tolerance": tolerance}
    for row in (*found["differences"], *tolerance):
        print(row)
    if options.record:
        with atomic_write(options.record) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
