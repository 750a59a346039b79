"""A client of websockets, for a host with python3-websockets: which of them are carried through, and which are cut.

Usage: sockets.py URL SENDS EXPECTS. Long ones stay open, each with a ping twice a second, and are opened again after
they were cut; short ones end by themselves after two seconds. SIGINT ends it, and it prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import signal
import sys
import time
from typing import Any

import websockets

URL, SENDS, EXPECTS = sys.argv[1:]
LONG = 5
SHORT_EVERY_S, SHORT_FOR_S, PING_EVERY_S, PATIENCE_S = 0.5, 2.0, 0.5, 20.0


class Report:
    def __init__(self) -> None:
        self.opened = self.pings = 0
        self.cut: list[float] = []
        # How the server has closed them: the code of its closing message, or none where it said nothing.
        self.codes: collections.Counter[str] = collections.Counter()
        self.short = self.carried = 0
        self.lost: collections.Counter[str] = collections.Counter()


async def opened(stack: contextlib.AsyncExitStack) -> Any:
    """A websocket on which the service has said what it says at the beginning."""
    connection = await stack.enter_async_context(
        websockets.connect(URL, ping_interval=None, open_timeout=PATIENCE_S, close_timeout=PATIENCE_S, proxy=None)
    )
    if SENDS:
        await connection.send(SENDS)
    first = await asyncio.wait_for(connection.recv(), PATIENCE_S)
    text = first if isinstance(first, str) else first.decode()
    if EXPECTS not in text:
        raise ValueError(f"said {text[:80]!r} first")
    return connection


async def ping(connection: Any, report: Report) -> None:
    answered = await connection.ping()
    await asyncio.wait_for(answered, PATIENCE_S)
    report.pings += 1


def kind(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:120]


async def long(report: Report, stop: asyncio.Event) -> None:
    while not stop.is_set():
        async with contextlib.AsyncExitStack() as stack:
            try:
                connection = await opened(stack)
            except Exception as error:  # whatever the reason, the user has no socket
                report.lost[f"open: {kind(error)}"] += 1
                await asyncio.sleep(PING_EVERY_S)
                continue
            report.opened += 1
            try:
                while not stop.is_set():
                    await ping(connection, report)
                    await asyncio.sleep(PING_EVERY_S)
            except websockets.ConnectionClosed as error:
                report.cut.append(time.time())
                report.codes[str(error.rcvd.code if error.rcvd else "none")] += 1
            except Exception as error:
                report.lost[f"ping: {kind(error)}"] += 1


async def short(report: Report) -> None:
    report.short += 1
    try:
        async with contextlib.AsyncExitStack() as stack:
            connection = await opened(stack)
            until = time.monotonic() + SHORT_FOR_S
            while time.monotonic() < until:
                await ping(connection, report)
                await asyncio.sleep(PING_EVERY_S)
        report.carried += 1
    except Exception as error:  # whatever the reason, the user has lost it
        report.lost[f"short: {kind(error)}"] += 1


async def main() -> None:
    report, stop = Report(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    tasks = [asyncio.ensure_future(long(report, stop)) for _number in range(LONG)]
    while not stop.is_set():
        tasks.append(asyncio.ensure_future(short(report)))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), SHORT_EVERY_S)
    await asyncio.wait(tasks, timeout=PATIENCE_S)
    print(json.dumps(vars(report)))


asyncio.run(main())
