"""A real JupyterLab in a real Chromium, for tests that use notebooks as a reader does.

``open_lab(folder)`` serves a folder and gives a :class:`LabPage`. Nothing here waits without a
limit; no setting of the user's own Jupyter is read or changed; nothing may leave the machine.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class LabServer:
    """``jupyter lab`` on a free port of 127.0.0.1, with this interpreter as its only kernel."""

    def __init__(self, folder: Path, home: Path, environment: dict[str, str] | None = None):
        spec = home / "share" / "kernels" / "python3"
        settings = home / "config" / "labconfig"
        for path in (spec, settings, home / "ipython"):
            path.mkdir(parents=True)
        (spec / "kernel.json").write_text(
            json.dumps(
                {
                    "argv": [
                        sys.executable, "-m", "ipykernel_launcher",
                        "--IPKernelApp.log_level=40", "-f", "{connection_file}",
                    ],
                    "display_name": "Python 3",
                    "language": "python",
                }
            )
        )  # fmt: skip
        # What `jupyter labextension disable --level=user` writes: without it, news pop up.
        (settings / "page_config.json").write_text(
            json.dumps(
                {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
            )
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = home / "server.log"
        env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        env |= {
            "JUPYTER_PATH": str(home / "share"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "IPYTHONDIR": str(home / "ipython"),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), env.get("PYTHONPATH")))),
        }
        env.pop("MPLBACKEND", None)
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
            "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
            "--IdentityProvider.token=", "--ServerApp.password=", "--expose-app-in-browser",
            f"--ServerApp.root_dir={folder}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=env | (environment or {}), cwd=folder, stdout=log, stderr=log
            )
        self._wait_until_up(timeout=90)

    def _wait_until_up(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api/status", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        log = self.log.read_text()[-3000:]
        self.stop()
        raise RuntimeError(
            f"JupyterLab did not answer within {timeout:.0f} s. Its log ends:\n{log}"
        )

    def stop(self) -> None:
        """Stop the server and every kernel it started."""
        if self.process.poll() is not None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()  # the server shuts its kernels down
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
        for child in psutil.wait_procs(children, timeout=5)[1]:
            child.kill()


class LabPage:
    """A browser page with JupyterLab in it. Times are in seconds."""

    def __init__(self, page: Any, server: LabServer):
        self.page = page
        self.server = server
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(30_000)
        page.set_default_navigation_timeout(60_000)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda websocket: self.requests.append(websocket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type == "error" else None,
        )

    def evaluate(self, script: str, argument: Any = None, timeout: float = 30) -> Any:
        """Run an async JavaScript body (``argument`` is its input) and give what it returns."""
        return self.page.evaluate(
            """([body, argument, limit]) => Promise.race([
                 new (async () => {}).constructor("argument", body)(argument),
                 new Promise((_, fail) => setTimeout(
                   () => fail(new Error(`no answer in ${limit} s: ${body}`)), limit * 1000)),
               ])""",
            [script, argument, timeout],
        )

    def open_notebook(self, name: str, timeout: float = 90) -> None:
        """Open (or reload) a notebook and wait until its kernel takes orders.

        Cells run as soon as the notebook is merely visible sometimes hang, hence the long list.
        """
        self.page.goto(f"{self.server.url}/lab/tree/{quote(name)}?reset")
        self.page.wait_for_selector(
            ".jp-Notebook-ExecutionIndicator[data-status='idle']",
            timeout=timeout * 1000,
            state="attached",
        )
        self.evaluate(
            """await jupyterapp.restored;
               const panel = jupyterapp.shell.currentWidget;
               await panel.context.ready;
               await panel.sessionContext.ready;
               await panel.sessionContext.session.kernel.info;
               await panel.revealed;""",
            timeout=timeout,
        )

    def run_all(self, timeout: float = 180) -> None:
        """Clear all outputs, run all cells, and wait until every code cell has run."""
        # Only once cleared does an execution count prove that a cell has run now.
        self.evaluate(
            "await jupyterapp.commands.execute('notebook:clear-all-cell-outputs');", timeout=30
        )
        # Not awaited: its promise can resolve while the last cell still runs.
        self.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells');")
        end = time.monotonic() + timeout
        while True:
            cells = self.cells()
            for i, cell in enumerate(cells):
                for output in cell["outputs"]:
                    if output["output_type"] == "error":
                        raise AssertionError(f"cell {i}: {output['ename']}: {output['evalue']}")
            waiting = [i for i, cell in enumerate(cells) if not cell["finished"]]
            if not waiting:
                return
            if time.monotonic() > end:
                raise AssertionError(f"cells {waiting} have not run after {timeout:.0f} s")
            self.page.wait_for_timeout(200)

    def cells(self) -> list[dict[str, Any]]:
        """Give type, source, outputs and state of each cell of the open notebook."""
        return self.evaluate(
            """const panel = jupyterapp.shell.currentWidget;
               return panel.content.widgets.map(({model}) => {
                 const code = model.type === "code";
                 const source = model.sharedModel.getSource();
                 return {
                   type: model.type, source,
                   outputs: code ? model.outputs.toJSON() : [],
                   finished: !code || !source.trim() ||
                     (model.executionCount !== null && model.executionState !== "running"),
                 };
               });"""
        )

    def save(self) -> None:
        """Save the open notebook."""
        self.evaluate("await jupyterapp.shell.currentWidget.context.save();")

    def foreign_requests(self) -> list[str]:
        """Addresses asked for that are not on this machine's own server."""
        local = urlsplit(self.server.url).netloc
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != local
        ]

    def check_clean(self) -> None:
        """Fail if a request left the machine or the page reported an error."""
        assert self.requests, "the page asked for nothing: it was never opened"
        assert not self.foreign_requests()
        assert not self.errors


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Chromium's path; the test skips where there is none."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no Chromium on PATH (looked for {', '.join(CHROMIUM_NAMES)})")


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    """A headless Chromium; a module at a time, since Playwright occupies the asyncio loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=chromium_path, args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_lab(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LabPage]]:
    """``open_lab(folder, environment=None)``: serve a folder and give an empty page for it.

    At the end of the test each page must be clean: see :meth:`LabPage.check_clean`.
    """
    pages: list[LabPage] = []
    with ExitStack() as stack:

        def start(folder: Path, environment: dict[str, str] | None = None) -> LabPage:
            server = LabServer(folder, tmp_path_factory.mktemp("jupyter"), environment)
            stack.callback(server.stop)
            context = browser.new_context(viewport={"width": 1300, "height": 900})
            stack.callback(context.close)
            pages.append(LabPage(context.new_page(), server))
            return pages[-1]

        yield start
    for page in pages:
        page.check_clean()
