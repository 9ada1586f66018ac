"""A service and its storage: web servers on 127.0.0.1, each in a thread of its own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def start_servers(*handlers: type[BaseHTTPRequestHandler]) -> list[ThreadingHTTPServer]:
    """Start a server for each kind of handler, at a port that is free."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in handlers]
    for server in servers:
        server.daemon_threads = True
        # Visitors who leave in the middle are part of the plan.
        server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return servers


def stop_servers(servers: list[ThreadingHTTPServer]) -> None:
    """Stop them and free their ports."""
    for server in servers:
        server.shutdown()
        server.server_close()
