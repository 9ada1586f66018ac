"""Execute notebooks in place and strip what changes from run to run; or check that it is done.

Outputs are kept: they are what a reader sees on the web and what nbval compares with. Times of
execution, widget state, absolute paths and kernel details go.

    python tests/tidy_notebooks.py --execute notebooks/*.ipynb
    python tests/tidy_notebooks.py --check notebooks/*.ipynb
"""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from galhelpers.paths import atomic_write

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = {"tags", "nbgrader"}


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Strip metadata that differs between runs; number executed cells from 1; drop widget views."""
    notebook.metadata = nbformat.from_dict(METADATA)
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in cell.metadata.items() if key in CELL_METADATA}
        )
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        # Progress bars and log lines are for the one who waits, not for the page.
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        for out in cell.outputs:
            if "execution_count" in out:
                out.execution_count = cell.execution_count
            # A live widget has no meaning in a file: its text stays, its model does not.
            out.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args()
    untidy = []
    for path in options.notebooks:
        before = path.read_text(encoding="utf8")
        notebook = nbformat.reads(before, as_version=4)
        if options.execute:
            # A bar shows up only where galaxies have yet to be made.
            os.environ["TQDM_DISABLE"] = "1"
            place = {"metadata": {"path": str(path.parent)}}
            NotebookClient(
                notebook,
                timeout=600,
                resources=place,
                store_widget_state=False,
                coalesce_streams=True,
            ).execute()
        after = nbformat.writes(tidy(notebook)) + "\n"
        if after != before:
            untidy.append(path)
            if not options.check:
                with atomic_write(path) as temporary:
                    temporary.write_text(after, encoding="utf8")
    if options.check and untidy:
        print(f"Not tidy: {', '.join(map(str, untidy))}. Run make execute.", file=sys.stderr)
    return int(options.check and bool(untidy))


if __name__ == "__main__":
    sys.exit(main())
