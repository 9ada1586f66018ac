"""Memory of a process that trains networks: freed blocks stay with it."""

import contextlib
import ctypes


def keep_freed_memory() -> None:
    """Let the C library keep large blocks that are freed, where it can (glibc on Linux).

    By default it gives each of them back to the system and gets it anew, full of zeros, for the
    next layer. That costs training up to a third of its CPU time and prediction up to two thirds,
    the more the larger the batch. In return the process keeps its largest size until it ends, and
    that size is up to a quarter larger. It holds for the whole process, so only what owns one calls
    it: a notebook's ``Lesson`` and ``galhelpers predict``.
    """
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 2**31 - 1)
        # Before version 2.35 the second threshold may not be so large.
        if not library.mallopt(mmap_threshold, 2**31 - 1):
            library.mallopt(mmap_max, 0)
