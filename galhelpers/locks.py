"""One writer at a time: the lock that every command takes on the place it writes into.

The operating system releases it when the process ends, however it ends, so that a killed process
blocks nobody. It holds between processes, users and containers of one computer that see the same
folder. Between computers it holds where the shared disk passes locks on (NFS since version 4,
CephFS, Lustre mounted with ``flock``); on a disk that does not (some FUSE and SMB mounts) two
computers do not see each other.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
from tqdm.auto import tqdm

from galhelpers.messages import public
from galhelpers.paths import UserError, short


@contextmanager
def only_one(path: str | Path, what: str, wait: bool = True) -> Iterator[None]:
    """Let one process after another make ``path``; the lock is ``.NAME.lock`` beside it.

    Parameters
    ----------
    path
        File or folder that is made.
    what
        What the process does, for the message of the other: "fetches galaxy_zoo_2".
    wait
        Whether a second process waits for the first; else it is refused.

    Raises
    ------
    UserError
        Where nobody may write, and with ``wait=False`` where another process does.
    """
    path = Path(path)
    lock, holder = (path.with_name(f".{path.name}.lock{end}") for end in ("", ".holder"))
    only = filelock.FileLock(lock)
    try:
        told = False
        while not only.is_locked:
            path.parent.mkdir(parents=True, exist_ok=True)  # also when it is deleted meanwhile
            try:
                only.acquire(timeout=1 if wait else 0)
            except filelock.Timeout:
                # filelock also waits where no file can ever be made.
                with tempfile.TemporaryFile(dir=path.parent):
                    pass
                if not wait:
                    raise UserError(
                        f"Another process ({_who(holder)}) {what}, in {short(path.parent)}. Wait "
                        "until it has ended, stop it, or choose another --out."
                    ) from None
                if not told:
                    words = f"waiting for another process that {what} ({_who(holder)})"
                    tqdm.write(words, file=sys.stderr)
                told = True
    except OSError as error:
        raise UserError(
            f"Cannot write into {short(path.parent)}: {error.strerror}. Choose a folder that you "
            "may write into."
        ) from error
    try:
        holder.write_text(f"number {os.getpid()} on {platform.node()}", "utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        only.release()


def _who(holder: Path) -> str:
    try:
        return public(holder.read_text("utf-8"), 100).strip() or "it has just started"
    except (OSError, ValueError):  # it began or ended this moment
        return "it has just started"
