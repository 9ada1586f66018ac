"""Accuracy against epochs for the preparations of notebook 03, on simulated and real galaxies.

    python benchmarks/preprocessing.py --data-root DIR --record docs/results/preprocessing.json

For each seed and each preparation a small network learns from 600 galaxies, at a constant rate,
and is judged on 500 others after each of 30 epochs, by the running mean of its weights. A seed
draws the galaxies (a simulated sky of its own; a random sample of the real ones), the first
weights, the order and the views; within a seed all preparations get the same galaxies. Each curve
leaves a file under ``--out``; a run that was interrupted goes on with the same command, in the
middle of a curve. All begin with frames of 160 pixels. One thread; about 13 minutes of CPU
time.
"""

import argparse
import json
import platform
import time
from pathlib import Path

from galhelpers.data.images import load_images
from galhelpers.learning.preparations import (
    AVERAGE,
    BATCH,
    FRAME,
    LEARNING_RATE,
    N_TRAIN,
    PREPARATIONS,
    WIDTHS,
    accuracy_by_epoch,
)
from galhelpers.learning.samples import Sample, read_sample
from galhelpers.paths import atomic_write, image_cache

import numpy as np
import torch

KINDS = ("simulated", "gz2_five_class")
SKY = 3_000  # the sky of seed 0; no lesson draws it
WITH_CLASS = 0.46  # at least so many simulated galaxies have a class


def galaxies_of(kind, seed, n, data_root):
    """Read n galaxies with a class, in random order: frames (n, 3, 160, 160) and classes."""
    if kind == "simulated":
        sample = Sample(kind, "five_classes", round(n / WITH_CLASS), SKY + seed, frame=FRAME)
    else:
        sample = Sample(kind, "five_classes", n, seed)
    labelled = read_sample(sample, data_root)
    order = np.random.default_rng(seed).permutation(len(labelled))[:n]
    if len(order) < n:
        raise SystemExit(f"Expected {n:,} galaxies of {kind}, found {len(order):,}.")
    images = load_images(labelled.files, FRAME, cache_dir=image_cache(), progress=False)
    return images.pixels[order], labelled.targets.numpy()[order]


def curve(kind, seed, name, galaxies, options):
    """Train with one preparation, or read what an earlier run found."""
    words = "-".join(name.replace(",", "").replace(".", "").replace("/", " ").split())
    place = options.out / f"{kind}-seed{seed}-{words}"
    file = place.with_suffix(".json")
    if file.exists():
        return json.loads(file.read_text("utf8"))
    frames, classes = galaxies
    state = place.with_suffix(".pt")
    clock = time.process_time()
    accuracy = accuracy_by_epoch(
        frames, classes, options.train, PREPARATIONS[name], options.epochs, seed, state
    )
    held_out = classes[options.train :]
    found = {"galaxies": kind, "seed": seed, "preparation": name, "accuracy": accuracy}
    found |= {"majority": float(np.bincount(held_out).max() / len(held_out))}
    found |= {"cpu_seconds": round(time.process_time() - clock, 1)}
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(found), encoding="utf8")
    state.unlink(missing_ok=True)
    return found


def record(curves, options):
    """Write down all curves, with what a reader needs to make them again."""
    facts = {"n_train": options.train, "n_held_out": options.held_out, "epochs": options.epochs}
    facts |= {"network": f"small_resnet, widths {WIDTHS}, one block a stage"}
    facts |= {"learning_rate": LEARNING_RATE, "average": AVERAGE, "batch": BATCH}
    facts |= {"machine": f"{platform.machine()}, one thread, torch {torch.__version__}"}
    lines = ",\n  ".join(json.dumps(found) for found in curves)
    text = json.dumps(facts, indent=1).removesuffix("\n}") + f',\n "curves": [\n  {lines}\n ]\n}}\n'
    with atomic_write(options.record) as temporary:
        temporary.write_text(text, encoding="utf8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PREPARATIONS, default=list(PREPARATIONS))
    parser.add_argument("--galaxies", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=N_TRAIN)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--data-root")
    parser.add_argument("--out", type=Path, default=Path("runs/preprocessing"))
    parser.add_argument("--record", type=Path, help="write all curves to this file, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    curves = []
    for seed in range(options.seeds):
        for kind in options.galaxies:
            galaxies = galaxies_of(kind, seed, options.train + options.held_out, options.data_root)
            for name in options.only:
                found = curve(kind, seed, name, galaxies, options)
                curves.append(found)
                at = [
                    f"{found['accuracy'][e - 1]:.3f}"
                    for e in (1, 3, 10, 30)
                    if e <= len(found["accuracy"])
                ]
                print(
                    f"{kind}, seed {seed}, {name}: {' '.join(at)}, {found['cpu_seconds']:.0f} s",
                    flush=True,
                )
            if options.record:
                record(curves, options)


if __name__ == "__main__":
    main()
