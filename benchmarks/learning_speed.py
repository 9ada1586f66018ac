"""Measure how fast networks learn the five classes of Galaxy Zoo 2, in minutes of one CPU core.

    python benchmarks/learning_speed.py --data-root DIR
    python benchmarks/learning_speed.py --only muon growing zoobot --splits 2 --data-root DIR
    python benchmarks/learning_speed.py --record docs/results/learning_speed.json --data-root DIR

The recipes are ``LEARNING_SPEED`` in ``galhelpers/learning/recipes.py``: one change after the other
at about equal cost, then a longer training. Each is compared with the one it changes, galaxy by
galaxy on the same test part. All choices are made on the validation part. What is finished is kept
in ``--out``; a run that was interrupted goes on with the same command, and two processes may share
the work with ``--only``.

**CPU minutes** are those of the epochs, validation included, of all cores (one thread is used).
Reading the pictures, and the last scores with eight views, are not counted. **Minutes to an
accuracy** come from the validation part after each epoch, on one view, where straight lines between
the epochs first reach it. They belong to this length of training: a shorter one, whose learning
rate falls earlier, would be there sooner.

The rivals train EfficientNet-B0 from random weights, and stop after the epoch in which they have
used ``--minutes``:

- ``zoobot``: Zoobot's default fine-tuning (zoobot 2.9.0, ``FinetuneableZoobotClassifier`` in
  ``zoobot/pytorch/training/finetune.py``): AdamW, learning rate 1e-4, times 0.75 for each layer
  further from the head, weight decay 0.05, dropout 0.5 before the head, no schedule. These rates
  are meant for weights that have learnt before. None come with this course, so that this row says
  what the defaults do without them, not what Zoobot can do with them.
- ``zoobot_scratch``: Zoobot's own training from random weights (``ZoobotTree`` in
  ``zoobot/pytorch/estimators/define_model.py``): AdamW, 1e-3 for all layers, weight decay 0.01,
  dropout 0.2, no schedule; with the classifier's head and loss.

Both see the default view of galaxy-datasets 0.0.25 (``default_view_config`` in
``galaxy_datasets/transforms.py``), at 64 px instead of 224. Patience (10) and the most epochs (100)
are those of Zoobot's ``get_trainer``. The rest had to be chosen, and is chosen in their favour: the
central part of the frame that our networks see, batches of 64 instead of 256 (so more steps),
pixels from memory instead of from files, channels last in memory, first weights as torchvision
draws them (see ``galhelpers.models.backbones``), and eight views at the end, as ours.
"""

import argparse
import hashlib
import json
import platform
from functools import partial
from pathlib import Path

from galhelpers.data.augment import to_float
from galhelpers.data.images import load_images
from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.learning.experiment import run, score_of, share_right, stratified_splits
from galhelpers.learning.make_networks import intervals
from galhelpers.learning.metrics import bootstrap
from galhelpers.learning.networks import network_file
from galhelpers.learning.recipes import LEARNING_SPEED
from galhelpers.learning.samples import Sample, read_sample
from galhelpers.learning.training import Options, best_device, fit
from galhelpers.locks import only_one
from galhelpers.models import backbone
from galhelpers.paths import atomic_write, image_cache

import numpy as np
import torch
import torch.nn.functional as F
from timm.layers import DropPath
from timm.optim import create_optimizer_v2
from torch.optim.lr_scheduler import ConstantLR
from torchvision.transforms import v2

OURS = {rung.recipe.name: rung for rung in LEARNING_SPEED}
RIVALS = {
    "zoobot": "Zoobot's default fine-tuning, EfficientNet-B0",
    "zoobot_scratch": "Zoobot's training from nothing, EfficientNet-B0",
}
NEAREST = "growing"  # the recipe of ours that the rivals are compared with
CIGAR = 2  # number of the class
TARGETS = (0.94, 0.95, 0.955)
SIZE, CROP = OURS[NEAREST].recipe.size, OURS[NEAREST].recipe.crop
ZOOM = 1.2  # of Zoobot's plain view; its random ones go on to 1.4
WIDE = 102  # pixels of the part that the random views are taken from, as many as the files have


def zoobot_views():
    """Give Zoobot's random view of one picture, uint8 (3, h, w) to float32 (3, 64, 64), 0 to 1."""
    erase = {"p": 1.0, "scale": (0.002, 0.007), "ratio": (0.5, 2.0)}
    return v2.Compose([
        v2.RandomAffine(
            degrees=90, translate=(0.1, 0.1), scale=(ZOOM, 1.4), shear=(0, 20, 0, 20),
            interpolation=v2.InterpolationMode.BILINEAR,
        ),
        v2.Resize(SIZE, antialias=True),
        v2.CenterCrop(SIZE),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        *(v2.RandomErasing(**erase) for _ in range(5)),
        v2.ToDtype(torch.float32, scale=True),
    ])  # fmt: skip


def zoobot_optimizer(net):
    """Make the optimiser of Zoobot's fine-tuning, as its ``configure_optimizers`` does."""
    optimizer = create_optimizer_v2(
        net.encoder, opt="adamw", lr=1e-4, weight_decay=0.05, layer_decay=0.75
    )
    optimizer.add_param_group({"params": net.head.parameters(), "lr": 1e-4})
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_scale", 1.0)
    return optimizer


def scratch_optimizer(net):
    return torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)


def train_rival(name, galaxies, split, out, minutes, epochs):
    """Train a rival on a split, or go on, or find it done: a result as ``experiment.run`` gives."""
    ids = [",".join(galaxies.ids[rows]) for rows in (split.train, split.validation, split.test)]
    mark = hashlib.blake2b("|".join([*ids, f"{minutes} {epochs}"]).encode(), digest_size=6)
    place = out / name / f"split_{split.number:02d}-{mark.hexdigest()}"
    with only_one(place, "trains the same network"):
        if not (place / "result.json").is_file():
            train_rival_in(place, name, galaxies, split, minutes, epochs)
    return json.loads((place / "result.json").read_text("utf8")) | {"folder": str(place)}


def train_rival_in(place, name, galaxies, split, minutes, epochs):
    load = partial(load_images, galaxies.files, cache_dir=image_cache(), progress=False)
    # Enlarged by ZOOM, Zoobot's plain view is our networks' plain picture.
    wide, plain = load(WIDE, CROP * ZOOM).pixels, load(SIZE, CROP).pixels
    torch.manual_seed(split.number)
    net = backbone("efficientnet_b0", 5, dropout=0.5 if name == "zoobot" else 0.2)
    for part in net.modules():
        if isinstance(part, DropPath):  # Zoobot leaves no block out
            part.drop_prob = 0.0
    net = net.to(best_device()).to(memory_format=torch.channels_last)
    view, y = zoobot_views(), galaxies.targets

    def augment(images, _):
        views = torch.stack([view(image) for image in images])
        return views.contiguous(memory_format=torch.channels_last)

    place.mkdir(parents=True, exist_ok=True)
    options = Options(
        optimizer=zoobot_optimizer if name == "zoobot" else scratch_optimizer,
        schedule=lambda optimizer, _: ConstantLR(optimizer, 1.0),
        patience=10,
        cpu_seconds=60 * minutes,
        resume=place / "training.pt",
        measure=share_right,
    )
    history = fit(
        net, (wide[split.train], y[split.train]), (plain[split.validation], y[split.validation]),
        F.cross_entropy, augment=augment, prepare=to_float, epochs=epochs or 100, batch_size=64,
        seed=split.number, options=options,
    )  # fmt: skip
    as_bytes = {"mean": [0.0] * 3, "std": [1.0] * 3}
    trained = load_checkpoint(
        save_checkpoint(
            place / "model.safetensors", net, architecture="backbone", arguments=net.arguments,
            preprocessing={"size": SIZE, "crop": CROP, "views": 8} | as_bytes,
            classes=galaxies.classes, provenance={"benchmark": "learning_speed.py"},
        )
    )  # fmt: skip
    validated, _ = score_of(trained, plain[split.validation], y[split.validation].numpy())
    scored, arrays = score_of(trained, plain[split.test], y[split.test].numpy())
    result = {"recipe": name, "split": split.number, "epochs": len(history.measured)}
    result |= scored | {"validation": validated, "best_epoch": history.best_epoch + 1}
    result |= {"parameters": sum(p.numel() for p in net.parameters())}
    result |= {"epoch_cpu_seconds": history.cpu_seconds, "epoch_accuracy": history.measured}
    with atomic_write(place / "test.npz") as file, file.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, id=galaxies.ids[split.test], **arrays)
    with atomic_write(place / "result.json") as file:
        file.write_text(json.dumps(result, indent=1), encoding="utf8")
    (place / "training.pt").unlink(missing_ok=True)


def minutes_to(target, epoch_seconds, epoch_accuracy):
    """Say when an accuracy was reached, on straight lines between epochs; None: never.

    Reached in the first epoch, it is the end of that epoch: nothing is known of its middle.
    """
    minutes = np.cumsum(epoch_seconds) / 60
    reached = np.flatnonzero(np.asarray(epoch_accuracy) >= target)
    if not len(reached):
        return None
    last = int(reached[0])
    around = slice(max(last - 1, 0), last + 1)
    return float(np.interp(target, epoch_accuracy[around], minutes[around]))


def mean_or_none(values):
    return None if None in values else float(np.mean(values))


def row_of(name, galaxies, results, arrays, others):
    """Put together the splits of one recipe; ``others`` are the arrays of the one it changes."""
    rung = OURS.get(name)
    row = {"recipe": name, "change": rung.change if rung else RIVALS[name]}
    row |= {"splits": len(results), "parameters": results[0]["parameters"]}
    row["epochs"] = float(np.mean([one["epochs"] for one in results]))
    row["cpu_minutes"] = float(np.mean([sum(one["epoch_cpu_seconds"]) for one in results])) / 60
    found = intervals(galaxies, arrays)
    cigars = f"recall {galaxies.classes[CIGAR]}"
    columns = {"accuracy": "accuracy", "macro_recall": "macro_recall", "cigar_recall": cigars}
    for column, metric in columns.items():
        row[column] = [found[metric].value, found[metric].low, found[metric].high]
    row["n_test"] = found["accuracy"].n
    for metric in ("accuracy", "macro_recall"):
        row[f"validation_{metric}"] = float(np.mean([r["validation"][metric] for r in results]))
    for target in TARGETS:
        times = [minutes_to(target, r["epoch_cpu_seconds"], r["epoch_accuracy"]) for r in results]
        row[f"minutes_to_{target:g}"] = mean_or_none(times)
    for which in ("epoch_cpu_seconds", "epoch_accuracy"):
        row[which] = [one[which] for one in results]
    row["before"], row["gain"] = before_of(name), None
    if others is not None:
        gain = bootstrap(lambda more: float(more.mean()), right(arrays) - right(others))
        row["gain"] = [gain.value, gain.low, gain.high]
    return row


def before_of(name):
    return OURS[name].before if name in OURS else NEAREST


def right(arrays):
    return (arrays["probabilities"].argmax(axis=1) == arrays["truth"]).astype(float)


def table(galaxies, results):
    """Give a row for each recipe; intervals (95 %) are of resampled galaxies of all test parts."""
    arrays = {}
    for name, found in results.items():
        parts = [dict(np.load(Path(one["folder"]) / "test.npz")) for one in found]
        arrays[name] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return [
        row_of(name, galaxies, found, arrays[name], arrays.get(before_of(name)))
        for name, found in results.items()
    ]


def markdown(rows):
    """Write the table as it stands in docs/results.md."""

    def share(values, digits=3):
        value, low, high = (f"{value:.{digits}f}" for value in values)
        return f"{value} [{low}, {high}]"

    def minutes(value):
        return "never" if value is None else f"{value:.1f}"

    heads = ["recipe", "what is new", "epochs", "CPU min", "validation", "test", "macro recall"]
    heads += ["cigar recall", *(f"min to {target:g}" for target in TARGETS), "gain over"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [row["recipe"], row["change"], f"{row['epochs']:g}", f"{row['cpu_minutes']:.1f}"]
        cells += [f"{row['validation_accuracy']:.4f}", share(row["accuracy"], 4)]
        cells += [share(row["macro_recall"]), share(row["cigar_recall"])]
        cells += [minutes(row[f"minutes_to_{target:g}"]) for target in TARGETS]
        cells.append(f"{row['before']}: {share(row['gain'], 4)}" if row["gain"] else "")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def train(name, galaxies, split, options, weights):
    if name in RIVALS:
        return train_rival(name, galaxies, split, options.out, options.minutes, options.epochs)
    rung = OURS[name]
    recipe = rung.recipe.but(name, epochs=options.epochs or rung.recipe.epochs)
    return run(recipe, galaxies, [split], options.out, weights=weights.get(rung.start))[0]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*OURS, *RIVALS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME",
                        help=f"of {', '.join(names)}")  # fmt: skip
    parser.add_argument("--splits", type=int, default=1, help="how many of the ten; by default 1")
    parser.add_argument("--epochs", type=int, help="of all networks, instead of their own")
    parser.add_argument("--minutes", type=float, default=8.0, help="CPU minutes of the rivals")
    parser.add_argument("--start", type=Path, help="instead of the course's network start")
    parser.add_argument("--galaxies", type=int, default=0, help="a random sample of so many")
    parser.add_argument("--data-root")
    parser.add_argument("--out", type=Path, default=Path("runs/learning_speed"))
    parser.add_argument("--record", type=Path, help="write the table to this file, too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sample = Sample("gz2_five_class", "five_classes", n=options.galaxies)
    galaxies = read_sample(sample, options.data_root)
    splits = stratified_splits(galaxies.strata)[: options.splits]
    results = {name: [] for name in names if name in options.only}
    starts = {OURS[name].start for name in results if name in OURS} - {""}
    weights = {start: options.start or network_file(start) for start in starts}
    for split in splits:
        for name, found in results.items():
            last = train(name, galaxies, split, options, weights)
            found.append(last)
            print(
                f"{name} split {split.number}: {sum(last['epoch_cpu_seconds']) / 60:.1f} CPU min, "
                f"validation {last['validation']['accuracy']:.4f}, test {last['accuracy']:.4f}",
                flush=True,
            )
    rows = table(galaxies, results)
    print(markdown(rows))
    if options.record:
        machine = f"{platform.machine()}, one thread, torch {torch.__version__}"
        text = json.dumps({"machine": machine, "rows": rows}, indent=1)
        with atomic_write(options.record) as temporary:
            temporary.write_text(text + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
