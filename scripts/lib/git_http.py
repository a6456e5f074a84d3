"""Git's smart HTTP protocol: one small server in front of `git http-backend`.

Usage: git_http.py ADDRESS PORT REPOSITORIES TOKENS

Reading only. A repository with a file in TOKENS asks for it as the Basic password. The
backend is a CGI program: the request goes in by environment and standard input.
"""

import base64
import hmac
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ADDRESS, PORT, REPOSITORIES, TOKENS = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
PATH = re.compile(r"^/([A-Za-z0-9][A-Za-z0-9._-]*?)(\.git)?/(info/refs|git-upload-pack)$")
TIMEOUT_S = 120


class Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT_S

    def do_GET(self):
        self.serve(b"")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self.serve(b"".join(self.chunks()))
        else:
            self.serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def chunks(self):
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def serve(self, body):
        url = urlsplit(self.path)
        match = PATH.match(url.path)
        if not match:
            return self.send_error(404)
        if not self.allowed(match[1]):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.answer(self.backend(f"/{match[1]}.git/{match[3]}", url.query, body))

    def allowed(self, name):
        wanted = TOKENS / name
        if not wanted.exists():
            return True
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return False
        return kind.lower() == "basic" and hmac.compare_digest(given, wanted.read_text())

    def backend(self, path, query, body):
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": REPOSITORIES,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(
            ["git", "http-backend"], env=environment, input=body, stdout=subprocess.PIPE, timeout=TIMEOUT_S
        )
        return done.stdout

    def answer(self, output):
        head, _, body = output.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((value for name, value in fields if name.lower() == "status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name.lower() != "status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer((ADDRESS, PORT), Handler).serve_forever()
