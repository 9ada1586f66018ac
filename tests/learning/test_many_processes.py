"""The example of training on several processes: it runs, and gives a single process's losses."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch.distributed as dist

ROOT = Path(__file__).resolve().parents[2]
# 119 clean galaxies to train on: three batches of 33, whose parts are uneven, and one of 20.
SMALL = ["benchmarks/many_processes.py", "--galaxies", "360", "--epochs", "2", "--batch-size", "33"]
ONE_PART = [*SMALL, "--parts", "1"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]


def losses(*command):
    """Training and validation loss of each epoch."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return [float(value) for value in re.findall(r"(?:training|validation) ([\d.]+)", done.stdout)]


@pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs torch with gloo"
)
def test_two_processes_give_the_losses_of_one():
    two_processes = (*TORCHRUN, "--nproc_per_node=2", *SMALL)
    with ThreadPoolExecutor() as pool:  # most of the time goes into loading torch
        jobs = [pool.submit(losses, *command) for command in (SMALL, two_processes, ONE_PART)]
    one, two, other = (job.result() for job in jobs)
    assert len(one) == 4, "each once, by process 0 alone"
    assert two == pytest.approx(one, abs=5e-6)
    # Another training differs by much more: here one in which normalisation sees whole batches.
    assert other != pytest.approx(one, abs=1e-3)
