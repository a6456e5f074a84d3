import http.server
import os
import sys


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" else 404)
        self.end_headers()
        self.wfile.write(f"Hello from {sys.argv[1]}".encode())


http.server.HTTPServer(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Pages).serve_forever()
