"""One training on several processes (or GPUs): the losses of a single one, in less time.

    OMP_NUM_THREADS=1 python benchmarks/many_processes.py
    OMP_NUM_THREADS=1 torchrun --nproc_per_node=2 benchmarks/many_processes.py

It is notebook 10's training on SDSS: spiral or elliptical, the clean third of simulated galaxies.
A batch is cut into parts, and each process takes its share of them; DistributedDataParallel adds
up the gradients before each step (Li et al. 2020, arXiv:2006.15704). A single process takes all
parts one after the other. Three things make the losses of both agree to rounding:

- Parts may be uneven. The losses of the galaxies are added up and divided by the size of the whole
  batch, so every galaxy has the same weight. A last batch of fewer galaxies than parts is left out.
- Batch normalisation sees one part at a time (Goyal et al. 2017, arXiv:1706.02677, section 2.3).
- Its running statistics would depend on which parts a process saw. They are measured anew before
  each validation, on all training galaxies.
"""

import argparse
import os
import time
from functools import partial

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.fine_tuning import reestimate_batch_norm
from galhelpers.learning.training import predict
from galhelpers.models import SmallResNet
from galhelpers.survey import galaxy_zoo_1_class, galaxy_zoo_1_votes, render, sample_galaxies

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import OneCycleLR

SHOWN = {"size": 64, "mean": [0.14] * 3, "std": [0.15] * 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=3000, help="a third of them is clean")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="of all processes together")
    parser.add_argument("--parts", type=int, default=2, help="of a batch: a multiple of processes")
    parser.add_argument("--rate", type=float, default=2e-3, help="for 64 galaxies a step")
    options = parser.parse_args()
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else "cpu"
    if options.parts % size:
        parser.error(f"expected --parts to be a multiple of {size} processes, got {options.parts}")
    if size > 1:  # torchrun has started this process and told it where the others are
        dist.init_process_group("nccl" if gpu else "gloo")
    # Every process makes the same galaxies and the same network: they follow from the seed.
    truth = sample_galaxies(options.galaxies, seed=0)
    answers = galaxy_zoo_1_class(galaxy_zoo_1_votes(truth, "sdss", seed=0))
    clean = answers != "uncertain"
    spiral = torch.tensor((answers[clean] == "spiral").astype(int))
    pictures = render(truth[clean].reset_index(drop=True), "sdss", 128, 0).numpy()
    pixels = pictures[:, :, 20:108, 20:108]
    cut, parts = round(0.9 * len(spiral)), options.parts
    torch.manual_seed(0)
    net = SmallResNet(2, widths=(16, 32, 64), dropout=0.0)
    net = net.to(device, memory_format=torch.channels_last)
    parallel = DistributedDataParallel(net) if size > 1 else net
    rate = options.rate * options.batch_size / 64  # it grows with the batch, after a slow start
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    steps = options.epochs * -(-cut // options.batch_size)
    schedule, order, step = OneCycleLR(optimizer, rate, steps), torch.Generator().manual_seed(0), 0
    augment, prepare = Augment(**SHOWN), partial(to_float, **SHOWN)
    for epoch in range(options.epochs):
        start, total = time.perf_counter(), torch.zeros(2, dtype=torch.float64, device=device)
        net.train()
        for rows in torch.randperm(cut, generator=order).split(options.batch_size):
            if len(rows) < parts:
                continue
            optimizer.zero_grad()
            for part, mine in list(enumerate(rows.tensor_split(parts)))[rank::size]:
                # The number makes sure that no two parts see the same variations.
                views = augment(torch.from_numpy(pixels[mine]).to(device), step * parts + part)
                loss = F.cross_entropy(parallel(views), spiral[mine].to(device), reduction="sum")
                # DistributedDataParallel divides by the number of processes: take that back.
                (size * loss / len(rows)).backward()
                total += torch.tensor([loss.item(), len(mine)], device=device)
            optimizer.step()
            schedule.step()
            step += 1
        if size > 1:
            dist.all_reduce(total)
        reestimate_batch_norm(net, pixels[:cut], prepare)
        validation = F.cross_entropy(predict(net, pixels[cut:], prepare), spiral[cut:])
        if rank == 0:
            told = f"training {total[0] / total[1]:.6f}, validation {validation:.6f}"
            print(f"epoch {epoch + 1}: {told}, {time.perf_counter() - start:.1f} s", flush=True)
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
