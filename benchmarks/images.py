"""Augmented galaxies per CPU second, ours beside galaxy-datasets', on the same files in one run.

Run it from the course folder, on a folder that holds real galaxies::

    python benchmarks/images.py --real DIR

galaxy-datasets is what Zoobot loads its images with; it gets an environment of its own, made at
the first run from ``requirements-images.txt`` beside this file. Both sides use one thread of
torch and the same files. What is counted is CPU time (user + system, of the process and its
children), because wall time on a busy machine measures its other users.

- *peer*: ``CatalogDataset`` with ``get_galaxy_transform(default_view_config())`` at our size, in a
  ``DataLoader`` with 0 and with 2 workers. The ratios take whichever costs it less.
- *first pass*: files hashed, decoded, written to the cache, and each augmented once.
- *from cache*: every later epoch, in random order: bytes from the memory map, then `Augment` with
  all its defaults (rotation, flip, zoom, shift, brightness, noise).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
PEER = ROOT / "runs" / "benchmarks" / "galaxy-datasets"
TARGETS = {"first pass": 6, "from cache": 60}
BATCH = 64
EPOCHS = 10  # from the cache; one is too short to time


def cpu_seconds() -> float:
    """User + system time of this process and of its finished children."""
    children = os.times()[2:4]  # only to 0.01 s, which is why ours, of tenths, has no children
    return time.process_time() + sum(children)


def measure_ours(files: list[str], size: int) -> dict[str, float]:
    """CPU milliseconds per image of galhelpers."""
    from galhelpers.data.augment import Augment
    from galhelpers.data.images import load_images

    import torch

    torch.set_num_threads(1)
    # Memory order as the peer gives it: channel by channel.
    augment = Augment(size, channels_last=False)

    def epoch(pixels, number: int) -> None:
        order = torch.randperm(len(pixels)).split(BATCH)
        for step, rows in enumerate(order):
            batch = augment(torch.from_numpy(pixels[rows.numpy()]), number * len(order) + step)
            assert batch.shape == (len(rows), 3, size, size)

    with tempfile.TemporaryDirectory() as folder:
        warm = load_images(files[:BATCH], size, progress=False)
        epoch(warm.pixels, 0)  # what the first call of anything costs is no part of the rate
        start = cpu_seconds()
        images = load_images(files, size, cache_dir=folder, progress=False)
        assert images.ok.all()
        assert not images.from_cache
        epoch(images.pixels, 0)
        first = cpu_seconds() - start
        start = cpu_seconds()
        images = load_images(files, size, cache_dir=folder, progress=False)
        assert images.from_cache
        opening = cpu_seconds() - start
        start = cpu_seconds()
        for number in range(1, EPOCHS + 1):
            epoch(images.pixels, number)
        cached = (cpu_seconds() - start) / EPOCHS
        del images, warm  # Windows keeps a mapped file
    per_image = 1000 / len(files)
    return {
        "first pass": first * per_image,
        "from cache": cached * per_image,
        "opening the cache, once": opening * per_image,
    }


def measure_peer(files: list[str], size: int) -> dict[str, float]:
    """CPU milliseconds per image of galaxy-datasets."""
    import pandas as pd
    import torch
    from galaxy_datasets.pytorch.galaxy_dataset import CatalogDataset
    from galaxy_datasets.transforms import default_view_config, get_galaxy_transform

    torch.set_num_threads(1)
    config = default_view_config()
    config.output_size = size
    names = [str(number) for number in range(len(files))]
    catalog = pd.DataFrame({"id_str": names, "file_loc": files})

    def epoch(rows: pd.DataFrame, workers: int) -> None:
        dataset = CatalogDataset(rows, transform=get_galaxy_transform(config))
        loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)
        for batch in loader:
            assert batch["image"].shape[1:] == (3, size, size)

    epoch(catalog[:BATCH], 0)
    costs = {}
    for workers in (0, 2):
        start = cpu_seconds()
        epoch(catalog, workers)  # its workers end with the epoch, so their time is counted
        costs[f"{workers} workers"] = (cpu_seconds() - start) * 1000 / len(files)
    return costs


def peer_python() -> Path:
    """Interpreter of the environment with galaxy-datasets; made when missing."""
    folder = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = PEER / folder
    if not python.exists():
        print("Making the environment with galaxy-datasets (once) ...")
        uv = [sys.executable, "-m", "uv"]
        requirements = HERE.with_name("requirements-images.txt")
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(PEER)], check=True)
        install = ["pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)]
        subprocess.run([*uv, *install], check=True)
    return python


def run_side(side: str, python: str | Path, files: list[str], size: int) -> dict[str, float]:
    """Measure one side in a process of its own."""
    job = json.dumps({"side": side, "files": files, "size": size})
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), str(HERE), "--job"],
        input=job, capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"The {side} side failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(name: str, files: list[str], size: int, rounds: int) -> dict:
    """Medians over rounds in which the two sides take turns."""
    python = peer_python()
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    for _ in range(rounds):
        runs["peer"].append(run_side("peer", python, files, size))
        runs["ours"].append(run_side("ours", sys.executable, files, size))
    ours, peer = (
        {key: statistics.median(run[key] for run in side) for key in side[0]}
        for side in runs.values()
    )
    best_peer = min(peer.values())
    ratios = {key: best_peer / ours[key] for key in TARGETS}
    print(f"\n{name}, {len(files)} files, {size} px, median of {rounds} rounds")
    print(f"{'':38s}{'CPU ms/image':>14s}{'images/CPU s':>14s}{'ratio':>8s}")
    for key, cost in peer.items():
        print(f"{'galaxy-datasets default, ' + key:38s}{cost:14.3f}{1000 / cost:14.0f}")
    for key, cost in ours.items():
        ratio = f"{ratios[key]:8.1f}" if key in ratios else ""
        print(f"{'galhelpers, ' + key:38s}{cost:14.3f}{1000 / cost:14.0f}{ratio}")
    settings = {"dataset": name, "files": len(files), "size": size, "batch": BATCH}
    return {**settings, "ours_ms": ours, "peer_ms": peer, "ratios": ratios, "rounds": runs}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    real = os.environ.get("GALHELPERS_REAL_DATA")
    parser.add_argument("--real", type=Path, default=real, help="default: GALHELPERS_REAL_DATA")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--files", type=int, default=600, help="files of each set (default 600)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmarks" / "images.json")
    options = parser.parse_args()
    if options.real is None:
        parser.error("expected a folder of real galaxies: --real DIR, or GALHELPERS_REAL_DATA")

    sets = {
        "gz2_native (424 px JPEG)": "gz2_native/images_training_rev1/*.jpg",
        "gz2_five_class (160 px JPEG)": "gz2_five_class/images/*/*.jpg",
    }
    results = []
    for name, pattern in sets.items():
        files = [str(path.resolve()) for path in sorted(options.real.glob(pattern))]
        # Evenly over the folder, which is sorted by class in one of the sets.
        files = files[:: max(1, len(files) // options.files)][: options.files]
        if not files:
            print(f"{name}: no files {pattern} in {options.real}, left out")
            continue
        results += [compare(name, files, size, options.rounds) for size in options.sizes]
    if not results:
        raise SystemExit(f"Expected real galaxies in {options.real}; give their folder by --real.")

    machine = {"python": platform.python_version(), "processor": platform.machine()}
    report = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **machine, "results": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.out.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    temporary.replace(options.out)

    native = results[0]["ratios"]
    missed = [key for key, least in TARGETS.items() if native[key] < least]
    for key, least in TARGETS.items():
        print(f"{key}: {native[key]:.1f} times galaxy-datasets, target {least}")
    return 1 if missed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--job"]:
        task = json.load(sys.stdin)
        measure = measure_ours if task["side"] == "ours" else measure_peer
        print(json.dumps(measure(task["files"], task["size"])))
    else:
        sys.exit(main())
