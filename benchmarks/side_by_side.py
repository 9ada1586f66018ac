"""Simulated galaxies beside real ones: what tells them apart, in numbers and for the eye.

Run it from the course folder, on a folder that holds real galaxies::

    python benchmarks/side_by_side.py --data-root DIR --n 1000

Both sides are stored alike, so that only the sky can differ: 424 px pictures, reduced to 160 px
with a Lanczos filter and written as JPEG of quality 86 (from Kaggle's originals this gives the real
five-class set pixel for pixel), with equal numbers of each class. Printed, and kept in ``--out``:

- *appearance*: the measurements of ``measurements.py``, with the area under the ROC
  curve of each alone (0.5: alike; 0 or 1: it gives the simulation away by itself);
- *a random forest* on all of them together, and what it goes by;
- *the sky at 424 px*, where noise and its correlations are the survey's own;
- *votes*: distributions of vote fractions, with Kolmogorov and Smirnov's distance.

With them go two contact sheets: real and simulated galaxies shuffled, with a key in a file of its
own; and simulated ones alone, a row a class. Only the second may be passed on, as the first holds
real images.

With ``--write-real FILE`` nothing is compared: the package's twelve measurements of real galaxies,
as they are frequent among the five classes, go to FILE. Its ``real_appearance.csv`` was so made.
"""

import argparse
import re
from pathlib import Path

from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.paths import atomic_write
from galhelpers.survey import (
    appearance,
    cumulative_fractions,
    render,
    sample_galaxies,
    volunteer_votes,
)
from galhelpers.survey.appearance import compare, spread, stored_as_published
from galhelpers.trees import DECALS, GZ2
from measurements import COLUMNS, SKY_COLUMNS, measure, measure_sky

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.stats import ks_2samp
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "runs" / "benchmarks" / "side_by_side"
MIN_PER_CLASS = 40  # cigars are 2 %: too few for a median
N_WRITTEN = 360  # real galaxies whose measurements come with the package
KAGGLE_SIZE = 424
N_CATALOG = 3000  # simulated galaxies whose votes and sizes are compared
KAGGLE_SHARES = np.array([8434, 8069, 578, 3903, 7806]) / 61578  # of its training set


def counts_per_class(labels: np.ndarray, n: int) -> list[int]:
    """How many of each class to compare: real shares, but not fewer than ``MIN_PER_CLASS``."""
    available = np.bincount(labels, minlength=len(FIVE_CLASSES))
    wanted = np.maximum(np.round(n * available / available.sum()), MIN_PER_CLASS).astype(int)
    return np.minimum(wanted, available).tolist()


def real_galaxies(folder: Path, counts: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Real pictures (n, 3, 160, 160) and their classes (n,), class after class."""
    table = pd.read_csv(folder / "gz2_five_class" / "labels.csv")
    rng = np.random.default_rng(seed)
    files, classes = [], []
    for label, count in enumerate(counts):
        of_class = table.loc[table["class_id"] == label, "file"].to_numpy()
        files += rng.choice(of_class, count, replace=False).tolist()
        classes += [label] * count
    pictures = []
    for name in files:
        with Image.open(folder / "gz2_five_class" / name) as image:
            pictures.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    return np.stack(pictures), np.array(classes)


def simulated_truth(counts: list[int], seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Galaxies whose simulated votes put them into the classes, and these classes."""
    found: list[pd.DataFrame] = [pd.DataFrame()] * len(counts)
    for start in range(0, 400 * max(counts), 2000):
        truth = sample_galaxies(2000, seed, start)
        fractions = cumulative_fractions(volunteer_votes(truth, GZ2, "sdss", seed=seed), GZ2)
        classes = select_five_classes(fractions)
        for label, count in enumerate(counts):
            found[label] = pd.concat([found[label], truth[classes == label]])[:count]
        if all(len(part) == count for part, count in zip(found, counts, strict=True)):
            break
    else:
        raise RuntimeError(f"Wanted {counts} of the classes, got {[len(part) for part in found]}.")
    return pd.concat(found, ignore_index=True), np.repeat(range(len(counts)), counts)


def simulated_galaxies(
    truth: pd.DataFrame, seed: int, n_native: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as the SDSS-like telescope gives them, stored as real ones are (n, 3, 160, 160).

    And ``n_native`` of them, evenly picked, as they were before (n_native, 3, 424, 424).
    """
    small, native = [], []
    kept = set(np.linspace(0, len(truth) - 1, min(n_native, len(truth))).astype(int).tolist())
    for start in range(0, len(truth), 64):  # a large picture of each would fill the memory
        large = render(truth[start : start + 64], "sdss", KAGGLE_SIZE, seed).numpy()
        small += [stored_as_published(Image.fromarray(p.transpose(1, 2, 0))) for p in large]
        native += [p for i, p in enumerate(large, start) if i in kept]
    return np.stack(small), np.stack(native)


def write_real(folder: Path, seed: int, file: Path) -> None:
    """Measure ``N_WRITTEN`` real galaxies and write a table without identifiers or pictures."""
    labels = pd.read_csv(folder / "gz2_five_class" / "labels.csv")["class_id"].to_numpy()
    shares = np.bincount(labels, minlength=len(FIVE_CLASSES)) / len(labels)
    counts = np.round(N_WRITTEN * shares).astype(int).tolist()
    pictures, classes = real_galaxies(folder, counts, seed)
    table = appearance.measure(pictures)
    table.insert(0, "class_id", classes)
    with atomic_write(file) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")


def markdown(table: pd.DataFrame) -> str:
    """Write a table as markdown."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * table.shape[1] + "|"]
    for row in table.itertuples(index=False):
        lines.append(
            "| " + " | ".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in row) + " |"
        )
    return "\n".join(lines)


def forest(
    real: pd.DataFrame, simulated: pd.DataFrame, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Whether a random forest recognises each galaxy as real or simulated, and what it goes by.

    Recognised when held back, in 5-fold cross-validation: bool (2 n,), real ones first. The
    importance of a measurement is the accuracy lost on galaxies held back when that measurement
    alone is shuffled among them; of several alike each seems dispensable, which is why the
    importance in training (the fall of the Gini impurity) stands beside it.
    """
    features = pd.concat([real, simulated], ignore_index=True)
    is_simulated = np.repeat([0, 1], [len(real), len(simulated)])
    model = RandomForestClassifier(200, min_samples_leaf=2, random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    recognised = cross_val_predict(model, features, is_simulated, cv=folds) == is_simulated
    train, test, y_train, y_test = train_test_split(
        features, is_simulated, test_size=0.3, stratify=is_simulated, random_state=seed
    )
    model.fit(train, y_train)
    lost = permutation_importance(model, test, y_test, n_repeats=3, random_state=seed)
    table = pd.DataFrame({"measurement": features.columns})
    table["accuracy lost"] = lost.importances_mean
    table["importance in training"] = model.feature_importances_
    return recognised, table.sort_values("importance in training", ascending=False)


def forests(
    real: pd.DataFrame, simulated: pd.DataFrame, classes: np.ndarray, seed: int
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Accuracies of forests on groups of measurements, and importances by group."""
    around = [name for name in COLUMNS if "source" in name]
    galaxy = [name for name in COLUMNS if name not in {*SKY_COLUMNS, *around}]
    groups = {"sky": SKY_COLUMNS, "neighbours": around, "galaxy": galaxy, "all": list(COLUMNS)}
    rows, importances = [], {}
    for group, columns in groups.items():
        recognised, importances[group] = forest(real[columns], simulated[columns], seed)
        row: dict[str, object] = {"measurements": group, "accuracy": float(recognised.mean())}
        for label, name in enumerate(FIVE_CLASSES):
            row[name] = float(recognised[np.tile(classes, 2) == label].mean())
        rows.append(row)
    return pd.DataFrame(rows), importances


def sheet(pictures: np.ndarray, per_row: int, path: Path, gap: int = 3) -> None:
    """Write pictures (n, 3, h, w) as one PNG, row after row."""
    n, _, height, width = pictures.shape
    n_rows = -(-n // per_row)
    page = np.full((n_rows * (height + gap) + gap, per_row * (width + gap) + gap, 3), 96, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = (
            gap + k * (side + gap)
            for k, side in zip(divmod(i, per_row), (height, width), strict=True)
        )
        page[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    with atomic_write(path) as temporary:
        Image.fromarray(page).save(temporary)


def native_sky(folder: Path, simulated: np.ndarray, n: int) -> pd.DataFrame:
    """Compare the sky of Kaggle's originals (424 px) and of simulated pictures of the same size."""
    files = sorted((folder / "gz2_native" / "images_training_rev1").glob("*.jpg"))
    step = max(1, len(files) // n)
    real = np.stack(
        [np.asarray(Image.open(f).convert("RGB")).transpose(2, 0, 1) for f in files[::step]]
    )
    return compare(measure_sky(real), measure_sky(simulated))


def votes(folder: Path, seed: int) -> list[str]:
    """Compare catalogs: what volunteers answer, where the samples allow it, and sizes."""
    truth = sample_galaxies(N_CATALOG, seed)
    counts = volunteer_votes(truth, GZ2, "sdss", seed=seed)
    fractions = cumulative_fractions(counts, GZ2)
    found = np.bincount(select_five_classes(fractions) + 1, minlength=6)[1:] / len(truth)
    shares = pd.DataFrame({"class": FIVE_CLASSES, "real": KAGGLE_SHARES, "simulated": found})
    report = [
        "## Shares of the five classes among all galaxies (Kaggle's table)",
        "",
        markdown(shares),
    ]

    # 20 volunteers on both sides: the steps of 1/20 count as difference too.
    table = pd.read_csv(folder / "catalogs" / "gz2_willett13_table5_stripe82_coadd.csv.gz")
    real = cumulative_fractions(gz2_answers(table, "count"), GZ2)
    few = cumulative_fractions(volunteer_votes(truth, GZ2, "sdss", 20, seed), GZ2)
    report += [
        "",
        f"## Votes, all galaxies: Galaxy Zoo 2's Stripe 82 (co-added: deeper), n={len(real)}",
    ]
    report += ["", markdown(compare_votes(real, few))]

    table = pd.read_csv(folder / "gz2_votes" / "labels.csv")
    real = GZ2.to_cumulative(gz2_answers(table, "weighted_fraction"))
    usual, usual_classes = _not_odd(real)
    own, own_classes = _not_odd(fractions)
    for label, name in enumerate(FIVE_CLASSES):
        a, b = usual[usual_classes == label], own[own_classes == label]
        report += [
            "",
            f"## Votes, {name}, not odd: Galaxy Zoo 2, {len(a)} real, {len(b)} simulated",
        ]
        report += ["", markdown(compare_votes(a, b))]

    table = pd.read_csv(folder / "catalogs" / "gz_decals_dr5_panoptes_votes.csv.gz")
    first = DECALS.questions[0].columns
    real = table[[f"{column}_fraction" for column in first]].to_numpy()
    counts = volunteer_votes(truth, DECALS, "decals", seed=seed)
    simulated = cumulative_fractions(counts, DECALS)[:, : len(first)]
    report += ["", f"## Votes, all galaxies: Galaxy Zoo DECaLS DR5, n={len(real)}", ""]
    rows = [vote_row(name, real[:, i], simulated[:, i]) for i, name in enumerate(first)]
    report += [markdown(pd.DataFrame(rows)), "", "## petroR90 in arcsec (real: g band)", ""]

    table = pd.read_csv(folder / "catalogs" / "gz2_bbergerud_hubble_types.csv.gz")
    is_real, is_own = table["hubble"].str.startswith("E"), truth["kind"] == "smooth"
    sizes, own_sizes = table["petroR90_g"], truth["petro_r90"]
    rows = [
        {
            "galaxies": "smooth",
            "real": spread(sizes[is_real]),
            "simulated": spread(own_sizes[is_own]),
        },
        {
            "galaxies": "others",
            "real": spread(sizes[~is_real]),
            "simulated": spread(own_sizes[~is_own]),
        },
    ]
    return [*report, markdown(pd.DataFrame(rows))]


def gz2_answers(table: pd.DataFrame, suffix: str) -> np.ndarray:
    """Columns tNN_question_aNN_answer_suffix, (n, 37), which come in the order of the tree."""
    pattern = re.compile(rf"t(\d\d)_.*_a(\d\d)_.*?(?<!weighted)_{suffix}")
    names = sorted(name for name in map(str, table.columns) if pattern.fullmatch(name))
    if len(names) != GZ2.n_answers:
        raise ValueError(
            f"Expected {GZ2.n_answers} columns that end in {suffix}, got {len(names)}."
        )
    return table[names].fillna(0).to_numpy(dtype=np.float64)


def _not_odd(cumulative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Galaxies most find not odd, since the real sample was given extra mergers; their classes."""
    usual = cumulative[cumulative[:, GZ2.index("something-odd_yes")] < 0.5]
    return usual, select_five_classes(usual)


def compare_votes(real: np.ndarray, simulated: np.ndarray) -> pd.DataFrame:
    """One row an answer, from cumulative fractions (n, 37).

    Compared are the shares of those who were asked, over galaxies where a quarter of all were.
    """
    rows = []
    for number, question in enumerate(GZ2.questions):
        sides = []
        for fractions in (real, simulated):
            of_all = GZ2.asked(fractions)[:, number]
            enough = of_all >= 0.25
            answers = fractions[enough, GZ2.slices[question.name]]
            sides.append(answers / np.maximum(answers.sum(axis=1, keepdims=True), 1e-9))
        if min(map(len, sides)) >= 10:
            for i, name in enumerate(question.columns):
                rows.append(vote_row(name, sides[0][:, i], sides[1][:, i]))
    return pd.DataFrame(rows)


def vote_row(name: str, real: np.ndarray, simulated: np.ndarray) -> dict[str, object]:
    """Distribution of one answer's fraction on both sides."""
    return {
        "answer": name,
        "galaxies": f"{len(real)}, {len(simulated)}",
        "real mean": float(real.mean()),
        "simulated mean": float(simulated.mean()),
        "real": spread(pd.Series(real)),
        "simulated": spread(pd.Series(simulated)),
        "KS": float(ks_2samp(real, simulated).statistic),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="folder of gz2_five_class")
    parser.add_argument("--n", type=int, default=1000, help="galaxies on each side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the report")
    parser.add_argument("--sheet", type=Path, help="PNG of both sides; default: in --out")
    parser.add_argument("--sheet-simulated", type=Path, help="PNG of one side; default: in --out")
    parser.add_argument("--write-real", type=Path, help="write only this table, and stop")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    folder, seed = options.data_root, options.seed
    if options.write_real:
        write_real(folder, seed, options.write_real)
        return

    labels = pd.read_csv(folder / "gz2_five_class" / "labels.csv")["class_id"].to_numpy()
    counts = counts_per_class(labels, options.n)
    real, classes = real_galaxies(folder, counts, seed)
    truth, _ = simulated_truth(counts, seed)
    simulated, native = simulated_galaxies(truth, seed, 200)
    options.out.mkdir(parents=True, exist_ok=True)
    write_sheets(options, real, simulated, classes)

    report = [f"# Simulated beside real: {len(real)} galaxies on each side", ""]
    real_table, simulated_table = measure(real), measure(simulated)
    accuracies, importances = forests(real_table, simulated_table, classes, seed)
    report += ["## All classes", "", markdown(compare(real_table, simulated_table)), ""]
    report += ["## How well a random forest tells them apart (0.5: not at all)", ""]
    report += [markdown(accuracies), ""]
    for group in ("all", "galaxy"):
        report += [
            f"What the forest on '{group}' goes by:",
            "",
            markdown(importances[group][:12]),
            "",
        ]
    report += ["## The sky at 424 px", "", markdown(native_sky(folder, native, 200)), ""]
    for label, name in enumerate(FIVE_CLASSES):
        own = classes == label
        report += [f"## {name}: {own.sum()} on each side", ""]
        report += [markdown(compare(real_table[own], simulated_table[own])), ""]
    report += [*votes(folder, seed), ""]
    report += ["## What is measured", "", *(f"- `{k}`: {v}" for k, v in COLUMNS.items()), ""]
    with atomic_write(options.out / "report.md") as temporary:
        temporary.write_text("\n".join(report), encoding="utf-8")
    print("\n".join(report))


def write_sheets(
    options: argparse.Namespace, real: np.ndarray, simulated: np.ndarray, classes: np.ndarray
) -> None:
    """Write both contact sheets (into ``--out`` if no file was named) and the key to the first."""
    rng = np.random.default_rng(options.seed)
    rows = np.concatenate([simulated[classes == k][:10] for k in range(5)])
    sheet(rows, 10, options.sheet_simulated or options.out / "simulated.png")
    mixed, key = [], []
    for label in range(5):
        picked = rng.permutation(np.flatnonzero(classes == label))[:20]
        is_simulated = rng.permutation(np.arange(len(picked)) % 2 == 0)
        for place, from_simulation in enumerate(is_simulated):
            mixed.append((simulated if from_simulation else real)[picked[place]])
            row, column = divmod(len(mixed) - 1, 10)
            key.append((row + 1, column + 1, FIVE_CLASSES[label], bool(from_simulation)))
    file = options.sheet or options.out / "sheet.png"
    sheet(np.stack(mixed), 10, file)
    table = pd.DataFrame(key, columns=["row", "column", "class_name", "simulated"])
    with atomic_write(file.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
