"""Measure transfer learning on real galaxies, for notebook 10: rings, spirals, and few labels.

    python benchmarks/transfer.py start        # learns on simulated skies
    python benchmarks/transfer.py rings spirals labels --data-root DIR
    python benchmarks/transfer.py --record docs/results/transfer.json --data-root DIR

Networks start from the course's network of a simulated sky (`start`), from that of Galaxy Zoo 2
(`five_classes`; for rings alone: it may have seen the other galaxies), from that network once it
has learnt simulated rings (sim_rings, then trained twice as long, with more zoom), or at random;
3x: with three times the epochs. EfficientNet-Lite0 starts from ImageNet, from a simulated sky
(lite_sky) or at random (lite_random). An interrupted run goes on with the same command. For rings
and spirals a fifth of the galaxies is set aside for all choices: crop, learning rate, epoch. The
others are cross-validated in five folds, newly for each seed.
"""

import argparse
import json
import platform
import shutil
import time
from functools import cache, partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace

from galhelpers.data.augment import Augment, dihedral_views, to_float
from galhelpers.data.catalogs import FIVE_CLASSES, group_duplicates
from galhelpers.data.dataset import load_dataset
from galhelpers.learning.checkpoint import save_checkpoint
from galhelpers.learning.experiment import channel_statistics
from galhelpers.learning.metrics import accuracy, bootstrap, split_interval
from galhelpers.learning.training import Options, autocast, best_device, fit, predict
from galhelpers.models import backbone
from galhelpers.paths import atomic_write
from transfer_starts import (
    network_of,
    pixels_of,
    start_lite,
    start_rings,
    weights_of,
)

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MARGIN = 1.25  # training pictures are this much wider, for what turns into the frame
ALL = 10**6
LABELS = {300: 20, 100: 30, 1000: 8, ALL: 6}  # galaxies, a fifth of which choose the epoch; epochs
SPIRALS = {"elliptical": ["elliptical"], "spiral": ["spiral_clockwise", "spiral_anticlockwise"]}
LITE = ("imagenet", "lite_sky", "lite_random")  # EfficientNet-Lite0, on pictures of 96 pixels
TASKS = {  # classes with the labels of each, and what crop and rate are chosen from
    "rings": SimpleNamespace(
        dataset="decals_rings", classes={"no_ring": ["no_ring"], "ring": ["ring"]},
        starts=("sky", "gz2", "sim_rings", "random", "imagenet"), size=64, crops=(0.4, 0.6, 0.8),
        rates=(1e-3, 3e-3), epochs=12, batch_size=16, smoothing=0.1,
    ),
    "spirals": SimpleNamespace(
        dataset="gz1_sdss", classes=SPIRALS,
        starts=("sky", "random", "random_3x", "imagenet"), size=48, crops=(0.3, 0.4),
        rates=(3e-3, 1e-3, 3e-4), epochs=6, batch_size=32, smoothing=0.0,
    ),
    "labels": SimpleNamespace(
        dataset="gz2_five_class", classes={name: [name] for name in FIVE_CLASSES},
        starts=("sky", "random", "random_3x", "random_10x", *LITE), size=64, crops=(0.53,),
        rates=(3e-3, 1e-3), epochs=20, batch_size=16, smoothing=0.0,
    ),
}  # fmt: skip


class Part:
    """The galaxies of a task, each once, and networks that learn from them."""

    def __init__(self, name, data_root, out):
        self.name, self.task, self.out = name, TASKS[name], out
        galaxies = load_dataset(self.task.dataset, data_root)
        catalog = galaxies.catalog
        label = catalog["label_name" if "label_name" in catalog else "class_name"]
        number = {old: k for k, olds in enumerate(self.task.classes.values()) for old in olds}
        classes = label.map(number).fillna(-1).to_numpy(int)
        digests = pixels_of(galaxies.files, 8, 1.0).digests
        sky = [catalog[name].astype(float) if name in catalog else None for name in ("ra", "dec")]
        groups = group_duplicates(digests, *sky, ids=catalog["id"].astype(str))
        first = np.sort(np.unique(groups, return_index=True)[1])
        rows = first[classes[first] >= 0]
        self.files, self.y = galaxies.select(rows).files, classes[rows]

    @cache  # noqa: B019 - as long as the process
    def pixels(self, crop, network):
        """Pictures with a margin around what the network sees."""
        size = round(self.size(network) * MARGIN)
        return pixels_of(self.files, size, crop * size / self.size(network)).pixels

    def size(self, network):
        """Pixels that the network sees."""
        return 96 if network == "efficientnet_lite0" else self.task.size

    def begin(self, start, crop, train, seed):
        """Build a network; one that has seen pictures keeps the normalisation it knows."""
        torch.manual_seed(seed)
        name, weights = network_of(start), weights_of(start, self.out)
        net = backbone(name, len(self.task.classes), weights=weights)
        net.normalisation = net.normalisation or channel_statistics(self.pixels(crop, name), train)
        return net.to(best_device()).to(memory_format=torch.channels_last)

    def learn(self, start, crop, rate, train, validation, seed, epochs=None):
        """Train a network; the epoch with the lowest loss on the validation part is kept."""
        task, y, network = self.task, torch.tensor(self.y), network_of(start)
        times, zoom = (2, 1.5) if start == "sim_rings" else (1, 1.2)
        times = int(start.rsplit("_", 1)[1][:-1]) if start.endswith("x") else times
        epochs = (epochs or task.epochs) * times
        net, pixels = self.begin(start, crop, train, seed), self.pixels(crop, network)
        shown, half = self.shown(net), network == "small_resnet"  # the other is slower in bfloat16
        history = fit(
            net, (pixels[train], y[train]), (pixels[validation], y[validation]),
            partial(F.cross_entropy, label_smoothing=task.smoothing),
            augment=Augment(zoom=(1 / zoom, zoom), noise=0.01, seed=seed, **shown),
            prepare=partial(to_float, **shown), epochs=epochs, learning_rate=rate,
            batch_size=task.batch_size, seed=seed, options=Options(mixed_precision=half),
        )  # fmt: skip
        return net, history.best_epoch + 1

    def shown(self, net):
        """How the network sees pictures."""
        size = self.size(net.arguments["name"])
        return {"size": size} | dict(zip(("mean", "std"), net.normalisation, strict=True))

    def average(self, net, crop, rows, views=8, encode=False):
        """Mean of probabilities or features over the views of a picture, turned and mirrored."""

        def over_views(x):
            seen = dihedral_views(x)[:views]
            give = [net.encode(v) if encode else net(v).float().softmax(1) for v in seen]
            return torch.stack(give).float().mean(0)

        net.eval()
        prepare, device = partial(to_float, **self.shown(net)), best_device()
        with autocast(device, mixed_precision=True):
            pixels = self.pixels(crop, net.arguments["name"])[rows]
            return predict(over_views, pixels, prepare, device=device).numpy()

    def choose(self, start, train, aside):
        """Choose the crop, with the first rate, then the rate, by the galaxies set aside."""
        start, rates = start.removesuffix("_3x"), self.task.rates
        first, *rates = rates if network_of(start) == "small_resnet" else (1e-3, 3e-4)
        made = [self.try_out(start, crop, first, train, aside) for crop in self.task.crops]
        crop = min(made, key=itemgetter("loss"))["crop"]
        made += [self.try_out(start, crop, rate, train, aside) for rate in rates]
        return min(made, key=itemgetter("loss"))

    def try_out(self, start, crop, rate, train, aside):
        """Train one network, keep it, and measure it on the galaxies set aside."""
        file = self.out / f"{self.name}-choice-{start}-{crop}-{rate}.json"

        def make():
            net, epoch = self.learn(start, crop, rate, train, aside, 0)
            save_checkpoint(
                file.with_suffix(".safetensors"), net, architecture="backbone",
                arguments=net.arguments, classes=list(self.task.classes),
                provenance={"benchmark": "transfer.py", "start": start, "seed": 0},
                preprocessing=self.shown(net) | {"crop": crop, "views": 8},
            )  # fmt: skip
            p, y = self.average(net, crop, aside), self.y[aside]
            surprise = -np.log(np.clip(p[np.arange(len(y)), y], 1e-6, 1)).mean()
            return {"part": self.name, "kind": "choice", "start": start, "crop": crop,
                    "rate": rate, "loss": float(surprise), "best_epoch": epoch,
                    "accuracy": accuracy(p.argmax(1), y)}  # fmt: skip

        return row(file, make)


def row(file, make):
    """Read a row, or make and write it."""
    if not file.is_file():
        began = time.process_time()
        made = make() | {"cpu_seconds": round(time.process_time() - began, 1)}
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(made) + "\n", encoding="utf8")
        print({k: v for k, v in made.items() if not isinstance(v, list)}, flush=True)
    return json.loads(file.read_text("utf8"))


def two_classes(part, starts, seeds):
    """Choose on the galaxies set aside, then cross-validate on the others."""
    y, out = part.y, part.out
    ways = [(s, how) for s in starts for how in ("tuned", "frozen")[: 1 if "3x" in s else 2]]
    tested, aside = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=0)
    chosen = {start: part.choose(start, tested, aside) for start in starts}
    choices = [
        json.loads(file.read_text("utf8")) for file in out.glob(f"{part.name}-choice-*.json")
    ]
    best = min(choices, key=itemgetter("loss"))
    best = "{part}-choice-{start}-{crop}-{rate}.safetensors".format(**best)
    shutil.copy(out / best, out / f"{part.name}.safetensors")

    @cache
    def features(start, crop, seed):
        net = part.begin(start, crop, tested, seed)
        return part.average(net, crop, np.arange(len(y)), 4, encode=True)

    def test(start, how, seed, fold, train, rows):
        facts = {"part": part.name, "kind": how, "start": start, "seed": seed, "fold": fold}
        crop, rate = itemgetter("crop", "rate")(chosen[start])
        if how == "frozen":  # logistic regression on features as they are
            x, grid = features(start, crop, seed), {"C": 10.0 ** np.arange(-4, 2)}
            model = GridSearchCV(LogisticRegression(max_iter=2000), grid, scoring="neg_log_loss")
            model = make_pipeline(StandardScaler(), model).fit(x[train], y[train])
            p = model.predict_proba(x[rows])[:, 1]
        else:
            net, epoch = part.learn(start, crop, rate, train, aside, 100 * seed + fold)
            p, facts = part.average(net, crop, rows)[:, 1], facts | {"best_epoch": epoch}
        return facts | {"accuracy": accuracy(p > 0.5, y[rows]), "probability": p.tolist(),
                        "rows": rows.tolist(), "truth": y[rows].tolist()}  # fmt: skip

    for seed in range(seeds):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(tested, y[tested])
        for (fold, (train, rows)), (start, how) in product(enumerate(folds), ways):
            make = partial(test, start, how, seed, fold, tested[train], tested[rows])
            row(out / f"{part.name}-{how}-{start}-{seed}-{fold}.json", make)


def few_labels(part, starts, seeds, labels):
    """Five classes from few labels; 2,000 galaxies are only ever tested."""
    y, crop = part.y, part.task.crops[0]
    pool, test = train_test_split(np.arange(len(y)), test_size=2000, stratify=y, random_state=0)
    pool, aside = train_test_split(pool, test_size=500, stratify=y[pool], random_state=0)
    rates = {start: part.choose(start, pool[:300], aside)["rate"] for start in starts}

    def make(seed, n, start):
        drawn = partial(train_test_split, pool, stratify=y[pool], random_state=seed)
        mine = pool if n == ALL else drawn(train_size=n)[0]
        train, own = train_test_split(mine, test_size=0.2, random_state=seed)
        net, epoch = part.learn(start, crop, rates[start], train, own, seed, LABELS[n])
        guess = part.average(net, crop, test, 1).argmax(1)
        recall = metrics.recall_score(y[test], guess, average=None, labels=range(5))
        facts = {"labels": len(mine), "seed": seed, "best_epoch": epoch}
        return {"part": "labels", "kind": "tuned", "start": start, "recall": recall.tolist(),
                "accuracy": accuracy(guess, y[test]), "macro_recall": float(recall.mean()),
                } | facts  # fmt: skip

    for n, seed, start in product(labels, range(seeds), starts):
        if n == ALL and (seed > 1 or network_of(start) != "small_resnet"):
            continue  # these draws differ in the fifth that chooses the epoch only; hours of work
        if start == "random_10x" and n != 300:
            continue
        row(part.out / f"labels-tuned-{n}-{start}-{seed}.json", partial(make, seed, n, start))


MEASURES = {  # of true classes and probabilities of class 1
    "accuracy": lambda y, p: accuracy(p > 0.5, y),
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p > 0.5),
    "balanced_accuracy_at_share": lambda y, p: metrics.balanced_accuracy_score(y, p > y.mean()),
    "precision": lambda y, p: metrics.precision_score(y, p > 0.5, zero_division=0),
    "recall": lambda y, p: metrics.recall_score(y, p > 0.5),
    "f1": lambda y, p: metrics.f1_score(y, p > 0.5),
    "false_positive_rate": lambda y, p: float(np.mean(p[y == 0] > 0.5)),
    "roc_area": lambda y, p: metrics.roc_auc_score(y, p),
}


def summary(rows, second):
    """Put the folds of all seeds together: means over the seeds, intervals over galaxies."""
    truth = {r: t for one in rows for r, t in zip(one["rows"], one["truth"], strict=True)}
    galaxies, y = np.array(sorted(truth.items())).T
    seeds = sorted({one["seed"] for one in rows})
    p = np.full((len(galaxies), len(seeds)), np.nan)
    for one in rows:
        p[np.searchsorted(galaxies, one["rows"]), seeds.index(one["seed"])] = one["probability"]
    p = p[:, ~np.isnan(p).any(0)]  # seeds of which all folds are there
    said = {"n": len(y), "seeds": p.shape[1], "majority": float(max(1 - y.mean(), y.mean()))}
    together = p.mean(1)
    found = {"accuracy_over_splits": split_interval([one["accuracy"] for one in rows], 0.2)}
    for name, measure in MEASURES.items():
        mean = partial(lambda f, y, p: np.mean([f(y, column) for column in p.T]), measure)
        found[name] = bootstrap(mean, y, p, resamples=500)
        found[f"{name}_together"] = bootstrap(mean, y, together[:, None], resamples=500)
    said |= {name: [one.value, one.low, one.high] for name, one in found.items()}
    other = np.array([second.get(galaxy, -1) for galaxy in galaxies])
    for both in product((0, 1), (0, 1)):  # by both labels: galaxies, and those called spiral
        called = together[(y == both[0]) & (other == both[1])] > 0.5
        said["labels_{}_{}".format(*both)] = [len(called), int(called.sum())]
    return said


def record(out, file, data_root):
    """Put all rows of a folder together, as notebook 10 draws them."""
    found = [json.loads(path.read_text("utf8")) for path in sorted(out.glob("*-*.json"))]
    made = {part: [] for part in TASKS} | {"choices": [o for o in found if o["kind"] == "choice"]}
    made["machine"] = f"{platform.machine()}, one thread, torch {torch.__version__}"
    # Elliptical (0) or spiral (1) by another selection from Galaxy Zoo 1, where there is one.
    files = Part("spirals", data_root, out).files
    table = pd.read_csv(files[0].parent.parent / "labels.csv", dtype=str).set_index("dr7objid")
    types = table.get("mattiaseyh_type", pd.Series()).map({"ELLIPTICAL": 0, "SPIRAL": 1}).dropna()
    second = {row: types[file.stem] for row, file in enumerate(files) if file.stem in types.index}
    for part in ("rings", "spirals"):
        for start, kind in product(TASKS[part].starts, ("tuned", "frozen")):
            mine = [o for o in found if (o["part"], o["start"], o["kind"]) == (part, start, kind)]
            if len(mine) >= 5:
                facts = summary(mine, second if part == "spirals" else {})
                made[part].append({"start": start, "kind": kind} | facts)
    numbers = sorted({one["labels"] for one in found if "labels" in one})
    for start, n in product(TASKS["labels"].starts, numbers):
        mine = [one for one in found if (one.get("labels"), one["start"]) == (n, start)]
        if len(mine) > 1:
            facts = {"labels": n, "start": start, "seeds": len(mine)}
            for name in ("accuracy", "macro_recall"):
                values = [one[name] for one in mine]
                half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
                facts[name] = [np.mean(values), np.mean(values) - half, np.mean(values) + half]
                facts[f"{name}_of_seeds"] = values
            made["labels"].append(facts)
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(made, indent=1) + "\n", encoding="utf8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"start, {', '.join(TASKS)}")
    parser.add_argument("--starts", nargs="*", help="by default all of a part")
    parser.add_argument("--labels", type=int, nargs="*", default=list(LABELS), help="how many")
    parser.add_argument("--seeds", type=int, help="by default 3, and 5 for labels")
    parser.add_argument("--record", type=Path, help="write all results in --out to this file")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"))
    options = parser.parse_args()
    if unknown := set(options.parts) - {"start", *TASKS}:
        parser.error(f"no part {', '.join(unknown)}; there are start, {', '.join(TASKS)}")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.parts:
        if name == "start":
            for make in (start_rings, start_lite):
                make(options.out)
        else:
            run, seeds = (few_labels, 5) if name == "labels" else (two_classes, 3)
            starts = [s for s in TASKS[name].starts if s in (options.starts or TASKS[name].starts)]
            part = Part(name, options.data_root, options.out)
            run(part, starts, options.seeds or seeds, *([options.labels] * (name == "labels")))
    if options.record:
        record(options.out, options.record, options.data_root)


if __name__ == "__main__":
    main()
