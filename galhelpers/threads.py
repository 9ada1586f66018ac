"""How many threads compute, and how long they wait for each other before they sleep.

Torch divides each operation among as many threads as there are cores, by OpenMP. A thread that has
done its part waits for the others. It can *spin*, which means that it looks again and again, or
*sleep* until it is woken. Spinning is faster when every thread has a core of its own. On a machine
with other work it takes the core from the very thread that it waits for. Waking a sleeper takes
some microseconds, which is as long as a small operation. So threads should spin for a short time
and then sleep.

An OpenMP library reads its environment once, when it is loaded. So the bound has to be set before
``import torch``, and importing ``galhelpers`` first is enough. There are several such libraries:

GNU libgomp
    Linux. torch and scikit-learn install a copy each. It reads ``GOMP_SPINCOUNT``, and spins
    300,000 times by default, which is about ten milliseconds. This package sets 2,000, which is
    about a fifteenth of a millisecond: as long as most pauses between two operations of a network.
Intel libiomp5 and LLVM libomp
    Windows (torch) and macOS (torch and scikit-learn). They spin for 200 milliseconds by default
    and sometimes give their core away meanwhile. ``KMP_BLOCKTIME`` sets the milliseconds. This
    package leaves it alone: 1 changes little, and 0 makes small networks slower on a quiet machine.
    It was measured with Intel's library on Linux. Nothing was measured on Windows or macOS.

``OMP_WAIT_POLICY=PASSIVE`` is read by all of these: threads never spin. ``OMP_NUM_THREADS=1`` works
on every system: one thread waits for nobody, which suits a server that a class shares.

``benchmarks/threads.py`` measures all this, and ``docs/results.md`` has its table.
"""

import os
import sys

BOUND = {"GOMP_SPINCOUNT": "2000"} if sys.platform == "linux" else {}
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def usable_cores() -> int:
    """Count the cores that this process may use.

    A container, a batch system or ``taskset`` often grants fewer than the machine has.
    """
    # Loading it takes a tenth of a second, which those that only bound spinning need not pay.
    from joblib import cpu_count

    return cpu_count()


def bound_spinning() -> None:
    """Bound how long OpenMP threads spin, in this process and in those that it starts.

    Nothing is changed once torch is loaded, which would be too late, or when one of the variables
    in ``WAITING`` is set already.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ.update(BOUND)


def waiting() -> str:
    """Say which variables tell threads how to wait, and who set them."""
    here = {name: os.environ[name] for name in WAITING if name in os.environ}
    if not here:
        return "as their library does by default"
    names = ", ".join(f"{name}={value}" for name, value in here.items())
    return f"{names}, set by {'galhelpers' if here == BOUND else 'you'}"
