"""A small Flask app."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "Hello from the python example\n", {"Content-Type": "text/plain"}


@app.get("/healthz")
def healthz():
    return "ok\n", {"Content-Type": "text/plain"}


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "8000")))
