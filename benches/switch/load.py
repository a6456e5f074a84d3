"""Constant requests to one domain: short ones at a steady rate, some that take five seconds, and open web sockets.

    load.py DOMAIN ADDRESS CA RATE STOP_FILE

Runs until STOP_FILE exists, then prints a line of JSON: how many requests of each kind there were and what failed. A web
socket that is closed with 1001 (going away) is opened again, as browsers' clients do; any other end is a failure.
"""

import asyncio
import collections
import json
import pathlib
import socket
import ssl
import sys
import time

import aiohttp
from aiohttp.abc import AbstractResolver

DOMAIN, ADDRESS, CA, RATE, STOP = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), pathlib.Path(sys.argv[5])
SLOW, SOCKETS = 5, 10


def is_over():
    """Also when whoever started us has cleaned up and gone."""
    return STOP.exists() or not STOP.parent.exists()


class Fixed(AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [{"hostname": host, "host": ADDRESS, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self):
        pass


class Load:
    def __init__(self, session):
        self.session = session
        self.counts = collections.Counter()
        self.failures = []
        self.rounds = set()
        self.times = []

    def failed(self, kind, why):
        self.failures.append(f"{time.strftime('%H:%M:%S')} {kind}: {why}")

    async def request(self, kind, path):
        began = time.monotonic()
        try:
            async with self.session.get(f"https://{DOMAIN}{path}") as answer:
                body = await answer.text()
                if answer.status != 200:
                    return self.failed(kind, f"status {answer.status}: {body[:100]}")
                self.rounds.add(body)
                self.counts[kind] += 1
                self.times.append(time.monotonic() - began)
        except Exception as e:  # whatever it is, a visitor has seen a failure
            self.failed(kind, repr(e))

    async def steady(self):
        """One request every 1/RATE seconds, however long the others take."""
        running, began, sent = set(), time.monotonic(), 0
        while not is_over():
            while sent < (time.monotonic() - began) * RATE:
                task = asyncio.create_task(self.request("short", "/"))
                running.add(task)
                task.add_done_callback(running.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*running)
        self.counts["seconds"] = round(time.monotonic() - began)

    async def slow(self):
        while not is_over():
            await self.request("slow", "/slow")

    async def socket(self, number):
        while not is_over():
            try:
                async with self.session.ws_connect(f"wss://{DOMAIN}/socket", timeout=aiohttp.ClientWSTimeout(ws_close=5)) as ws:
                    self.counts["sockets opened"] += 1
                    await self.talk(ws, number)
            except Exception as e:
                self.failed("socket", repr(e))

    async def talk(self, ws, number):
        said = 0
        while not is_over():
            text = f"{number} {said}"
            try:
                await ws.send_str(text)
                message = await ws.receive(timeout=10)
            except ConnectionResetError:
                # Closed while we were about to speak: what was said is not lost, it was not sent.
                message = aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, ws.close_code, None)
            if message.type == aiohttp.WSMsgType.TEXT:
                if message.data != text:
                    return self.failed("socket", f"{message.data!r} in answer to {text!r}")
                said += 1
                self.counts["socket messages"] += 1
                await asyncio.sleep(0.3)
                continue
            if ws.close_code == 1001:
                self.counts["sockets told to go"] += 1
                return
            return self.failed("socket", f"ended with {ws.close_code} {message.type}")


async def main():
    context = ssl.create_default_context(cafile=CA)
    # So many visitors' connections; a request that finds none free waits, and its wait counts.
    connector = aiohttp.TCPConnector(resolver=Fixed(), ssl=context, limit=100, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        load = Load(session)
        workers = [load.steady()] + [load.slow() for _ in range(SLOW)] + [load.socket(n) for n in range(SOCKETS)]
        await asyncio.gather(*workers)
    counts = dict(load.counts)
    times = sorted(load.times)
    counts["requests per second"] = round(counts.get("short", 0) / max(counts["seconds"], 1))
    counts["releases seen"] = len(load.rounds)
    counts["short p99 ms"] = round(1000 * times[int(len(times) * 0.99) - 1]) if times else None
    print(json.dumps({"counts": counts, "failed": len(load.failures), "failures": load.failures[:20]}))


asyncio.run(main())
