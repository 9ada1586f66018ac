"""Measure the ladder of notebook 04 at length: what does not fit into a lesson.

    python benchmarks/baselines.py --record docs/results/baselines.json
    python benchmarks/baselines.py --only fine-tuned --encoder resnet18
    python benchmarks/baselines.py --long --record runs/baselines_long.json

All rungs learn from 6,000 of the 19,440 galaxies that the network ``baseline37`` learnt from (of a
simulated sky that no lesson draws) and are tested on its 2,400 test galaxies. The network of each
epoch is judged on the validation part, and the best is kept, but for the published runs of LinNet
and ConvNet, which keep the last one, as published: 940 steps. The sky is made where it is
not on disk (an hour on two cores; ``GALHELPERS_DATA`` names the folder). Finished rungs are kept in
the record.

``--encoder`` names the network that is frozen and fine-tuned. DenseNet121 and ResNet18, those of
the Kaggle notebook, need a network or timm's cache; EfficientNet-Lite0's weights are a package.

``--long`` trains nothing but LinNet and ConvNet at the published rate, on all 19,440 galaxies and
for about as many steps as the Kaggle notebook took, and tests them on the way.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from galhelpers.data.augment import Augment, to_float
from galhelpers.data.images import load_images
from galhelpers.data.shape_features import shape_features
from galhelpers.learning.experiment import channel_statistics
from galhelpers.learning.make_networks import splits_of
from galhelpers.learning.metrics import bootstrap, rmse
from galhelpers.learning.networks import load_network
from galhelpers.learning.recipes import NETWORKS
from galhelpers.learning.samples import read_sample
from galhelpers.learning.training import batches, fit, predict
from galhelpers.models import ConvNet, LinNet, TreeOutput, backbone, repaired_convnet_37
from galhelpers.paths import atomic_write, image_cache

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import RandomForestRegressor
from torch import nn

SIZE, CROP = 64, 0.53
TRAIN = 6_000  # galaxies to learn from, at most
LONG = (100, 500, 940, 2_000, 4_000, 6_000, 7_660)  # steps after which ``--long`` tests


class Galaxies:
    """Pictures and fractions of the sky, in three parts."""

    def __init__(self, most: int | None = TRAIN) -> None:
        network = NETWORKS["baseline37"]
        found = read_sample(network.samples[0])
        split = splits_of(network, found)[0]
        cache = load_images(found.files, SIZE, CROP, cache_dir=image_cache(), progress=False)
        parts = {"train": split.train[:most], "validation": split.validation, "test": split.test}
        self.pixels = {part: np.asarray(cache.pixels[rows]) for part, rows in parts.items()}
        self.y = {part: found.targets[rows] for part, rows in parts.items()}
        everything = np.arange(len(self.pixels["train"]))
        mean, std = channel_statistics(self.pixels["train"], everything)
        self.own = {"mean": mean, "std": std}


def published(make: Callable[[], nn.Module], rate: float, g: Galaxies) -> np.ndarray:
    """Train as the Kaggle notebook does: grey pixels, Adam at one rate, ten epochs."""
    grey = {p: x.mean(axis=1, keepdims=True).astype(np.uint8) for p, x in g.pixels.items()}
    net = make().to(memory_format=torch.channels_last)
    optimizer, order = torch.optim.Adam(net.parameters(), rate), torch.Generator().manual_seed(0)
    for _ in range(10):
        for images, wanted in batches(grey["train"], g.y["train"], 64, order):
            optimizer.zero_grad()
            torch.sqrt(F.mse_loss(net(images / 255), wanted)).backward()
            optimizer.step()
    return predict(net, grey["test"], lambda x: x / 255).numpy()


def published_for_long(
    make: Callable[[], nn.Module], g: Galaxies, tests: Sequence[int] = LONG
) -> Iterator[tuple[int, np.ndarray]]:
    """Train at the published rate; give the answers for the test part after so many steps."""
    grey = {p: x.mean(axis=1, keepdims=True).astype(np.uint8) for p, x in g.pixels.items()}
    net = make().to(memory_format=torch.channels_last)
    optimizer, order = torch.optim.Adam(net.parameters(), 1e-5), torch.Generator().manual_seed(0)
    step = 0
    while True:
        for images, wanted in batches(grey["train"], g.y["train"], 64, order):
            optimizer.zero_grad()
            torch.sqrt(F.mse_loss(net(images / 255), wanted)).backward()
            optimizer.step()
            step += 1
            if step in tests:
                yield step, predict(net, grey["test"], lambda x: x / 255).numpy()
            if step == max(tests):
                return


def trained(
    net: nn.Module, g: Galaxies, shown: dict, epochs: int, rate: float, batch: int
) -> np.ndarray:
    """Train with colour, normalisation and augmentation, and keep the best epoch."""
    prepare = partial(to_float, **shown)
    data, held_out = ((g.pixels[p], g.y[p]) for p in ("train", "validation"))
    fit(
        net, data, held_out, F.mse_loss, augment=Augment(SIZE, **shown), prepare=prepare,
        epochs=epochs, learning_rate=rate, batch_size=batch,
    )  # fmt: skip
    return predict(net, g.pixels["test"], prepare).numpy()


def frozen(name: str, rate: float, normalised: bool, g: Galaxies) -> np.ndarray:
    """Train a new last layer with a sigmoid for each answer on features that stay as they are."""
    net = backbone(name, 37, "imagenet").eval()
    mean, std = net.normalisation if normalised else ([0.0] * 3, [1.0] * 3)
    prepare = partial(to_float, mean=mean, std=std)
    see = partial(predict, net.encode, prepare=prepare, device=torch.device("cpu"))
    features = {part: see(pixels) for part, pixels in g.pixels.items()}
    head = nn.Sequential(nn.Linear(features["train"].shape[1], 37), nn.Sigmoid())
    optimizer = torch.optim.Adam(head.parameters(), rate)
    best, answers = np.inf, np.empty(0)
    for _ in range(10):
        for rows in torch.randperm(len(g.y["train"])).split(64):
            optimizer.zero_grad()
            F.mse_loss(head(features["train"][rows]), g.y["train"][rows]).sqrt().backward()
            optimizer.step()
        with torch.no_grad():
            score = rmse(head(features["validation"]).numpy(), g.y["validation"].numpy())
            if score < best:
                best, answers = score, head(features["test"]).numpy()
    return answers


def fine_tuned(name: str, g: Galaxies) -> np.ndarray:
    """Train a known network, all of it, with the tree's output layer: four epochs."""
    net = backbone(name, 37, "imagenet")
    mean, std = net.normalisation
    whole = nn.Sequential(net, TreeOutput())
    return trained(whole, g, {"mean": mean, "std": std}, epochs=4, rate=2e-3, batch=32)


def forest(g: Galaxies) -> np.ndarray:
    """Nine numbers of each galaxy and a random forest."""
    model = RandomForestRegressor(100, min_samples_leaf=5, n_jobs=1, random_state=0)
    model.fit(shape_features(g.pixels["train"]), g.y["train"].numpy())
    return model.predict(shape_features(g.pixels["test"]))


def rungs(encoder: str) -> dict[str, Callable[[Galaxies], np.ndarray]]:
    """Name each rung, and what gives its answers for the test part."""
    return {
        "constant mean": lambda g: np.repeat(g.y["train"].mean(0)[None].numpy(), 2400, 0),
        "baseline37": lambda g: load_network("baseline37").predict(g.pixels["test"]).numpy(),
        "nine numbers, random forest": forest,
        "LinNet, published rate": partial(published, LinNet, 1e-5),
        "ConvNet, published rate": partial(published, ConvNet, 1e-5),
        "LinNet, rate 0.001": partial(published, LinNet, 1e-3),
        f"{encoder} frozen, published rate": partial(frozen, encoder, 1e-5, False),
        f"{encoder} frozen, rate 0.001": partial(frozen, encoder, 1e-3, True),
        "ConvNet, rate 0.001": partial(published, ConvNet, 1e-3),
        "repaired ConvNet": lambda g: trained(repaired_convnet_37(), g, g.own, 16, 3e-3, 64),
        f"{encoder} fine-tuned": partial(fine_tuned, encoder),
    }


def row(name: str, answers: np.ndarray, g: Galaxies, start: float) -> dict:
    """Score answers for the test part; print and give a row of the record."""
    interval = bootstrap(rmse, answers, g.y["test"].numpy())
    numbers = {key: round(getattr(interval, key), 5) for key in ("value", "low", "high")}
    seconds = round(time.process_time() - start)
    print(f"{name:40s} {interval} {seconds} s", flush=True)
    return {"name": name, **numbers, "n": interval.n, "cpu_seconds": seconds}


def record_long(record: Path) -> None:
    """Train LinNet and ConvNet at the published rate for long; write their scores on the way."""
    galaxies, found = Galaxies(most=None), []
    for make in (LinNet, ConvNet):
        torch.manual_seed(0)
        start = time.process_time()
        for step, answers in published_for_long(make, galaxies):
            name = f"{make.__name__}, published rate, {step:,} steps"
            found.append(row(name, answers, galaxies, start))
            with atomic_write(record) as file:
                file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of rungs")
    parser.add_argument("--long", action="store_true", help="the published rate, 7,660 steps")
    parser.add_argument("--record", type=Path, default=Path("runs/baselines.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = json.loads(options.record.read_text("utf-8")) if options.record.exists() else []
    if options.long:
        record_long(options.record)
        return
    galaxies = Galaxies()
    for name, answer in rungs(options.encoder).items():
        wanted = not options.only or any(word in name for word in options.only)
        if not wanted or any(one["name"] == name for one in found):
            continue
        torch.manual_seed(0)
        start = time.process_time()
        found.append(row(name, answer(galaxies), galaxies, start))
        with atomic_write(options.record) as file:
            file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
