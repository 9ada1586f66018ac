"""ImageNet's weights from a server of our own that answers as the Hugging Face Hub does."""

import http.server
import threading
from types import SimpleNamespace

import huggingface_hub.constants as hub
import pytest


@pytest.fixture
def weights_hub(tmp_path, monkeypatch):
    """A hub without any file, and an empty cache: its address, files, and requests so far.

    Files are bytes by their path, such as ``/timm/NAME/resolve/main/model.safetensors``.
    """
    files, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path))
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("ETag", '"1234"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET  # noqa: N815 - the standard library asks for this name

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hub, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield SimpleNamespace(files=files, asked=asked, address=address)
    server.shutdown()
    server.server_close()
