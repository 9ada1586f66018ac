"""Where the course keeps its files, how a file is written whole, and the error a user can mend."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    try:
        if "\0" in str(text):
            raise ValueError("it holds a zero byte")
        return Path(text).expanduser()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"Expected a path, but {str(text)!r} cannot be used as one: {error}. Write the folder "
            "in full."
        ) from None


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
    return user_path(os.environ.get("GALHELPERS_DATA") or course_root() / "data")


def default_out() -> Path:
    """Folder for the results of a notebook that is given none.

    Environment variable ``GALHELPERS_OUT``, else ``runs/interactive`` in the course.
    """
    named = os.environ.get("GALHELPERS_OUT")
    return user_path(named or course_root() / "runs" / "interactive")


def short(path: str | Path) -> str:
    """Give a path for printing: relative to the course when inside it, else its last two parts.

    Committed notebooks must not show where somebody's home folder is.
    """
    path = Path(path).resolve()
    if path.is_relative_to(course_root()):
        return path.relative_to(course_root()).as_posix()
    return path.as_posix() if len(path.parts) <= 3 else "/".join(("..", *path.parts[-2:]))


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
