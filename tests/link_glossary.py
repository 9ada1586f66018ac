"""Link the first use of each word of the glossary in each unit; or check that it is done.

A word is linked in the unit that brings it in and in those after it: in prose, not in headings,
code, links, the facts card, the first column of a table, or what the package words (exercises,
predictions, quizzes). Written anew each time, so that a link is never written by hand.

    python tests/link_glossary.py --write
    python tests/link_glossary.py --check
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from galhelpers.paths import atomic_write

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
PLACE = "../docs/glossary.md"
LINK = re.compile(rf"\[([^\]]+)\]\({re.escape(PLACE)}#[^)]*\)")
ENTRY = re.compile(
    r'- <a id="(?P<anchor>[\w-]+)"></a>\*\*(?P<term>[^*]+)\*\*(?: \((?P<where>[^)]+)\))?: '
    r"(?P<definition>.+?)(?: <!-- (?P<forms>.+) -->)?"
)
# What the package words, cell by cell.
WORDED = re.compile(r"### Exercise|## Quiz|\*\*Before you run: predict")
# What no link may stand in; a table's first column, and a whole row of the facts card.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)|<[^>\n]+>|https?://\S+"
    r"|^#+ [^\n]*|^\| \*\*[^\n]*|^\|[^|\n]*\|"
    r"|error bars?|mixture of classes|adaptive checkpoint",  # they only look like words of it
    re.S | re.M,
)


@dataclass(frozen=True)
class Entry:
    """A word of the glossary: where it comes in, and the forms by which it is known in a text."""

    term: str
    anchor: str
    where: str
    definition: str
    forms: tuple[str, ...]

    @property
    def unit(self) -> int:
        """Number of the unit that brings the word in; 0 for a general word."""
        return int((re.findall(r"\d+", self.where) or ["0"])[0])


def glossary() -> list[Entry]:
    """Read the entries of the glossary, in their order."""
    entries = []
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            found = ENTRY.fullmatch(line)
            if not found:
                raise SystemExit(f"{GLOSSARY.name}: no entry of the glossary: {line[:100]}")
            if found["forms"]:
                forms = found["forms"].split("; ")
            else:
                forms = [f"{one}{end}" for one in found["term"].split(", ") for end in ("", "s")]
            where = found["where"] or ""
            entries.append(
                Entry(found["term"], found["anchor"], where, found["definition"], (*forms,))
            )
    return entries


def any_case(form: str) -> str:
    """Match a form with a small or a capital letter at its beginning."""
    return f"[{form[0].lower()}{form[0].upper()}]{re.escape(form[1:])}"


def linked(sources: list[str], entries: list[Entry]) -> list[str]:
    """Link the first use of each entry in the texts of a unit."""
    words = {
        one.anchor: re.compile(
            rf"(?<![\w-])(?:{'|'.join(map(any_case, sorted(one.forms, key=len)[::-1]))})(?![\w-])"
        )
        for one in entries
    }
    texts = []
    for source in sources:
        text = LINK.sub(r"\1", source)
        if WORDED.match(text):
            texts.append(text)
            continue
        # Of the same length, with nothing to find in what is no prose.
        prose = NOT_PROSE.sub(lambda found: "\0" * len(found[0]), text)
        pieces, end = [], 0
        while True:
            found = {anchor: word.search(prose, end) for anchor, word in words.items()}
            uses = [(use.start(), -use.end(), anchor) for anchor, use in found.items() if use]
            if not uses:
                break
            start, minus_end, anchor = min(uses)  # the first; of two that begin there, the longer
            pieces += [text[end:start], f"[{text[start:-minus_end]}]({PLACE}#{anchor})"]
            end = -minus_end
            del words[anchor]
        texts.append("".join([*pieces, text[end:]]))
    return texts


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--write", action="store_true")
    how.add_argument("--check", action="store_true")
    options = parser.parse_args()
    entries, changed = glossary(), []
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        before = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(before, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        there = [entry for entry in entries if entry.unit <= int(path.stem[:2])]
        for cell, text in zip(cells, linked([c.source for c in cells], there), strict=True):
            cell.source = text
        after = nbformat.writes(notebook) + "\n"
        if after != before:
            changed.append(path.name)
            if options.write:
                with atomic_write(path) as temporary:
                    temporary.write_text(after, encoding="utf-8")
    if changed:
        done = "Linked" if options.write else "Links to the glossary are missing or old"
        print(f"{done}: {', '.join(changed)}.", file=sys.stdout if options.write else sys.stderr)
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
