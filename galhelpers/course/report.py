"""The report of a run folder: one page that opens offline, and ``results.json`` beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import jinja2
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from galhelpers.course.results import write_results
from galhelpers.course.state import NotebookRun, State, executed
from galhelpers.data.records import Text, read_record
from galhelpers.messages import public
from galhelpers.paths import atomic_write

if TYPE_CHECKING:
    from galhelpers.published import PublishedValue

STATUS = {
    "ok": "done",
    "failed": "failed",
    "interrupted": "interrupted",
    # Written before a notebook starts: still there only when the run itself was killed.
    "running": "not finished",
}
EVIDENCE = {
    "L": "Counted in the published files.",
    "P": "Read in the primary source.",
    "S": "From a secondary source only.",
    "computed": "Worked out from published numbers.",
}


@dataclass
class Picture:
    """A figure that a notebook saved: ``file`` is relative to the run folder."""

    notebook: str
    file: str
    caption: str
    alt: str


class Words(BaseModel):
    """What stands beside a figure as JSON."""

    model_config = ConfigDict(strict=True)

    caption: Text
    alt: Text


_FIGURES = TypeAdapter(list[Annotated[str, Field(pattern=r"^[\w -]{1,200}$", strict=True)]])


def write_report(out: Path) -> Path:
    """Write ``results.json`` and ``index.html`` from what the run folder holds now.

    Parameters
    ----------
    out : Path
        A run folder: ``state.json``, ``metrics/<notebook>.json``, and the pictures in
        ``figures/<notebook>``.

    Returns
    -------
    Path
        The page.
    """
    metrics = write_results(out)
    page = out / "index.html"
    with atomic_write(page) as file:
        file.write_text(render(out, metrics), "utf-8")
    return page


def collect_pictures(out: Path) -> list[Picture]:
    """Find the figures of all notebooks, in the order in which they were made.

    ``figures/<notebook>.json`` lists them; a picture of an earlier run that it does not name is
    left out. So is one whose words a killed process has not written, or that are damaged: a report
    of the rest is better than none.
    """
    pictures = []
    for listing in sorted((out / "figures").glob("[!.]*.json")):
        for name in read_record(listing, _FIGURES) or ():
            stem = listing.with_suffix("") / name
            words = read_record(stem.with_name(f"{name}.json"), Words)
            files = [stem.with_name(name + ending) for ending in (".png", ".jpg")]
            file = next(filter(Path.is_file, files), None)
            if words and file and file.as_posix().isprintable():
                shown = file.relative_to(out).as_posix()
                pictures.append(Picture(listing.stem, shown, words.caption, words.alt))
    return pictures


def render(out: Path, metrics: list[dict[str, Any]]) -> str:
    """Make the page.

    Parameters
    ----------
    out : Path
        Run folder.
    metrics : list of dict
        Rows of `galhelpers.course.results.collect_metrics`.
    """
    from galhelpers.published import PublishedError, load_published

    state = State.load(out)
    runs, problems = list(state.runs.values()), [state.problem] if state.problem else []
    try:
        published = load_published()
    except PublishedError as error:
        published = {}
        problems.append(f"No published values stand here. {public(error)}")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("galhelpers.course", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, gigabytes=gigabytes, number=number)
    return environment.get_template("report.html").render(
        runs=runs,
        problems=problems,
        status=STATUS,
        evidence=EVIDENCE,
        total_seconds=sum(run.seconds for run in runs),
        notebooks={run.name: link(run, out) for run in runs},
        rows=[compare(metric, published) for metric in metrics],
        machines=distinct(runs, "machine"),
        versions=distinct(runs, "versions"),
        pictures=collect_pictures(out),
        checkpoints=sorted(
            file.name
            for file in (out / "checkpoints").glob("[!.]*.safetensors")
            if file.name.isprintable()  # else it cannot be written as UTF-8
        ),
    )


def link(run: NotebookRun, out: Path) -> str:
    """Link to the executed notebook, relative to the page; empty when there is none."""
    return executed(run.name) if (out / executed(run.name)).is_file() else ""


def compare(metric: dict[str, Any], published: "dict[str, PublishedValue]") -> dict[str, Any]:
    """Put a measured metric beside the published value it names."""
    row = {key: metric.get(key) for key in ("notebook", "name", "value", "n", "dataset", "profile")}
    row["uncertainty"] = uncertainty(metric)
    row["seed"], row["unit"] = metric.get("seed"), metric.get("unit") or ""
    wanted = metric.get("published")
    row["published"] = None
    if wanted and wanted in published:
        row["published"] = published[wanted].model_dump()
    elif wanted:
        row["published"] = {
            "value": None,
            "spread": None,
            "n": None,
            "work": "",
            "metric": "",
            "evidence": "",
            "dataset": "",
            "source": "",
            "caveat": f"published.yaml has no entry {wanted!r}.",
        }
    return row


def uncertainty(metric: dict[str, Any]) -> str:
    """Say how sure a metric is: an interval where there is one, else the spread over seeds."""
    low, high, spread = metric.get("low"), metric.get("high"), metric.get("spread")
    words = []
    if low is not None and high is not None:
        words.append(f"{number(low)} to {number(high)}")
    if spread is not None:
        words.append(f"± {spread:.2g} over seeds")
    return ", ".join(words)


def distinct(runs: list[NotebookRun], what: str) -> list[tuple[dict[str, str], list[str]]]:
    """Group notebooks by the machine or the versions they ran with."""
    groups: list[tuple[dict[str, str], list[str]]] = []
    for run in runs:
        facts = getattr(run, what)
        for known, names in groups:
            if known == facts:
                names.append(run.name)
                break
        else:
            groups.append((facts, [run.name]))
    return groups


def duration(seconds: float) -> str:
    """Seconds as people say them: ``41 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def gigabytes(size: float) -> str:
    """Bytes as ``1.2 GB``; a dash when nothing was measured."""
    return f"{size / 1e9:.1f} GB" if size else "–"


def number(value: float | int | str | None) -> str:
    """Write a number with four significant digits; counts in full, words as they are."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"
    return f"{value:.4g}"
