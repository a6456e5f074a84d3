import os

from celery import Celery

app = Celery("tasks", broker=os.environ.get("REDIS_URL", "memory://"))


@app.task
def add(x, y):
    return x + y
