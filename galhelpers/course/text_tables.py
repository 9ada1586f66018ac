"""Tables and lists of facts for a terminal, 100 columns wide."""

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Put the cells of a column under each other; one of several lines goes on below."""
    widths = [max(len(line) for cell in column for line in cell.split("\n"))
              for column in zip(*rows, strict=True)]  # fmt: skip
    lines = []
    for row in rows:
        cells = [cell.split("\n") for cell in row]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            padded = (f"{part:<{width}}" for part, width in zip(parts, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
    return lines


def fact_lines(facts: Iterable[tuple[str, str]]) -> list[str]:
    """Give a line, or a few, to each fact: a label, then words. A label stands once."""
    lines: list[str] = []
    before = ""
    for what, words in facts:
        label = "" if what == before else what
        before = what
        lines += textwrap.wrap(
            words, WIDTH, initial_indent=f"  {label:<11} ", subsequent_indent=" " * 14
        )
    return lines
