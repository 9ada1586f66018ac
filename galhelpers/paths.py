"""Where the course keeps its files, how a file is written whole, and the error a user can mend."""

import errno
import hashlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from galhelpers.messages import public

# A process has one umask for all its threads, and it can be read only by setting it: once, here.
UMASK = os.umask(0)
os.umask(UMASK)


class UserError(Exception):
    """Something the user can put right; a command shows it as a paragraph, without a traceback.

    The message says what was expected, what came, and what to do.
    """


def user_path(text: str | Path) -> Path:
    """Read a path as a user writes it: ``~`` is the home folder, also where no shell replaced it.

    Raises
    ------
    UserError
        For ``~name`` of a user that this computer does not know, ``~`` where nobody has a home
        folder, and text that no system takes for a path.
    """
    written = str(text)
    try:
        if "\0" in written:
            raise ValueError("it holds a zero byte")
        if written.split("/")[0] == "~" and _TRUE_HOME in os.environ:
            if not os.environ[_TRUE_HOME]:
                raise RuntimeError("there is no home folder here")
            written = str(Path(os.environ[_TRUE_HOME], written[2:]))
        return Path(written).expanduser()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"Expected a path, but {public(repr(written), 200)} cannot be used as one "
            f"({str(error).rstrip('.')}). Write the folder in full."
        ) from None


_TRUE_HOME = "GALHELPERS_TRUE_HOME"  # set where HOME is a stand-in; empty where there is no home


def ensure_home() -> None:
    """Give this process and those it starts a home folder, where the user has none to write into.

    A container that runs under a number without a name has none, and Jupyter, matplotlib, torch
    and Hugging Face all keep files there. ``~`` in a path never means the stand-in.
    """
    if os.name == "nt":
        return
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    if home.is_absolute() and not refusal(home):
        return
    os.environ.setdefault(_TRUE_HOME, str(home) if home.is_absolute() else "")
    os.environ["HOME"] = str(_temporary())
    print(  # noqa: T201
        f"There is no home folder that can be written; {os.environ['HOME']} stands in for it.",
        file=sys.stderr,
    )


def writable(wanted: Path, below: str) -> Path:
    """Give a folder for what the course makes: the wanted one, or one of the user's own.

    A server for a class has the course where no student may write. Then the folder is ``below``
    in ``galhelpers`` in the home folder, and a line says so once.

    Parameters
    ----------
    wanted
        Folder, which need not be there yet.
    below
        Where it is to be otherwise, such as ``runs/interactive``.
    """
    reason = refusal(wanted)
    if not reason:
        return wanted
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    own = _temporary() if _TRUE_HOME in os.environ or refusal(home) else home / "galhelpers"
    _say_once(f"{short(wanted)} cannot be written ({reason}); {public(own / below)} is used.")
    return own / below


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def refusal(folder: Path) -> str:
    """Say why files cannot be written in a folder, there or to be made; empty where they can.

    It is tried: permissions do not tell of disks that are mounted to be read only.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _temporary() -> Path:
    """Folder of this user below the system's for temporary files, the same each time."""
    user = os.getuid() if os.name != "nt" else 0
    folder = Path(tempfile.gettempdir(), f"galhelpers-{user}")
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        # Anybody may have made something of this name there.
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == user
        if ours and (os.name == "nt" or not found.st_mode & 0o077):
            return folder
    return Path(tempfile.mkdtemp(prefix="galhelpers-"))


def course_root() -> Path:
    """Folder of the course: the one that holds ``data_manifest.yaml`` and ``notebooks``.

    Raises
    ------
    FileNotFoundError
        When the package was installed without its course folder.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / "data_manifest.yaml").is_file():
        raise FileNotFoundError(
            f"Expected data_manifest.yaml beside the galhelpers package, found none in {root}. "
            "Install the package from the course folder: pip install -e ."
        )
    return root


def default_data_root() -> Path:
    """Folder for data: environment variable ``GALHELPERS_DATA``, else ``data`` in the course."""
    return named_by("GALHELPERS_DATA") or course_root() / "data"


def image_cache() -> Path:
    """Folder for decoded images: ``cache`` in the default data folder, if it can be written."""
    return writable(default_data_root() / "cache", "data/cache")


def default_out() -> Path:
    """Folder for the results of a notebook that is given none.

    Environment variable ``GALHELPERS_OUT``, else ``runs/interactive`` in the course.
    """
    return named_by("GALHELPERS_OUT") or writable(
        course_root() / "runs" / "interactive", "runs/interactive"
    )


PLACES = ("GALHELPERS_DATA", "GALHELPERS_OUT", "GALHELPERS_MANIFEST", "GALHELPERS_REAL_DATA")
"""Environment variables that hold a path."""


def named_by(variable: str) -> Path | None:
    """Path that an environment variable holds; ``None`` where it is not set or empty."""
    text = os.environ.get(variable)
    return user_path(text) if text else None


def short(path: str | Path) -> str:
    """Give a path for printing: relative to the course when inside it, else its last two parts.

    Committed notebooks must not show where somebody's home folder is.
    """
    path = Path(os.path.realpath(path))  # resolve() raises where links lead in a circle
    if path.is_relative_to(course_root()):
        return public(path.relative_to(course_root()).as_posix())
    return public(path.as_posix() if len(path.parts) <= 3 else "/".join(("..", *path.parts[-2:])))


# Letters, digits and what names of galaxies need (J102532.37+052459.3). Not the names that Windows
# keeps for its devices, whatever follows them.
_PORTABLE = re.compile(
    r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[a-z0-9](?:[\w.+-]*[\w+-])?", re.I
)


def is_portable(name: str) -> bool:
    """Say whether a name can be that of a file on every system, and of nothing else.

    Letters, digits and ``. _ + -`` of ASCII, a letter or digit first, no full stop last, no device
    of Windows, 150 characters at most.
    """
    return len(name) <= 150 and name.isascii() and _PORTABLE.fullmatch(name) is not None


def checksum(file: Path) -> str:
    """SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_write(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to ``path`` if the block succeeds.

    A reader sees the old file or the new one, never a part, and a failure leaves the old file.

    Parameters
    ----------
    path
        File that is made or replaced.
    sync
        Wait until the content is on the disk before the new name is: else a power cut can leave a
        file of the right name and no content. Thousands of small files that an index knows by their
        hashes do without.
    """
    path = Path(path)
    if path.is_dir():  # renaming would say so, too, but of the temporary file, and at the end
        words = "a folder, where a file has to be written. Move it away"
        raise IsADirectoryError(errno.EISDIR, words, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
        # mkstemp makes files private; the finished file follows the user's umask like any other.
        temporary.chmod(0o666 & ~UMASK)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
