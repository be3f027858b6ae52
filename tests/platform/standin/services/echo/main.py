"""A service that does nothing: it shows its environment, and dies or wavers on request."""

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Pages(BaseHTTPRequestHandler):
    """`/health/ready` is 200; `/env` is the environment; `/die` ends the process."""

    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(7)
        body = json.dumps(dict(os.environ) if self.path == "/env" else {"status": "ok"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
host, port = os.environ["ITHACA_HTTP"].split(":")
print("echo listens", flush=True)
ThreadingHTTPServer((host, int(port)), Pages).serve_forever()
