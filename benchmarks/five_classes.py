"""Train networks on the five classes of Galaxy Zoo 2 by a recipe, on several splits.

    python benchmarks/five_classes.py "NODE_ACA best" "small ResNet" --data-root DIR
    python benchmarks/five_classes.py ResNet NODE NODE_ACA --splits 10 --data-root DIR
    python benchmarks/five_classes.py ResNet NODE NODE_ACA --epochs 4 --batch 128 --data-root DIR
    python benchmarks/five_classes.py --ablation --galaxies 4000 --epochs 8 --data-root DIR
    python benchmarks/five_classes.py --list

The second trains the paper's three networks as published, 690 epochs: work for a GPU. With
``--batch`` the learning rate follows the square root of the batch (Krizhevsky 2014,
arXiv:1404.5997, section 5).

Each split leaves a folder under ``--out`` (predictions on the test part, checkpoint, result); a run
that was interrupted goes on with the same command. One thread is used unless told otherwise: two
processes with one thread each do more than one with two.
"""

import argparse
from pathlib import Path

from galhelpers.data.dataset import load_dataset
from galhelpers.learning.experiment import run, stratified_splits, table
from galhelpers.learning.recipes import ABLATION, RECIPES

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", help="names of recipes")
    parser.add_argument("--ablation", action="store_true", help="from published to best, by steps")
    parser.add_argument("--list", action="store_true", help="print the recipes")
    parser.add_argument("--splits", type=int, default=1, help="how many of the ten; by default 1")
    parser.add_argument("--first", type=int, default=0, help="the split to begin with")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own")
    parser.add_argument("--batch", type=int, help="galaxies in a batch, instead of its own")
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
    unknown = set(options.recipes) - set(RECIPES)
    if unknown:
        parser.error(f"no recipe {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    recipes = [RECIPES[name] for name in options.recipes]
    recipes += ABLATION if options.ablation else []
    if options.epochs:
        recipes = [recipe.but(recipe.name, epochs=options.epochs) for recipe in recipes]
    if options.batch:
        recipes = [
            recipe.but(
                recipe.name,
                batch_size=options.batch,
                learning_rate=recipe.learning_rate * (options.batch / recipe.batch_size) ** 0.5,
            )
            for recipe in recipes
        ]
    torch.set_num_threads(options.threads)
    galaxies = load_dataset(options.dataset, options.data_root).with_class()
    galaxies = galaxies.sample(options.galaxies) if options.galaxies else galaxies
    splits = stratified_splits(galaxies.catalog["class_id"].to_numpy())
    splits = splits[options.first : options.first + options.splits]
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
