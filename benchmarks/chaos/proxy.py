"""A TCP proxy between the services and Kafka or PostgreSQL, in a process of its own, that can be told to cut, slow or lose connections.

One line of JSON on its control port is one order: {"line": "kafka", "do": "cut"}; the answer is "ok".
"""

import argparse
import asyncio
import json
from dataclasses import dataclass, field

CHUNK = 65_536
NOTICED_SECONDS = 11.0
"""After which a server's keepalive tells it that nobody is at the other end of a lost connection."""


@dataclass(eq=False)
class Pipe:
    """One client's connection and ours to the server behind."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lost: bool = False
    """What either side sends is gone, and neither is told."""

    def abort(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()

    def lose(self) -> None:
        self.lost = True
        asyncio.get_running_loop().call_later(NOTICED_SECONDS, self.server.transport.abort)


@dataclass
class Line:
    """A port of ours and the server's behind it."""

    port: int
    target: int
    delay: float = 0.0
    """Seconds that each chunk takes, either way."""
    pipes: set[Pipe] = field(default_factory=set)

    async def open(self) -> None:
        await asyncio.start_server(self.accept, "127.0.0.1", self.port, backlog=500)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pipe = Pipe(writer, to_server)
        self.pipes.add(pipe)
        try:
            await asyncio.gather(self.pump(reader, to_server, pipe), self.pump(behind, writer, pipe))
        finally:
            self.pipes.discard(pipe)
            pipe.abort()

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pipe: Pipe) -> None:
        """Pass on what comes, until one side ends. The end of a lost connection is lost as well, and the client's ends ours."""
        try:
            while data := await source.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not pipe.lost:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        if not pipe.lost:
            sink.close()

    def order(self, what: str, value: float) -> None:
        if what == "slow":
            self.delay = value
        for pipe in list(self.pipes):
            if what == "cut":
                pipe.abort()
            elif what == "lose":
                pipe.lose()


async def run(lines: dict[str, Line], control: int) -> None:
    """Serve until we are killed."""

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        lines[order["line"]].order(order["do"], order.get("value", 0.0))
        writer.write(b"ok\n")
        writer.close()

    for line in lines.values():
        await line.open()
    async with await asyncio.start_server(obey, "127.0.0.1", control) as server:
        await server.serve_forever()


async def tell(control: int, line: str, do: str, value: float = 0.0) -> None:
    """Have the proxy do this to a line: `cut`, `lose` (half-open), or `slow` by so many seconds a chunk."""
    reader, writer = await asyncio.open_connection("127.0.0.1", control)
    try:
        writer.write(json.dumps({"line": line, "do": do, "value": value}).encode() + b"\n")
        answer = await reader.readline()
    finally:
        writer.close()
    if answer != b"ok\n":
        raise OSError(f"the proxy didn't {do} {line}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--control", type=int, required=True)
    options.add_argument("lines", nargs="+", help="name:port:target")
    given = options.parse_args()
    parts = [word.split(":") for word in given.lines]
    asyncio.run(run({name: Line(int(port), int(target)) for name, port, target in parts}, given.control))
