"""Train the networks of notebook 05 on the five classes of Galaxy Zoo 2, on several splits.

    python benchmarks/five_classes.py node_aca_best --splits 3 --data-root DIR
    python benchmarks/five_classes.py --list

Each split leaves a folder under ``--out`` (predictions on the test part, checkpoint, result); a run
that was interrupted goes on with the same command. One thread is used unless told otherwise: two
processes with one thread each do more than one with two.
"""

import argparse
from pathlib import Path

import torch

from galhelpers.data.dataset import load_dataset
from galhelpers.learning.experiment import run, stratified_splits, table
from galhelpers.learning.recipes import RECIPES


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", choices=[*RECIPES, []])
    parser.add_argument("--list", action="store_true", help="print the recipes")
    parser.add_argument("--splits", type=int, default=1, help="how many of the ten")
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
    torch.set_num_threads(options.threads)
    galaxies = load_dataset(options.dataset, options.data_root).with_class()
    galaxies = galaxies.sample(options.galaxies) if options.galaxies else galaxies
    splits = stratified_splits(galaxies.catalog["class_id"].to_numpy())
    splits = splits[options.first : options.first + options.splits]
    results = []
    for name in options.recipes:
        recipe = RECIPES[name]
        if options.epochs:
            recipe = recipe.but(f"{name}-{options.epochs}", epochs=options.epochs)
        for split in splits:
            results += run(recipe, galaxies, [split], options.out)
            last = results[-1]
            recall = " ".join(f"{value:.3f}" for value in last["recall"])
            print(
                f"{recipe.name} split {split.number}: accuracy {last['accuracy']:.4f}, recall "
                f"{last['macro_recall']:.4f} ({recall}), validation "
                f"{last['validation_accuracy']:.4f}, epoch {last['best_epoch']} of "
                f"{last['epochs']}, {last['cpu_seconds']:.0f} s CPU",
                flush=True,
            )
    print(table(results).round(4).to_string())


if __name__ == "__main__":
    main()
