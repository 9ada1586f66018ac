"""Does it pay to choose the galaxies that volunteers see? Twenty seeds, two questions.

    python benchmarks/active_learning.py --data-root DIR --record docs/results/active_learning.json

Section 9.8 of notebook 09 with more seeds. The encoder of the network ``start`` stays as it is; it
learnt from votes on simulated SDSS pictures, and has seen none of these galaxies. Small heads on
its features begin with the votes of 20 galaxies on one question and six times ask for those of 20
more: at random, where the expected answers are most even, or by BALD. Everything is judged on
three tenths of the galaxies, set aside anew for each seed.

The questions are the first of the tree, on which volunteers are often divided, and whether a disk
is seen edge-on, on which they mostly agree. Galaxies: the simulated survey as DECaLS sees it (the
true shares are known and judge), and, with ``--data-root``, real ones with votes of Galaxy Zoo 2
(the shares of the votes judge, where 10 people or more were asked). It takes about two minutes of
one core.
"""

import argparse
import json
import platform
import time
from functools import partial
from pathlib import Path

from galhelpers.data.augment import to_float
from galhelpers.data.dataset import load_dataset
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.images import load_images
from galhelpers.data.simulated import load_simulated
from galhelpers.data.votes import votes_of
from galhelpers.learning.active import STRATEGIES, learning_curves, one_question
from galhelpers.learning.calibration import people_asked
from galhelpers.learning.networks import load_network
from galhelpers.learning.training import predict
from galhelpers.paths import atomic_write, default_data_root, image_cache

import numpy as np
import torch

PLAN = {"start": 20, "step": 20, "rounds": 6}
QUESTIONS = ("smooth-or-featured", "disk-edge-on")


def features_of(galaxies: GalaxySet) -> torch.Tensor:
    """Let the encoder of ``start`` look at the galaxies."""
    network = load_network("start")
    size, crop, mean, std = (network.preprocessing[n] for n in ("size", "crop", "mean", "std"))
    pictures = load_images(galaxies.files, size, crop, cache_dir=image_cache(), progress=False)
    encode, prepare = network.model.get_submodule("encoder"), partial(to_float, mean=mean, std=std)
    return predict(encode, np.asarray(pictures.pixels), prepare)


def compare(galaxies: GalaxySet, truth: np.ndarray, seeds: int) -> list[dict[str, object]]:
    """Measure the three strategies on each question.

    Parameters
    ----------
    truth
        (n, n_answers): the shares of those asked that judge.
    """
    tree, given = votes_of(galaxies)
    votes = torch.tensor(np.nan_to_num(given), dtype=torch.float32)
    features, asked = features_of(galaxies), people_asked(votes, tree)
    rows = []
    for question in QUESTIONS:
        columns, began = tree.slices[question], time.process_time()
        pool = asked[:, columns.start] >= 10
        errors = learning_curves(
            features[pool],
            votes[pool][:, columns],
            truth[pool][:, columns],
            one_question(tree, question),
            seeds=range(seeds),
            **PLAN,
        )
        row: dict[str, object] = {
            "galaxies": galaxies.name,
            "question": question,
            "n": int(pool.sum()),
            "cpu_seconds": round(time.process_time() - began, 1),
            "labels": [PLAN["start"] + PLAN["step"] * i for i in range(PLAN["rounds"] + 1)],
            "errors": dict(zip(STRATEGIES, errors.round(5).tolist(), strict=True)),
        }
        rows.append(row)
        means = {name: curve.mean(axis=0).round(4).tolist() for name, curve in
                 zip(STRATEGIES, errors, strict=True)}  # fmt: skip
        print(row["galaxies"], question, row["n"], row["cpu_seconds"], means, flush=True)
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, help="folder with gz2_votes; none: simulated")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--record", type=Path, default=Path("runs/active_learning.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    sky = load_simulated(default_data_root(), 1500, 0, "decals")
    known = votes_of(sky)[0]
    truth = sky.tables[f"probabilities_{known.name}"][known.columns].to_numpy()
    runs = compare(sky, truth, options.seeds)
    if options.data_root:
        real = load_dataset("gz2_votes", options.data_root)
        tree, votes = votes_of(real)
        votes = np.nan_to_num(votes)
        runs += compare(real, votes / np.maximum(people_asked(votes, tree), 1), options.seeds)
    about = {
        "command": "python benchmarks/active_learning.py --data-root DIR --record FILE",
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
        "encoder": "start",
    }
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    text = json.dumps(about, indent=1).removesuffix("\n}") + f',\n "runs": [\n  {lines}\n ]\n}}\n'
    with atomic_write(options.record) as file:
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
