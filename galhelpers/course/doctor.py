"""Look at this computer and say in plain words whether the course will run on it."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from galhelpers import threads
from galhelpers.messages import public
from galhelpers.paths import (
    course_root,
    default_data_root,
    default_out,
    image_cache,
    refusal,
)

GB = 1e9


class Finding(NamedTuple):
    """One thing looked at: ``verdict`` is ``"ok"``, ``"note"`` or ``"problem"``."""

    verdict: str
    sentence: str


def doctor() -> int:
    """Print all findings; give 1 when something keeps the course from running, else 0."""
    problems = 0
    for subject, finding in examine():
        print(f"{finding.verdict:<8} {subject:<9} {finding.sentence}", flush=True)
        problems += finding.verdict == "problem"
    last = f"{problems} of these must be put right before the course runs."
    print(last if problems else "The course will run here.")
    return 1 if problems else 0


def examine() -> Iterator[tuple[str, Finding]]:
    """Look at one thing after the other; each finding comes as soon as it is known."""
    for subject, check in CHECKS.items():
        try:
            yield subject, check()
        except Exception as error:  # a broken installation raises anything; the rest still helps
            first = public((str(error).strip().splitlines() or ["no message"])[0])
            sentence = f"could not be examined: {type(error).__name__}: {first}"
            yield subject, Finding("problem", sentence)


def check_python() -> Finding:
    """Say which Python this is; an older one could not have installed the package."""
    place = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    system = f"{platform.system()} {platform.machine()}"
    return Finding("ok", f"{platform.python_version()} on {system}, {place}.")


def check_torch() -> Finding:
    """Import torch and torchvision: a mismatched pair fails only then."""
    import torch
    import torchvision

    return Finding("ok", f"{torch.__version__} with torchvision {torchvision.__version__}.")


def check_threads() -> Finding:
    """Compare torch's threads with the cores that this process may use, and say how they wait."""
    import torch

    number, cores = torch.get_num_threads(), threads.usable_cores()
    sentence = f"torch uses {number} on {cores} usable cores; how they wait: {threads.waiting()}."
    if number > cores:
        return Finding("note", f"{sentence} Set OMP_NUM_THREADS to {cores}: more are slower.")
    if "OMP_NUM_THREADS" in os.environ and number < (psutil.cpu_count(logical=False) or cores):
        advice = "OMP_NUM_THREADS is right on a shared server; elsewhere unset it to train faster."
        return Finding("note", f"{sentence} {advice}")
    return Finding("ok", sentence)


def check_speed() -> Finding:
    """Time a training step that is the same on every machine, on the CPU."""
    import torch

    from galhelpers.models import SmallResNet

    torch.manual_seed(0)
    network = SmallResNet()
    pictures, classes = torch.rand(32, 3, 64, 64), torch.randint(5, (32,))
    optimizer = torch.optim.AdamW(network.parameters())
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < 1.0:
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(pictures), classes).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    best, middle = (1000 * value for value in (min(seconds), statistics.median(seconds)))
    return Finding(
        "ok",
        f"{best:.0f} ms for the fastest standard training step, median {middle:.0f} ms (small "
        f"ResNet, 32 pictures of 64 px, CPU, {torch.get_num_threads()} threads).",
    )


def check_gpu() -> Finding:
    """Say which device trains; none is no problem."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = properties.total_memory / GB
        return Finding("ok", f"{properties.name} with {memory:.0f} GB: used for training.")
    if torch.backends.mps.is_available():
        return Finding("ok", "Apple GPU: used for training.")
    if (found := gpu_name()) != "none":
        reason = "but torch cannot use it: its driver is older than torch needs."
        return Finding("note", f"{found} is there, {reason}")
    sentence = "none. Profile quick needs none, full takes longer, paper is meant for one."
    return Finding("ok", sentence)


def check_memory() -> Finding:
    """Compare free memory with the 4 GB that a notebook in the quick profile may take."""
    memory = psutil.virtual_memory()
    sentence = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free; 4 GB are needed"
    if memory.available < 4 * GB:
        return Finding("note", f"{sentence}: close other programs.")
    return Finding("ok", f"{sentence}.")


def check_disk() -> Finding:
    """Look for room below the course folder, where runs and caches go."""
    free = shutil.disk_usage(course_root()).free
    sentence = f"{free / GB:.0f} GB free in the course folder"
    if free < 2 * GB:
        return Finding("problem", f"{sentence}; at least 2 GB are needed: free some.")
    return Finding("ok", f"{sentence}.")


def check_caches() -> Finding:
    """Try to write, say where things go, and look whether compiled Python can be kept."""
    images, runs = image_cache(), default_out()
    for place in (images, runs):
        if reason := refusal(place):
            sentence = f"{public(place)} cannot be written ({reason})."
            return Finding("problem", f"{sentence} Name others in GALHELPERS_DATA, GALHELPERS_OUT.")
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        reason = "so every start compiles torch again for some seconds: unset it."
        return Finding("note", f"PYTHONDONTWRITEBYTECODE is set, {reason}")
    usual = images.is_relative_to(default_data_root()) and not refusal(course_root())
    places = f"decoded images go to {public(images)}, results of notebooks to {public(runs)}"
    return Finding("ok" if usual else "note", f"{places}; both can be written.")


def check_manifest() -> Finding:
    """Read and validate the data manifest."""
    from galhelpers.data.manifest import load_manifest

    names = [entry.name for entry in load_manifest().datasets]
    return Finding("ok", f"{len(names)} datasets: {', '.join(names)}.")


def check_kernel() -> Finding:
    """Start a notebook kernel with this interpreter and let it import the package."""
    import nbformat
    from nbclient import NotebookClient

    from galhelpers.course.kernel import this_interpreter

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import galhelpers")])
    with tempfile.TemporaryDirectory() as folder:
        manager = this_interpreter(Path(folder), Path(folder) / ".ipython", lambda pid: None)
        client = NotebookClient(notebook, kernel_name="python3", timeout=60)
        client.kernel_manager_class = manager
        client.extra_arguments = ["--IPKernelApp.log_level=40"]
        client.execute()
    return Finding("ok", "a notebook kernel starts with this Python and finds galhelpers.")


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "torch": check_torch,
    "threads": check_threads,
    "speed": check_speed,
    "GPU": check_gpu,
    "memory": check_memory,
    "disk": check_disk,
    "caches": check_caches,
    "manifest": check_manifest,
    "kernel": check_kernel,
}


def machine() -> dict[str, str]:
    """Describe the hardware in a few words for the report; says nothing about the user."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{threads.usable_cores()} usable of {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / GB:.1f} GB",
        "GPU": gpu_name(),
    }


def gpu_name() -> str:
    """Name of the first GPU, asked of its driver: importing torch for this would take seconds."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "Apple GPU"
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603
            query, capture_output=True, text=True, errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "none"
    names = answer.stdout.strip().splitlines() or ["none"]
    return names[0] if len(names) == 1 else f"{len(names)} x {names[0]}"
