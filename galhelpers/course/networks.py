"""What trained networks come with the course, and what each is good for."""

import textwrap

from galhelpers.course.text_tables import WIDTH, fact_lines, table_lines
from galhelpers.learning.networks import Card, Score, card, cards


def describe_networks() -> str:
    """Describe the trained networks in a table.

    Raises
    ------
    galhelpers.paths.UserError
        Where the cards cannot be read.
    """
    rows = [["name", "answers", "trained on", "score (95 % interval)", "MB"]]
    for name, each in cards().items():
        metric, score = next(iter(each.scores.items()))
        trained_on = f"{each.data.train:,} of\n{each.data.dataset}"
        row = [name, each.answers, trained_on, f"{metric}\n{_interval(score)}"]
        rows.append([*row, f"{each.bytes / 1e6:.1f}"])
    # What the other columns leave, and two blanks between each.
    widths = [max(len(line) for row in rows for line in row[i].split("\n")) for i in (0, 2, 3, 4)]
    rest = max(20, WIDTH - sum(widths) - 8)
    rows = [[row[0], textwrap.fill(row[1], rest), *row[2:]] for row in rows]
    return "\n".join(
        [
            *table_lines(rows),
            "",
            "galhelpers networks NAME tells all about one; galhelpers predict NAME IMAGES uses it.",
        ]
    )


def describe_network(name: str) -> str:
    """Tell all about one trained network: its card.

    Raises
    ------
    galhelpers.paths.UserError
        For an unknown name, and where the cards cannot be read.
    """
    this = card(name)
    shown, data = this.preprocessing, this.data
    classes = this.classes if isinstance(this.classes, str) else ", ".join(this.classes)
    views = f", mean of {shown.views} views" if shown.views > 1 else ""
    parts = f"{data.train:,} to learn from, {data.validation:,} to choose by, {data.test:,} to test"
    facts = [
        ("gives", f"{this.task}: {classes}"),
        ("network", f"{this.architecture}, {this.parameters:,} parameters"),
        ("pictures", f"{shown.size} px, central {shown.crop:.0%} of the frame{views}"),
        ("data", f"{data.dataset}: {parts}. {data.credit}"),
        ("start", this.start),
        ("made by", f"{this.command} (seed {this.seed})"),
        ("on", f"{this.machine}, {this.cpu_minutes:,.0f} minutes of one core"),
        *(("scores", _in_words(metric, score)) for metric, score in this.scores.items()),
        *(("split", _split(number, row)) for number, row in enumerate(this.splits, 1)),
    ]
    end = [("not for", words) for words in this.not_for]
    if this.check:
        check = this.check
        words = f"{check.metric} {_number(check.value)} on {check.n} simulated galaxies as "
        end.append(("check", f"{words}{check.telescope} sees them, seed {check.seed}"))
    end += [("file", f"{this.bytes:,} bytes, SHA-256 {this.sha256}"), ("licence", this.licence)]
    lines = [*fact_lines(facts), *_confusion(this), *fact_lines(end)]
    return "\n".join([*textwrap.wrap(f"{name}: {this.answers}", WIDTH), *lines])


def _confusion(this: Card) -> list[str]:
    """Give a line for each true class: the predicted classes have the letters of the rows."""
    if this.confusion is None or isinstance(this.classes, str):
        return []
    letters = [chr(ord("a") + i % 26) for i in range(len(this.classes))]
    rows = [["true class", *letters], *(
        [f"{letter} {name}", *map(str, row)]
        for letter, name, row in zip(letters, this.classes, this.confusion, strict=True)
    )]  # fmt: skip
    return ["  confusion   columns: predicted class", *(" " * 14 + s for s in table_lines(rows))]


def _in_words(metric: str, score: Score) -> str:
    return f"{metric} {_interval(score)}: {score.part}, {score.n:,} galaxies, {score.how}"


def _split(number: int, row: dict[str, float]) -> str:
    return f"{number}: " + ", ".join(f"{name} {_number(value)}" for name, value in row.items())


def _interval(score: Score) -> str:
    return f"{_number(score.value)} [{_number(score.low)}, {_number(score.high)}]"


def _number(value: float) -> str:
    """Write three decimals of a share, two of what is larger."""
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"
