from importlib.metadata import version

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def index():
    return {"message": f"Hello from uv, greeter {version('greeter')}"}


@app.get("/healthz")
def healthz():
    return {}
