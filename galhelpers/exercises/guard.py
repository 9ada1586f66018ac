"""What a learner's function may not do to the notebook: last for ever, flood it, or change it.

`unharmed` puts back the settings of the process, `overheard` keeps the first lines that a function
prints, and `time_limit` ends it. A function that ends the process itself (``os._exit``, a crash in
C) cannot be held, since it runs in the process of the notebook. Neither can a single long call in
C: it is ended when it comes back.
"""

import ctypes
import decimal
import importlib
import io
import locale
import logging
import os
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

# Settings ----------------------------------------------------------------------------------------

Undo = Callable[[], object]


@contextmanager
def unharmed(seed: int = 0) -> Iterator[None]:
    """Run a block from fixed random states, and put the caller's settings back afterwards.

    Covers Python's, numpy's and torch's global generators; torch's gradient mode, default dtype
    and device, threads, determinism and way of printing; numpy's, pandas', matplotlib's and
    decimal's options; warning filters, logging, environment, folder, ``sys.path`` and locale.
    Libraries that nobody has imported are left alone.
    """
    with ExitStack() as stack:
        for remember in (_python, _process, _logging, _torch, _pandas, _figures):
            for undo in remember():
                stack.callback(undo)
        random.seed(seed)
        np.random.seed(seed)
        if torch := sys.modules.get("torch"):
            # Not torch.manual_seed: it would also leave a seed waiting for a GPU not yet in use.
            torch.default_generator.manual_seed(seed)
            torch.set_grad_enabled(True)
        stack.enter_context(decimal.localcontext())
        stack.enter_context(np.printoptions())
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _python() -> list[Undo]:
    python, legacy, depth = random.getstate(), np.random.get_state(), sys.getrecursionlimit()
    path, language = list(sys.path), locale.setlocale(locale.LC_ALL)

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(legacy)
        sys.setrecursionlimit(depth)
        sys.path[:] = path

    return [restore, lambda: locale.setlocale(locale.LC_ALL, language)]


def _process() -> list[Undo]:
    variables = dict(os.environ)
    folder = None
    with suppress(OSError):  # the folder may have been deleted under the notebook
        folder = Path.cwd()

    def restore() -> None:
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)

    return [restore]


def _logging() -> list[Undo]:
    root = logging.root
    level, disabled, handlers = root.level, root.manager.disable, root.handlers[:]

    def restore() -> None:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)

    return [restore]


_TORCH = {
    "is_grad_enabled": "set_grad_enabled",
    "get_default_dtype": "set_default_dtype",
    "get_num_threads": "set_num_threads",
    "are_deterministic_algorithms_enabled": "use_deterministic_algorithms",
    "get_float32_matmul_precision": "set_float32_matmul_precision",
    "is_anomaly_enabled": "autograd.set_detect_anomaly",
    "get_default_device": "set_default_device",
}


def _torch() -> list[Undo]:
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    before = {name: getattr(torch, name)() for name in _TORCH}
    state = torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    printing = torch._tensor_str.PRINT_OPTS
    words = dict(vars(printing))

    def restore() -> None:
        for name, value in before.items():
            if getattr(torch, name)() != value:
                put: Any = torch
                for part in _TORCH[name].split("."):
                    put = getattr(put, part)
                # None is how torch is told that no device is preferred.
                put(None if name == "get_default_device" and value.type == "cpu" else value)
        torch.set_rng_state(state)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)
        vars(printing).update(words)

    return [restore]


def _pandas() -> list[Undo]:
    pandas = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "options"):
        return []

    def options(node: Any, start: str = "") -> Iterator[tuple[str, Any]]:
        for name in dir(node):
            value = getattr(node, name)
            if type(value) is type(node):
                yield from options(value, f"{start}{name}.")
            else:
                yield start + name, value

    def read() -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some options are deprecated, and say so when read
            return dict(options(pandas.options))

    before = read()

    def restore() -> None:
        now = read()
        for name, value in before.items():
            if now[name] is not value and now[name] != value:
                pandas.set_option(name, value)

    return [restore]


def _figures() -> list[Undo]:
    plots = sys.modules.get("matplotlib.pyplot")
    before, style = (plots.get_fignums(), dict(plots.rcParams)) if plots else ([], {})

    def restore() -> None:
        if plots := sys.modules.get("matplotlib.pyplot"):
            # Else a notebook shows every figure that a function left open, one for each call.
            for number in set(plots.get_fignums()) - set(before):
                plots.close(number)
            plots.rcParams.update({k: v for k, v in style.items() if plots.rcParams[k] != v})

    return [restore]


# Outputs -----------------------------------------------------------------------------------------

LINES, LETTERS, DISPLAYS = 10, 4000, 3


class Overheard(io.TextIOBase):
    """A stream that keeps the first lines written to it, and counts the others.

    ``close`` is ignored: a function that closes ``sys.stdout`` closes only this.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.head, self.ends, self.last = "", 0, ""
        self.displays: list[tuple[Any, Any]] = []
        self.n_displays = 0

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def close(self) -> None:
        """Stay open."""

    def write(self, text: str) -> int:
        """Keep ``text`` if it is among the first, else only count its lines."""
        # A progress bar returns to the start of its line for every state: each counts as a line.
        self.ends += len(re.findall(r"\r\n|\r|\n", text))
        self.head += text[: max(0, LETTERS - len(self.head))]
        self.last = text[-1:] or self.last
        return len(text)

    def lines(self) -> list[str]:
        """Give the first lines, and a last one that counts those left out."""
        total = self.ends + (self.last not in ("", "\n", "\r"))
        shown = [line for line in self.head.splitlines()[:LINES] if line.strip()]
        more = total - min(total, LINES)
        cut = len(self.head) >= LETTERS and not more
        if more:
            shown.append(f"... and {more} more lines from your function")
        elif cut:
            shown.append("... and more from your function")
        return shown

    def show_displays(self) -> None:
        """Display the first of what was displayed, and count the others."""
        from IPython.display import display

        for data, metadata in self.displays:
            display(data, metadata=metadata, raw=True)
        if (more := self.n_displays - len(self.displays)) > 0:
            print(f"... and {more} more displays from your function")


@contextmanager
def overheard() -> Iterator[Overheard]:
    """Collect what a block prints, logs and displays, so that little of it can be shown."""
    said = Overheard()
    handlers = [
        (handler, handler.stream)
        for handler in logging.root.handlers
        if type(handler) is logging.StreamHandler and handler.stream in (sys.stdout, sys.stderr)
    ]
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    publisher: Any = getattr(shell, "display_pub", None)
    try:
        for handler, _ in handlers:
            handler.stream = said
        if publisher is not None:
            shell.display_pub = _publisher(said)
        with redirect_stdout(said), redirect_stderr(said):
            yield said
    finally:
        if publisher is not None:
            shell.display_pub = publisher
        for handler, stream in handlers:
            handler.stream = stream


def _publisher(said: Overheard) -> Any:
    capture = importlib.import_module("IPython.core.displaypub").CapturingDisplayPublisher

    class Bounded(capture):  # type: ignore[misc, valid-type]
        def publish(self, data: Any, metadata: Any = None, *more: Any, **options: Any) -> None:
            said.n_displays += 1
            if len(said.displays) < DISPLAYS:
                said.displays.append((data, metadata))

        def clear_output(self, wait: bool = False) -> None:
            pass

    return Bounded()


# Time --------------------------------------------------------------------------------------------

OURS = str(Path(__file__).parent)


class TooLong(BaseException):
    """Ends a function that has run for too long; no Exception, so that few answers catch it."""


class time_limit:  # noqa: N801 - it is used as a function, like contextlib.suppress
    """Raise `TooLong` in a block when it has run for ``seconds``; blocks may be nested.

    It is raised in code called by the block, never in the files of this package, whose clean-up
    it would break. In the main thread the system's timer rings, which also ends a sleep; in other
    threads, and where there is no such timer (Windows), a second thread does it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.on, self.rings = seconds, False, 0
        self.by_signal = False

    def __enter__(self) -> "time_limit":
        self.start, self.trace, self.on = time.monotonic(), sys.gettrace(), True
        main = threading.current_thread() is threading.main_thread()
        self.by_signal = main and hasattr(signal, "setitimer")
        if self.by_signal:
            self.handler = signal.signal(signal.SIGALRM, self._ring)
            left, interval = signal.getitimer(signal.ITIMER_REAL)
            self.outer = left, interval  # that of a block around this one, which may end earlier
            first = min(self.seconds, left) if left else self.seconds
            signal.setitimer(signal.ITIMER_REAL, first, 0.5)
        else:
            self.over = threading.Event()
            me = threading.get_ident()
            threading.Thread(target=self._watch, args=(me,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.on = False
        if not self.by_signal:
            self.over.set()
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        # None stands for a handler that was not set by Python and cannot be set again by it.
        signal.signal(signal.SIGALRM, self.handler or signal.SIG_DFL)
        left, interval = self.outer
        if left:
            left = max(left - (time.monotonic() - self.start), 0.01)
            signal.setitimer(signal.ITIMER_REAL, left, interval)
        if self.rings > 1:
            sys.settrace(self.trace)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self.on or _is_ours(frame):
            return
        self.rings += 1
        if self.rings > 1:  # it caught the first one; a trace raises in its `except` as well
            sys.settrace(self._raise)
            while frame is not None and not _is_ours(frame):
                frame.f_trace = self._raise
                frame = frame.f_back
        raise TooLong

    def _raise(self, frame: FrameType, event: str, argument: Any) -> Any:
        # Not at the event "exception", which is still inside of the `try`.
        if self.on and event in ("line", "call") and not _is_ours(frame):
            raise TooLong
        return self._raise

    def _watch(self, thread: int) -> None:
        wait = self.seconds
        while not self.over.wait(wait):
            if self.on and not _is_ours(sys._current_frames().get(thread)):
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(TooLong)
                )
            wait = 0.5


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(OURS)
