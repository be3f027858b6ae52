"""What chaos itself relies on: the proxy that cuts and loses connections, and the order in which records are sent again."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from benchmarks.chaos.faults import shuffled_across_keys
from benchmarks.chaos.proxy import Line


@dataclass(frozen=True)
class Record:
    key: bytes
    offset: int


def test_records_sent_again_keep_the_order_of_each_key_and_no_other():
    records = [Record(b"abc"[n % 3 : n % 3 + 1], n) for n in range(60)]
    again = shuffled_across_keys(records, random.Random(1))
    assert sorted(again, key=lambda record: record.offset) == records
    assert again != records
    for key in (b"a", b"b", b"c"):
        offsets = [record.offset for record in again if record.key == key]
        assert offsets == sorted(offsets)


@asynccontextmanager
async def echo_behind_a_line() -> AsyncIterator[tuple[Line, int]]:
    """A server that sends back what it hears, and a line before it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        line = Line(0, server.sockets[0].getsockname()[1])
        async with await asyncio.start_server(line.accept, "127.0.0.1", 0) as front:
            yield line, front.sockets[0].getsockname()[1]
            line.order("cut", 0.0)


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: bytes) -> bytes:
    writer.write(word)
    async with asyncio.timeout(0.5):
        return await reader.readexactly(len(word))


async def test_a_cut_line_resets_its_connections_and_takes_new_ones():
    async with echo_behind_a_line() as (line, port):
        before = await asyncio.open_connection("127.0.0.1", port)
        assert await said(*before, b"one") == b"one"
        line.order("cut", 0.0)
        with pytest.raises((ConnectionError, EOFError)):
            await said(*before, b"two")
        after = await asyncio.open_connection("127.0.0.1", port)
        assert await said(*after, b"three") == b"three"


async def test_a_lost_connection_swallows_what_is_said_and_tells_nobody():
    async with echo_behind_a_line() as (line, port):
        lost = await asyncio.open_connection("127.0.0.1", port)
        assert await said(*lost, b"one") == b"one"
        line.order("lose", 0.0)
        with pytest.raises(TimeoutError):
            await said(*lost, b"two")
        other = await asyncio.open_connection("127.0.0.1", port)
        assert await said(*other, b"three") == b"three"
