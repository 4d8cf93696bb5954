"""Load on a model, from a process of its own.

    python -m support.http_load URL [--requests N | --until-closed] [--connections C] [--rate R] [--no-keys]

Each request has a key of its own (`x-routing-key`), and is asked once: what isn't answered 200 counts as failed. With
`--until-closed` it goes on until its standard input is closed. It ends with a line of JSON: `answered` (version to
count), `failed` (what to count), `longest_gap` (seconds between two answers of 200), `seconds`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from urllib.parse import urlsplit


class Load:
    """What is asked, and what came of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.url = options, urlsplit(options.url)
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.number = 0
        self.began = self.last = time.monotonic()
        self.gap = 0.0
        self.closed = asyncio.Event()

    def more(self) -> bool:
        return not self.closed.is_set() and (self.options.until_closed or self.number < self.options.requests)

    async def client(self) -> None:
        streams = None
        while self.more():
            self.number += 1
            number = self.number
            if self.options.rate:
                await asyncio.sleep(max(0.0, self.began + number / self.options.rate - time.monotonic()))
            try:
                streams = streams or await asyncio.open_connection(self.url.hostname, self.url.port)
                status, version, keeps = await asyncio.wait_for(self.ask(*streams, number), 10)
                if status == 200:
                    self.answered[version] += 1
                    now = time.monotonic()
                    self.gap, self.last = max(self.gap, now - self.last), now
                else:
                    self.failed[str(status)] += 1
                if not keeps:
                    streams = self.close(streams)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.failed[type(error).__name__] += 1
                streams = self.close(streams)
                await asyncio.sleep(0.02)
        self.close(streams)

    @staticmethod
    def close(streams) -> None:
        if streams:
            streams[1].close()

    async def ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> tuple[int, str, bool]:
        key = "" if self.options.no_keys else f"x-routing-key: key-{number}\r\n"
        body = b'{"instances": [{"miles": 1.5}]}'
        head = f"POST {self.url.path} HTTP/1.1\r\nhost: {self.url.netloc}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}{key}content-length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        await reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers.get("x-model-version", ""), headers.get("connection") != "close"


async def run(options: argparse.Namespace) -> None:
    load = Load(options)
    if options.until_closed:
        asyncio.get_running_loop().add_reader(sys.stdin, load.closed.set)
    await asyncio.gather(*(load.client() for _ in range(options.connections)))
    seconds = time.monotonic() - load.began
    gap = max(load.gap, time.monotonic() - load.last)
    print(json.dumps({"answered": load.answered, "failed": load.failed, "longest_gap": gap, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--until-closed", action="store_true")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--no-keys", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
