"""Votes as distributions: loss, training and prediction beside Zoobot's, in CPU time, in one run.

Run it from the course folder::

    python benchmarks/bayes.py

Zoobot 2.9 and galaxy-datasets get an environment of their own, with ours in it, made at the first
run from ``requirements-bayes.txt`` beside this file; the pictures (424 px JPEGs of the simulated
survey) and the votes of its volunteers are made once too. Both sides run on one torch with one
thread, from random weights, and take turns. What is counted is CPU time (user + system, of the
process and its workers), because wall time on a busy machine measures its other users.

- *loss*: forward and backward pass to the concentrations; Zoobot's own loop over the questions.
- *training*: EfficientNet-B0, greyscale, 34 answers, AdamW, the same number of images, steps,
  epochs and validations. Zoobot: ``ZoobotTree`` by Lightning's ``Trainer.fit``, pictures from
  galaxy-datasets' default transform, 0 or 2 workers (the first round says which costs less), with
  the callbacks of Zoobot's own training, without progress bar and clipping of gradients. Ours:
  opening the cache, then ``fit``. Making the cache, which is done once, is given apart.
- *prediction*: Zoobot's ``predict_on_catalog.predict`` with ``FinetuneableZoobotTree`` (with
  ``ZoobotTree`` it fails) and the minimal transform. Ours: ``predict`` from the cache, then passes
  of the head. Both write a CSV file.
- *memory given back* is the C library as it comes; *kept* is with ``KEEP_MEMORY`` in the
  environment, which does what a ``Lesson`` and ``galhelpers predict`` ask of it. The first round
  measures both ways.
- *peak*: resident memory of the process, without its workers and without what it needs to start.
"""

import argparse
import contextlib
import gc
import json
import logging
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from galhelpers.trees import DECALS
from images import cpu_seconds
from ode import KEEP_MEMORY, peer_python, print_table, resident_peak

import numpy as np
import psutil
import torch

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
RUNS = ROOT / "runs" / "benchmarks"
TARGETS = {"loss": 3.0, "training": 2.0, "prediction": 3.0}
BATCHES = (32, 128, 512)
BATCH = 64
EPOCHS = 2
PASSES = 5
WORKERS = (0, 2)
TASKS = ("training", "prediction")
SIDES = {"zoobot": "Zoobot", "ours": "ours"}
LEFT, KEPT = "given back", "kept"
CACHE = "making the cache"

Costs = dict[str, dict[str, float]]  # of each way: CPU ms for an image, peak MiB


# One side in a process of its own ----------------------------------------------------------------


class Meter:
    """CPU time of pieces of work on n images, and memory beyond that at the start."""

    def __init__(self) -> None:
        self.costs: Costs = {}
        self.base = psutil.Process().memory_info().rss

    @contextlib.contextmanager
    def __call__(self, way: str, n: int) -> Iterator[None]:
        """Measure a block."""
        gc.collect()
        with contextlib.suppress(OSError):  # Linux: the high-water mark begins anew
            Path("/proc/self/clear_refs").write_text("5")
        start = cpu_seconds()
        yield
        seconds, before = cpu_seconds() - start, of_children()
        gc.collect()  # workers end with what holds them, and only then does their time count
        if multiprocessing.active_children():
            raise RuntimeError(f"Workers of {way!r} still run.")
        seconds += of_children() - before
        peak = (resident_peak() - self.base) / 2**20
        self.costs[way] = {"ms": 1000 * seconds / n, "mib": peak}


def of_children() -> float:
    """User + system time of this process's finished children."""
    return sum(os.times()[2:4])


def measure_zoobot(
    task: str, files: list[str], votes: list, size: int, workers: list[int]
) -> Costs:
    """Train or predict with Zoobot."""
    import lightning
    import pandas as pd
    from galaxy_datasets.pytorch.galaxy_datamodule import CatalogDataModule
    from galaxy_datasets.transforms import (
        default_view_config,
        get_galaxy_transform,
        minimal_view_config,
    )
    from lightning.pytorch.loggers import CSVLogger
    from zoobot.pytorch.estimators.define_model import ZoobotTree
    from zoobot.pytorch.predictions.predict_on_catalog import predict
    from zoobot.pytorch.training.finetune import FinetuneableZoobotTree
    from zoobot.pytorch.training.train_with_pytorch_lightning import get_default_callbacks
    from zoobot.shared.schemas import decals_dr5_ortho_schema as schema

    meter, n = Meter(), len(files)
    catalog = pd.DataFrame(votes, columns=schema.label_cols)
    catalog = catalog.assign(id_str=[str(row) for row in range(n)], file_loc=files)

    def transform(config: Any) -> Any:
        config.output_size, config.greyscale = size, True
        return get_galaxy_transform(config)

    quiet = {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}

    def train(rows: pd.DataFrame, n_workers: int, epochs: int, folder: str) -> None:
        data = CatalogDataModule(
            schema.label_cols, transform(default_view_config()), transform(minimal_view_config()),
            train_catalog=rows, val_catalog=rows[:BATCH], batch_size=BATCH, num_workers=n_workers,
        )  # fmt: skip
        trainer = lightning.Trainer(
            max_epochs=epochs, num_sanity_val_steps=0, log_every_n_steps=150,
            logger=CSVLogger(folder), callbacks=get_default_callbacks(folder)[1],
            default_root_dir=folder, enable_model_summary=False, **quiet,
        )  # fmt: skip
        trainer.fit(scratch, data)
        loss = trainer.callback_metrics["train/supervised_loss"]
        assert trainer.global_step == epochs * len(rows) // BATCH
        assert torch.isfinite(loss)

    def forecast(rows: pd.DataFrame, n_workers: int, folder: str) -> None:
        table = predict(
            rows, tree, str(Path(folder) / "predictions.csv"), schema.label_cols,
            transform(minimal_view_config()), {"batch_size": BATCH, "num_workers": n_workers},
            {**quiet, "logger": False, "default_root_dir": folder},
        )  # fmt: skip
        assert table.shape == (len(rows), len(schema.label_cols) + 1)

    torch.manual_seed(0)
    scratch = ZoobotTree(
        len(schema.label_cols), schema.question_answer_pairs, schema.dependencies,
        architecture_name="efficientnet_b0", channels=1,
    )  # fmt: skip
    tree = FinetuneableZoobotTree(schema, encoder=scratch.encoder, prog_bar=False)
    with tempfile.TemporaryDirectory() as folder:
        # What first calls cost is no part of the rate.
        if task == "training":
            train(catalog[: 2 * BATCH], 0, 1, folder)
        else:
            forecast(catalog[: 2 * BATCH], 0, folder)
        for n_workers in workers:
            if task == "training":
                with meter(f"{n_workers} workers", n * EPOCHS):
                    train(catalog, n_workers, EPOCHS, folder)
            else:
                with meter(f"{n_workers} workers", n):
                    forecast(catalog, n_workers, folder)
    return meter.costs


def measure_ours(task: str, files: list[str], votes: list, size: int) -> Costs:
    """Train or predict with galhelpers."""
    from galhelpers.data.augment import Augment, to_float
    from galhelpers.data.images import load_images
    from galhelpers.learning import training
    from galhelpers.learning.losses import vote_loss
    from galhelpers.models.bayesian import VoteNet

    import pandas as pd

    meter, n = Meter(), len(files)
    counts = torch.tensor(votes, dtype=torch.float32)
    torch.manual_seed(0)
    net = VoteNet("decals", "efficientnet_b0", colour=False)
    net.to(memory_format=torch.channels_last)

    def cached(folder: str) -> np.ndarray:
        images = load_images(files, size, cache_dir=folder, workers=1, progress=False)
        assert images.from_cache
        return images.pixels

    def train(rows: int, epochs: int, folder: str) -> None:
        pixels = cached(folder)
        history = training.fit(
            net, (pixels[:rows], counts[:rows]), (pixels[:BATCH], counts[:BATCH]),
            partial(vote_loss, tree=DECALS), augment=Augment(size), prepare=to_float,
            epochs=epochs, batch_size=BATCH, learning_rate=1e-3,
        )  # fmt: skip
        assert np.isfinite(history.train_loss).all()

    def forecast(rows: int, passes: int, folder: str) -> None:
        features = training.predict(
            net.eval().encode, cached(folder)[:rows], to_float, BATCH, torch.device("cpu")
        )
        with torch.no_grad():
            drawn = net.sample(features, passes)
        table = pd.DataFrame(drawn.transpose(0, 1).flatten(1).numpy())
        table.to_csv(Path(folder) / "predictions.csv", index=False)
        assert table.shape == (rows, passes * DECALS.n_answers)

    with tempfile.TemporaryDirectory() as folder:
        # What first calls cost is no part of the rate.
        load_images(files[:BATCH], size, workers=1, progress=False)
        with meter(CACHE, n):
            load_images(files, size, cache_dir=folder, workers=1, progress=False)
        if task == "training":
            train(2 * BATCH, 1, folder)
            with meter("from the cache", n * EPOCHS):
                train(n, EPOCHS, folder)
        else:
            forecast(2 * BATCH, PASSES, folder)
            for passes in (1, PASSES):
                with meter(f"passes: {passes}", n):
                    forecast(n, passes, folder)
    return meter.costs


def measure_loss(votes: list, rounds: int) -> dict[str, Any]:
    """CPU milliseconds and values of the two losses, and what autocast does to them."""
    from galhelpers.learning.losses import dirichlet_multinomial_nll, vote_loss

    from zoobot.pytorch.estimators.define_model import get_dirichlet_loss_func
    from zoobot.shared.schemas import decals_dr5_ortho_schema as schema

    counts = torch.tensor(votes)
    weights = counts.float()
    targets = {name: counts[:, i] for i, name in enumerate(schema.label_cols)}
    by_question = get_dirichlet_loss_func(schema.question_answer_pairs)
    generator = torch.Generator().manual_seed(0)

    def concentrations(low: float, high: float, n: int) -> torch.Tensor:
        draws = torch.rand((n, DECALS.n_answers), generator=generator, dtype=torch.float64)
        return low * (high / low) ** draws

    def zoobot(alpha: torch.Tensor) -> torch.Tensor:
        cut = {name: column[: len(alpha)] for name, column in targets.items()}
        return torch.mean(torch.sum(by_question(alpha, cut), dim=1))  # as ZoobotTree does

    def ours(alpha: torch.Tensor) -> torch.Tensor:
        return vote_loss(alpha, weights[: len(alpha)], DECALS)

    def clock(loss: Callable[[torch.Tensor], torch.Tensor], alpha: torch.Tensor) -> float:
        start = time.process_time()
        for _ in range(calls):
            alpha.grad = None
            loss(alpha).backward()
        return 1000 * (time.process_time() - start) / calls

    times: dict[str, dict[str, float]] = {}
    calls = 50
    for batch in BATCHES:
        alpha = concentrations(1, 101, batch).float().requires_grad_()
        ways: dict[str, list[float]] = {"zoobot": [], "ours": []}
        for _ in range(1 + 5 * rounds):
            ways["zoobot"].append(clock(zoobot, alpha))
            ways["ours"].append(clock(ours, alpha))
        # The first round is for first calls.
        times[str(batch)] = {name: statistics.median(each[1:]) for name, each in ways.items()}

    differences = {}
    for name, low, high in (("1 to 101", 1, 101), ("0.01 to 1,000", 0.01, 1000)):
        wide = concentrations(low, high, len(counts))
        for kind in (torch.float32, torch.float64):
            alpha = wide.to(kind)
            exact = likelihoods(alpha, votes)
            peer = by_question(alpha, targets).double()
            mine = dirichlet_multinomial_nll(alpha, weights.to(kind), DECALS).double()
            pairs = {"ours, scipy": (mine, exact), "Zoobot, scipy": (peer, exact)}
            pairs |= {"ours, Zoobot": (mine, peer)}
            differences[f"{name}, {str(kind).removeprefix('torch.')}"] = {
                pair: float((a - b).abs().max()) for pair, (a, b) in pairs.items()
            }
    return {"times": times, "differences": differences, "autocast": autocast_errors(votes)}


def likelihoods(alpha: torch.Tensor, votes: list) -> torch.Tensor:
    """Negative log-likelihood of every question by scipy, in float64: (galaxies, questions)."""
    from scipy.stats import dirichlet_multinomial

    counts, wide = np.asarray(votes), alpha.detach().double().numpy()
    spans = list(zip(DECALS.offsets[:-1], DECALS.offsets[1:], strict=True))
    columns = []
    for first, last in spans:
        k, a = counts[:, first:last], wide[:, first:last]
        columns.append(-dirichlet_multinomial.logpmf(k, a, k.sum(axis=1)))
    return torch.from_numpy(np.stack(columns, axis=1))


@torch.no_grad()
def autocast_errors(votes: list) -> dict[str, dict[str, float]]:
    """Errors of a galaxy's loss (nats) when head and loss run under bfloat16 autocast.

    Both get the same bfloat16 features and the weights of one head of Zoobot's kind; what is right
    is scipy's likelihood of what this head gives in float64.
    """
    from galhelpers.learning.losses import dirichlet_multinomial_nll
    from galhelpers.models.bayesian import VoteNet

    from zoobot.pytorch.estimators.define_model import (
        get_dirichlet_loss_func,
        get_pytorch_dirichlet_head,
    )
    from zoobot.shared.schemas import decals_dr5_ortho_schema as schema

    torch.manual_seed(0)
    head = get_pytorch_dirichlet_head(1280, DECALS.n_answers, False, 0.2).eval()
    net = VoteNet("decals", "efficientnet_b0", head="limited").eval()
    net.encoder = torch.nn.Identity()
    (linear,) = (layer for layer in head.modules() if isinstance(layer, torch.nn.Linear))
    linear.weight.mul_(3)  # so that the concentrations spread over their range
    net.head.linear.load_state_dict(linear.state_dict())
    features = torch.randn(len(votes), 1280).bfloat16()
    counts = torch.tensor(votes)
    targets = {name: counts[:, i] for i, name in enumerate(schema.label_cols)}
    wide = torch.nn.functional.linear(
        features.double(), linear.weight.double(), linear.bias.double()
    )
    exact = likelihoods(1 + 100 * torch.sigmoid(wide), votes).sum(dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        peer = get_dirichlet_loss_func(schema.question_answer_pairs)(head(features), targets)
        mine = dirichlet_multinomial_nll(net(features), counts.float(), DECALS)
    found = {}
    for name, each in (("zoobot", peer), ("ours", mine)):
        error = (each.double().sum(dim=1) - exact).abs()
        found[name] = {"median": float(error.median()), "p99": float(error.quantile(0.99))}
        found[name]["largest"] = float(error.max())
    return found


def work(job: dict[str, Any]) -> Any:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    measure = {"zoobot": measure_zoobot, "ours": measure_ours, "loss": measure_loss}
    return measure[job.pop("side")](**job)


# All sides ---------------------------------------------------------------------------------------


def run_side(python: Path, memory: str = LEFT, **job: Any) -> Any:
    """Measure one side in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in KEEP_MEMORY}
    environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment |= KEEP_MEMORY if memory == KEPT else {}
    done = subprocess.run(
        [str(python), str(HERE), "--job"], input=json.dumps(job), capture_output=True, text=True,
        env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"The side {job['side']!r} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def galaxies(n: int) -> tuple[list[str], list]:
    """Files of n simulated galaxies, and their votes; made when missing."""
    from galhelpers.data.simulated import load_simulated

    found = load_simulated(RUNS / "bayes-galaxies", n, seed=0, telescope="decals")
    votes = found.tables["votes_decals"][list(DECALS.columns)]
    return [str(file) for file in found.files], votes.to_numpy().tolist()


def votes_for_loss(n: int) -> list:
    from galhelpers.survey import sample_galaxies, volunteer_votes

    return volunteer_votes(sample_galaxies(n, seed=1), DECALS, "decals").tolist()


def compare(python: Path, files: list[str], votes: list, size: int, rounds: int) -> dict:
    """Both sides in turns; the first round also measures what the others need not."""
    job = {"files": files, "votes": votes, "size": size}
    runs: dict[str, list[dict[str, float]]] = {}
    best = dict.fromkeys(TASKS, 0)
    for number in range(rounds):
        for task in TASKS:
            for side, usual, other in (("zoobot", LEFT, KEPT), ("ours", KEPT, LEFT)):
                for memory in (usual,) if number else (usual, other):
                    workers = [best[task]] if number else WORKERS if memory == LEFT else [0]
                    more = {"workers": workers} if side == "zoobot" else {}
                    costs = run_side(python, side=side, task=task, memory=memory, **job, **more)
                    for way, cost in costs.items():
                        runs.setdefault(name_of(task, side, way, memory), []).append(cost)
            best[task] = min(
                WORKERS, key=lambda n, task=task: runs[zoobot_way(task, n, LEFT)][0]["ms"]
            )
    middle = {
        way: {what: statistics.median(cost[what] for cost in costs) for what in costs[0]}
        for way, costs in runs.items()
    }
    return {"size": size, "workers": best, "medians": middle, "rounds": runs}


def name_of(task: str, side: str, way: str, memory: str) -> str:
    """Name a way to do a task."""
    return f"{task} | {side} | {way} | {memory}"


def zoobot_way(task: str, workers: int, memory: str) -> str:
    return name_of(task, "zoobot", f"{workers} workers", memory)


def print_loss(loss: dict[str, Any]) -> dict[str, tuple[float, float]]:
    print("\n### Loss, forward and backward, CPU ms")
    times = loss["times"]
    ratios = {batch: t["zoobot"] / t["ours"] for batch, t in times.items()}
    print_table(
        ["batch", "Zoobot", "ours", "ratio"],
        [
            [batch, f"{t['zoobot']:.3f}", f"{t['ours']:.3f}", f"{ratios[batch]:.1f}"]
            for batch, t in times.items()
        ],
    )
    print("\nLargest difference of a question's value, nats:")
    pairs = list(next(iter(loss["differences"].values())))
    print_table(
        ["concentrations", *pairs],
        [
            [name, *(f"{values[pair]:.1e}" for pair in pairs)]
            for name, values in loss["differences"].items()
        ],
    )
    print("\nError of a galaxy's loss under bfloat16 autocast, nats:")
    names = list(loss["autocast"]["ours"])
    print_table(
        ["", *names],
        [
            [side, *(f"{loss['autocast'][key][name]:.2g}" for name in names)]
            for key, side in (("zoobot", "Zoobot"), ("ours", "ours"))
        ],
    )
    return {"loss, batch 128": (ratios["128"], ratios["128"])}


def print_size(result: dict, n: int) -> dict[str, tuple[float, float]]:
    """Print the tables of one size; give the ratios, as they come and with memory kept by both."""
    costs, size = result["medians"], result["size"]
    ratios = {}
    for task, about in (
        ("training", f"{n} images, {EPOCHS} epochs, {n * EPOCHS // BATCH} steps of {BATCH}"),
        ("prediction", f"{n} images, batches of {BATCH}"),
    ):
        print(f"\n### {task.capitalize()}, {size} px ({about})")
        base = costs[zoobot_way(task, result["workers"][task], LEFT)]["ms"]
        rows = []
        for name, cost in costs.items():
            of, side, way, memory = name.split(" | ")
            if of == task and way != CACHE:
                cells = [f"{cost['ms']:.2f}", f"{base / cost['ms']:.1f}", f"{cost['mib']:.0f}"]
                rows.append([f"{SIDES[side]}, {way}", memory, *cells])
        way, times = ("from the cache", EPOCHS) if task == "training" else (f"passes: {PASSES}", 1)
        ours = costs[name_of(task, "ours", way, KEPT)]["ms"]
        same = costs[zoobot_way(task, 0, KEPT)]["ms"]
        ratios[f"{task}, {size} px"] = (base / ours, same / ours)
        whole = ours + costs[name_of(task, "ours", CACHE, KEPT)]["ms"] / times
        name = f"ours, {way}, cache made for this"
        rows.append([name, KEPT, f"{whole:.2f}", f"{base / whole:.1f}", ""])
        print_table(["way", "memory", "CPU ms an image", "Zoobot / this", "peak, MiB"], rows)
    once = costs[name_of("training", "ours", CACHE, KEPT)]["ms"]
    print(f"\nMaking our cache costs {once:.2f} ms an image, once.")
    return ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--images", type=int, default=512, help="a multiple of 64 (default 512)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RUNS / "bayes.json")
    options = parser.parse_args()
    if options.images < 2 * BATCH or options.images % BATCH:
        parser.error(f"Expected images as a multiple of {BATCH}, from {2 * BATCH}.")

    torch.set_num_threads(1)
    python = peer_python(RUNS / "bayes-peers", "requirements-bayes.txt")
    files, votes = galaxies(options.images)
    loss = run_side(python, side="loss", votes=votes_for_loss(BATCHES[-1]), rounds=options.rounds)
    machine = f"Python {platform.python_version()}, {platform.machine()}"
    print(f"One thread, CPU time, median of {options.rounds} rounds; {machine}.")
    ratios = print_loss(loss)
    results = []
    for size in options.sizes:
        results.append(compare(python, files, votes, size, options.rounds))
        ratios |= print_size(results[-1], options.images)

    print("\n### Targets")
    judged = {name: TARGETS[name.split(",")[0]] for name in ratios}
    print_table(
        ["", "times as fast as Zoobot", "target", "", "with memory kept on both sides"],
        [
            [name, f"{ratio:.1f}", f"{judged[name]:g}",
             "reached" if ratio >= judged[name] else "**not reached**", f"{same:.1f}"]
            for name, (ratio, same) in ratios.items()
        ],
    )  # fmt: skip
    report = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "machine": machine, "ratios": ratios}
    report |= {"loss": loss, "results": results, "images": options.images, "batch": BATCH}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.out.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    temporary.replace(options.out)
    return 1 if any(ratio < judged[name] for name, (ratio, _) in ratios.items()) else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--job"]:
        print(json.dumps(work(json.load(sys.stdin))))
    else:
        sys.exit(main())
