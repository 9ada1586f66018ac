"""Start a notebook's kernel with this interpreter, and watch how much memory it takes."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from galhelpers.paths import PLACES, named_by

LOG = "kernel.log"


def kernel_environment(ipython_dir: Path) -> dict[str, str]:
    """Environment of the kernel: this process's, made independent of the working folder."""
    environment = dict(os.environ)
    # The kernel works in another folder: relative places would mean something else there.
    paths = [str(Path(__file__).parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(p).resolve()) for p in paths if p)
    for variable in PLACES:
        if place := named_by(variable):
            environment[variable] = str(place.absolute())
    environment["IPYTHONDIR"] = str(ipython_dir)  # nobody's personal IPython start-up files
    # Without bytecode on disk each kernel would compile torch again, for seconds.
    environment["PYTHONDONTWRITEBYTECODE"] = ""
    return environment


def this_interpreter(
    folder: Path, ipython_dir: Path, started: Callable[[int], None]
) -> type[AsyncKernelManager]:
    """Kernel manager that runs ``sys.executable``, whatever kernels are installed.

    A kernel named ``python3`` that ``JUPYTER_PATH`` or the user's home offers may belong to another
    environment, without torch or with another version of this package.

    Parameters
    ----------
    folder : Path
        Working folder of the kernel.
    ipython_dir : Path
        Folder for IPython's own files.
    started : callable
        Called with the kernel's process number as soon as it runs.
    """

    class ThisInterpreter(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=make_ipkernel_cmd(), language="python")

        async def start_kernel(self, **kw: Any) -> None:  # type: ignore[override]
            kw.update(env=kernel_environment(ipython_dir), cwd=str(folder))
            ipython_dir.mkdir(parents=True, exist_ok=True)
            # What the kernel says beside its notebook: noise, unless it dies (see last_words).
            with (ipython_dir / LOG).open("ab") as log:
                await AsyncKernelManager.start_kernel(self, stdout=log, stderr=log, **kw)
            pid = getattr(self.provisioner, "pid", None)
            if pid is not None:
                started(pid)

    return ThisInterpreter


def last_words(ipython_dir: Path) -> str:
    """Give the last line a kernel wrote to its log before it died; empty when there is none."""
    log = ipython_dir / LOG
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        lines = file.read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip() and "IPKernelApp" not in line]
    return said[-1] if said else ""


def tree_memory(pid: int) -> int:
    """Memory in bytes that a process and its descendants hold now; 0 when it has ended.

    One process: its resident set. Several: the proportional set where the system knows it
    (Linux), so that pages shared between workers count once.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            info = member.memory_info() if len(family) == 1 else member.memory_full_info()
            total += getattr(info, "pss", info.rss)
        except psutil.Error:
            continue  # it ended, or is not ours to look at
    return total


class PeakMemory:
    """Largest memory of a process tree between ``watch`` and the end of ``measured``."""

    def __init__(self, interval: float = 0.2) -> None:
        self.interval = interval
        self.bytes = 0
        self._pid: int | None = None
        self._stop = threading.Event()

    def watch(self, pid: int) -> None:
        """Start to look at this process and its descendants."""
        self._pid = pid

    def _look(self) -> None:
        while not self._stop.wait(self.interval):
            if self._pid is not None:
                self.bytes = max(self.bytes, tree_memory(self._pid))

    @contextmanager
    def measured(self) -> Iterator["PeakMemory"]:
        """Measure in a thread while the block runs."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
