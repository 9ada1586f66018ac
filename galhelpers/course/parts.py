"""Finished parts of a long piece of work, kept until all is done."""

import hashlib
import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from galhelpers.messages import public
from galhelpers.paths import UserError, atomic_write

# KEY-HASH.parquet, or what a killed process leaves of one: .KEY-HASH.parquet.xxxxxxxx.parquet
_OURS = re.compile(r"\d{9,}-[0-9a-f]{16}-[0-9a-f]{32}\.parquet|\.\d{9,}-[0-9a-f-]{49}\.parquet\..*")


class Parts:
    """A folder of Parquet files, each named after what it answers and after its own content.

    The name is key and hash. So a part that was cut short, changed or put there by somebody is
    never taken for a good one, parts of another network or of other images do not fit, and there is
    no index that could be damaged. Only files with such names are ever deleted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> None:
        """Look whether the folder is new or holds nothing but parts.

        Hidden files are left alone: systems put them into any folder.

        Raises
        ------
        UserError
            When something else is in it, or a file or a link stands in its place.
        """
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            what = "a file or a link"
        else:
            found = set(self.folder.iterdir()) if self.folder.is_dir() else set()
            others = [f.name for f in found - set(self.files()) if not f.name.startswith(".")]
            if not others:
                return
            what = f"a folder that holds other files ({public(min(others), 80)})"
        raise UserError(
            f"Expected {public(self.folder)} to be new or what an interrupted prediction left, but "
            f"it is {what}: nothing in it is touched. Choose another --out, or move it away."
        )

    def files(self) -> list[Path]:
        """Give the parts, whole or not, and what writing one left."""
        if not self.folder.is_dir():
            return []
        found = (f for f in self.folder.iterdir() if _OURS.fullmatch(f.name) and f.is_file())
        return sorted(found)

    def save(self, key: str, table: pa.Table) -> None:
        """Write the part ``key``: nine or more digits, a hyphen, 16 hexadecimal digits."""
        content = io.BytesIO()
        pq.write_table(table, content)
        file = self.folder / f"{key}-{_hash(content.getvalue())}.parquet"
        with atomic_write(file) as temporary:
            temporary.write_bytes(content.getvalue())

    def read(self, key: str) -> pa.Table | None:
        """Give the part ``key``, or None where there is none or only a damaged one."""
        for file in self.folder.glob(f"{key}-*.parquet"):
            try:
                content = file.read_bytes() if file.is_file() else b""
            except OSError:
                continue
            if file.stem == f"{key}-{_hash(content)}":
                return pq.read_table(io.BytesIO(content))
        return None

    def remove(self) -> None:
        """Delete the parts, and the folder unless somebody put something into it."""
        for file in self.files():
            file.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
