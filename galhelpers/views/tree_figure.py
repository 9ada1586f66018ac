"""A decision tree drawn as cards: one card a question, one line an answer."""

import textwrap
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path as Curve

from galhelpers.trees import Question, Tree
from galhelpers.views.plots import PALETTE, WIDTH

# Everything is laid out in inches, so that text of a given size fits the card it is drawn on.
LINE = 0.185
GAP = 0.16
ARROW_SPACE = 0.42
FONT = 8.5


@dataclass
class _Card:
    question: Question
    title: list[str]
    depth: int
    top: float = 0.0  # inches from the upper edge

    @property
    def header(self) -> float:
        return LINE * (len(self.title) + 0.25)

    @property
    def height(self) -> float:
        return self.header + LINE * (len(self.question.answers) + 0.2)

    def answer_y(self, i: int) -> float:
        return self.top + self.header + LINE * (i + 0.6)


def draw_tree(tree: Tree) -> Figure:
    """Draw a decision tree from left to right.

    Each card is a question: its text, its answers and, where the tree has them, the names of the
    published columns. A dot marks an answer that leads on; its arrow ends at the question asked
    next. Cards in the first column are asked of every galaxy.

    Parameters
    ----------
    tree : Tree
        One of ``galhelpers.trees.TREES``.
    """
    depths: dict[str, int] = {}
    asker = {
        f"{question.name}_{answer}": (question, i)
        for question in tree.questions
        for i, answer in enumerate(question.answers)
    }
    for question in tree.questions:
        parents = [asker[column][0].name for column in question.parents]
        depths[question.name] = 1 + max((depths[name] for name in parents), default=-1)
    n_columns = max(depths.values()) + 1
    width = min(2.9, (WIDTH - ARROW_SPACE * (n_columns - 1) - 0.1) / n_columns)
    characters = int(width * 72 / (FONT * 0.63))
    cards = {
        q.name: _Card(q, textwrap.wrap(q.text, characters), depths[q.name]) for q in tree.questions
    }
    columns = [[c for c in cards.values() if c.depth == depth] for depth in range(n_columns)]
    total = max(sum(c.height + GAP for c in column) for column in columns) - GAP
    for column in columns:
        _stack(column, {c.question.name: _wished_top(c, cards, asker) for c in column}, total)

    fig = Figure(figsize=(n_columns * width + (n_columns - 1) * ARROW_SPACE + 0.1, total + 0.1))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.05, fig.get_size_inches()[0] - 0.05))
    ax.set(ylim=(total + 0.05, -0.05))
    ax.axis("off")
    leading = {answer for question in tree.questions for answer in question.parents}
    for card in cards.values():
        left = card.depth * (width + ARROW_SPACE)
        _draw_card(ax, card, left, width, tree, leading)
        for answer in card.question.parents:
            asked_by, i = asker[answer]
            parent = cards[asked_by.name]
            start = (parent.depth * (width + ARROW_SPACE) + width, parent.answer_y(i))
            _draw_arrow(ax, start, (left, card.top + card.header / 2))
    return fig


def _wished_top(
    card: _Card, cards: dict[str, _Card], asker: dict[str, tuple[Question, int]]
) -> float | None:
    """Put the card where its parents' answers are; their column is already in place."""
    heights = [cards[asker[p][0].name].answer_y(asker[p][1]) for p in card.question.parents]
    return sum(heights) / len(heights) - card.height / 2 if heights else None


def _stack(column: list[_Card], wished: dict[str, float | None], total: float) -> None:
    """Place one column of cards near their wishes, without overlap, inside the figure."""

    def wish(card: _Card) -> float:
        top = wished[card.question.name]
        return 0.0 if top is None else top

    if any(top is None for top in wished.values()):  # roots: spread them
        free = total - sum(card.height for card in column)
        top = free / (2 * len(column))
        for card in column:
            card.top = top
            top += card.height + free / len(column)
        return
    column.sort(key=lambda card: wish(card) + card.height / 2)
    edge = 0.0
    for card in column:
        card.top = max(wish(card), edge)
        edge = card.top + card.height + GAP
    edge = total
    for card in reversed(column):
        card.top = min(card.top, edge - card.height)
        edge = card.top - GAP


def _draw_card(
    ax: Axes, card: _Card, left: float, width: float, tree: Tree, leading: set[str]
) -> None:
    body = Rectangle((left, card.top), width, card.height, fc="white", ec="0.55", lw=0.8)
    ax.add_patch(body)
    ax.add_patch(Rectangle((left, card.top), width, card.header, fc=PALETTE[0], ec=PALETTE[0]))
    for i, line in enumerate(card.title):
        y = card.top + LINE * (i + 0.62)
        ax.text(left + 0.07, y, line, color="white", weight="bold", fontsize=FONT, va="center")
    for i, answer in enumerate(card.question.answers):
        y = card.answer_y(i)
        ax.text(left + 0.07, y, _readable(answer), fontsize=FONT, va="center")
        if tree.published_columns is not None:
            name = tree.published_columns[tree.slices[card.question.name]][i]
            ax.text(
                left + width - 0.12, y, name.removeprefix("Class"),
                fontsize=FONT - 1.5, color="0.4", va="center", ha="right",
            )  # fmt: skip
        if f"{card.question.name}_{answer}" in leading:
            ax.plot(left + width, y, "o", ms=5, color=PALETTE[1], zorder=4)


def _readable(answer: str) -> str:
    return answer.replace("-", " ").replace("cant ", "can't ")


def _draw_arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    bend = (end[0] - start[0]) * 0.55
    points = [start, (start[0] + bend, start[1]), (end[0] - bend, end[1]), end]
    path = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    ax.add_patch(
        FancyArrowPatch(
            path=path, arrowstyle="-|>", mutation_scale=10, color=PALETTE[1], lw=1.3, zorder=3
        )
    )
