"""Train the networks of notebook 06 on the five classes of Galaxy Zoo 2, on several splits.

    python benchmarks/five_classes.py "NODE_ACA best" "small ResNet" --data-root DIR
    python benchmarks/five_classes.py --profile full --data-root DIR   # what notebook 06 trains
    python benchmarks/five_classes.py --ablation --galaxies 4000 --epochs 8 --data-root DIR
    python benchmarks/five_classes.py --record docs/results/five_classes.json
    python benchmarks/five_classes.py --list

Each split leaves a folder under ``--out`` (predictions on the test part, checkpoint, result); a run
that was interrupted goes on with the same command. One thread is used unless told otherwise: two
processes with one thread each do more than one with two.
"""

import argparse
import json
import platform
from pathlib import Path

from galhelpers.data.dataset import load_dataset
from galhelpers.learning.experiment import run, stratified_splits, table
from galhelpers.learning.recipes import ABLATION, RECIPES, published_recipes
from galhelpers.paths import atomic_write
from galhelpers.profiles import get_profile

import numpy as np
import torch


def record(out, file):
    """Write down all results in a folder, as notebook 06 shows them.

    One row for each recipe, number of galaxies and length of training.
    """
    found = [json.loads(path.read_text("utf8")) for path in sorted(out.glob("*/*/result.json"))]
    rows = []

    def kind(result):
        return list(RECIPES).index(result["recipe"]), result["n_train"], result["epochs"]

    for one in sorted({kind(result) for result in found}):
        these = [result for result in found if kind(result) == one]
        name = these[0]["recipe"]
        row = {"recipe": name, "splits": len(these), "n_train": these[0]["n_train"]}
        row |= {"n_test": these[0]["n_test"], "parameters": these[0]["parameters"]}
        for metric in ("accuracy", "macro_recall"):
            values = [result[metric] for result in these]
            row |= {metric: np.mean(values), f"{metric}_min": min(values)}
            row |= {f"{metric}_max": max(values)}
            row[f"{metric}_sd"] = np.std(values, ddof=1) if len(values) > 1 else None
        row["recall"] = np.mean([result["recall"] for result in these], axis=0).tolist()
        row["confusion"] = np.sum([result["confusion"] for result in these], axis=0).tolist()
        row["epochs"] = float(np.mean([result["epochs"] for result in these]))
        row["cpu_minutes"] = float(np.mean([result["cpu_seconds"] for result in these])) / 60
        rows.append(row)
    machine = f"{platform.machine()}, one thread, torch {torch.__version__}"
    text = json.dumps({"machine": machine, "rows": rows}, indent=1)
    with atomic_write(file) as temporary:
        temporary.write_text(text + "\n", encoding="utf8")
    print(f"{len(rows)} recipes written to {file}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", help="names of recipes")
    parser.add_argument("--profile", help="the published three, as notebook 06 trains them")
    parser.add_argument("--ablation", action="store_true", help="from published to best, by steps")
    parser.add_argument("--record", type=Path, help="write all results in --out to this file")
    parser.add_argument("--list", action="store_true", help="print the recipes")
    parser.add_argument("--splits", type=int, help="how many of the ten; by default 1")
    parser.add_argument("--first", type=int, default=0, help="the split to begin with")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own")
    parser.add_argument("--galaxies", type=int, help="a random sample of so many")
    parser.add_argument("--dataset", default="gz2_five_class")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/five_classes"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.list:
        for recipe in RECIPES.values():
            print(recipe)
        return
    if options.record:
        record(options.out, options.record)
        return
    unknown = set(options.recipes) - set(RECIPES)
    if unknown:
        parser.error(f"no recipe {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    recipes = [RECIPES[name] for name in options.recipes]
    n_splits, most = options.splits or 1, options.galaxies
    if options.profile:
        profile = get_profile(options.profile)
        recipes, most = published_recipes(profile), profile.node_galaxies
        n_splits = options.splits or profile.node_splits
    recipes += ABLATION if options.ablation else []
    if options.epochs:
        recipes = [recipe.but(recipe.name, epochs=options.epochs) for recipe in recipes]
    torch.set_num_threads(options.threads)
    galaxies = load_dataset(options.dataset, options.data_root).with_class()
    galaxies = galaxies.sample(most) if most else galaxies
    splits = stratified_splits(galaxies.catalog["class_id"].to_numpy())
    splits = splits[options.first : options.first + n_splits]
    results = []
    for split in splits:
        for recipe in recipes:
            results += run(recipe, galaxies, [split], options.out)
            last = results[-1]
            recall = " ".join(f"{value:.3f}" for value in last["recall"])
            print(
                f"{recipe.name} split {split.number}: accuracy {last['accuracy']:.4f}, recall "
                f"{last['macro_recall']:.4f} ({recall}), validation "
                f"{last['validation']['accuracy']:.4f}, epoch {last['best_epoch']} of "
                f"{last['epochs']}, {last['cpu_seconds']:.0f} s CPU",
                flush=True,
            )
    print(table(results).round(4).to_string())


if __name__ == "__main__":
    main()
