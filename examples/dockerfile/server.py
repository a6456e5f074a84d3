"""A server of the standard library, in a repository that brings its own Dockerfile."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {"/": b"Hello from the dockerfile example\n", "/healthz": b"ok\n"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = ANSWERS.get(self.path)
        self.send_response(200 if body else 404)
        body = body or b"not found\n"
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
