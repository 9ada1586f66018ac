"""Look at this computer and say in plain words whether the course will run on it."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from galhelpers.paths import course_root, default_data_root

GB = 1e9
OLDEST_PYTHON = (3, 11)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``verdict`` is ``"ok"``, ``"note"`` or ``"problem"``."""

    subject: str
    verdict: str
    sentence: str


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; each finding comes as soon as it is known."""
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("Python", check_python),
        ("torch", check_torch),
        ("threads", check_threads),
        ("GPU", check_gpu),
        ("memory", check_memory),
        ("disk", check_disk),
        ("caches", check_caches),
        ("manifest", check_manifest),
        ("kernel", check_kernel),
        ("Chromium", check_chromium),
    )
    for subject, check in checks:
        try:
            yield check()
        except Exception as error:  # a broken installation raises anything; the rest still helps
            yield Finding(subject, "problem", f"could not be examined: {_words(error)}")


def doctor() -> int:
    """Print all findings; give 1 when something keeps the course from running, else 0."""
    problems = 0
    for finding in examine():
        print(f"{finding.verdict:<8} {finding.subject:<9} {finding.sentence}", flush=True)
        problems += finding.verdict == "problem"
    if problems:
        print(f"{problems} of these must be put right before the course runs.")
    else:
        print("The course will run here.")
    return 1 if problems else 0


def check_python() -> Finding:
    """Check that Python is new enough."""
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", "problem", f"{version} is too old: install 3.11 or newer.")
    place = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    return Finding(
        "Python", "ok", f"{version} on {platform.system()} {platform.machine()}, {place}."
    )


def check_torch() -> Finding:
    """Import torch and torchvision: a mismatched pair fails only then."""
    import torch
    import torchvision

    return Finding(
        "torch", "ok", f"{torch.__version__} with torchvision {torchvision.__version__}."
    )


def check_threads() -> Finding:
    """Compare torch's threads with the cores that this process may use."""
    import torch

    threads, cores = torch.get_num_threads(), usable_cores()
    setting = os.environ.get("OMP_NUM_THREADS")
    if setting and threads < min(cores, psutil.cpu_count(logical=False) or cores):
        sentence = (
            f"torch uses {threads} of {cores} cores, since OMP_NUM_THREADS is {setting}. "
            "Unset it to train faster."
        )
        return Finding("threads", "note", sentence)
    return Finding("threads", "ok", f"torch uses {threads} on {cores} usable cores.")


def check_gpu() -> Finding:
    """Say which device trains; none is no problem."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        sentence = (
            f"{properties.name} with {properties.total_memory / GB:.0f} GB: used for training."
        )
        return Finding("GPU", "ok", sentence)
    if torch.backends.mps.is_available():
        return Finding("GPU", "ok", "Apple GPU: used for training.")
    found = gpu_name()
    if found != "none":
        sentence = (
            f"{found} is there, but torch cannot use it: its driver is older than torch needs."
        )
        return Finding("GPU", "note", sentence)
    sentence = "none. Profile quick needs none, full takes longer, paper is meant for one."
    return Finding("GPU", "ok", sentence)


def check_memory() -> Finding:
    """Compare free memory with the 4 GB that a notebook in the quick profile may take."""
    memory = psutil.virtual_memory()
    sentence = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free"
    if memory.available < 4 * GB:
        return Finding("memory", "note", f"{sentence}; 4 GB are needed: close other programs.")
    return Finding("memory", "ok", f"{sentence}; 4 GB are needed.")


def check_disk() -> Finding:
    """Look for room below the course folder, where runs and caches go."""
    free = shutil.disk_usage(course_root()).free
    sentence = f"{free / GB:.0f} GB free in the course folder"
    if free < 2 * GB:
        return Finding("disk", "problem", f"{sentence}; at least 2 GB are needed: free some.")
    return Finding("disk", "ok", f"{sentence}.")


def check_caches() -> Finding:
    """Check that decoded images and compiled Python can be kept on disk."""
    root = default_data_root()
    place = next(folder for folder in (root, *root.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        sentence = (
            f"the data folder {root} cannot be written ({error.strerror}). Name another one in "
            "the environment variable GALHELPERS_DATA."
        )
        return Finding("caches", "problem", sentence)
    held = folder_size(root) / GB if root.is_dir() else 0.0
    sentence = f"the data folder can be written and holds {held:.1f} GB"
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        sentence += (
            "; PYTHONDONTWRITEBYTECODE is set, so every start compiles torch again for some "
            "seconds: unset it"
        )
        return Finding("caches", "note", f"{sentence}.")
    return Finding("caches", "ok", f"{sentence}.")


def check_manifest() -> Finding:
    """Read and validate the data manifest."""
    from galhelpers.data.manifest import load_manifest

    names = [entry.name for entry in load_manifest().datasets]
    return Finding("manifest", "ok", f"{len(names)} datasets: {', '.join(names)}.")


def check_kernel() -> Finding:
    """Start a notebook kernel with this interpreter and let it import the package."""
    import nbformat
    from nbclient import NotebookClient

    from galhelpers.course.kernel import this_interpreter

    started: list[int] = []
    cell = nbformat.v4.new_code_cell("import galhelpers")
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            nbformat.v4.new_notebook(cells=[cell]),
            kernel_name="python3",
            timeout=60,
            kernel_manager_class=this_interpreter(
                Path(folder), Path(folder) / ".ipython", started.append
            ),
            extra_arguments=["--IPKernelApp.log_level=40"],
        ).execute()
    return Finding(
        "kernel", "ok", "a notebook kernel starts with this Python and finds galhelpers."
    )


def check_chromium() -> Finding:
    """Look for a Chromium; only the browser tests need one."""
    found = find_chromium()
    if found is None:
        return Finding("Chromium", "note", "none found: the browser tests skip, nothing else.")
    return Finding("Chromium", "ok", f"{Path(found).name} is there for the browser tests.")


def find_chromium() -> str | None:
    """Find a Chromium or Chrome on the PATH; None where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def machine() -> dict[str, str]:
    """Describe the hardware in a few words for the report; says nothing about the user."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{usable_cores()} usable of {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / GB:.1f} GB",
        "GPU": gpu_name(),
    }


def usable_cores() -> int:
    """Cores this process may use; a container or batch system often grants fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_name() -> str:
    """Name of the first GPU, asked of its driver: importing torch for this would take seconds."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "Apple GPU"
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none"
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    names = answer.stdout.strip().splitlines()
    if answer.returncode != 0 or not names:
        return "none"
    return names[0] if len(names) == 1 else f"{len(names)} x {names[0]}"


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(where) / name).stat().st_size
            except OSError:
                continue  # it vanished meanwhile, or is a link to nowhere
    return total


def _words(error: Exception) -> str:
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {first}"
