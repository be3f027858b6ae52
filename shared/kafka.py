"""Stops Kafka's clients for certain. Their own `stop` may hang where the broker is away, or leave tasks that keep a member in its group."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.errors import describe

log = logging.getLogger("ithaca.kafka")

LEAVE_SECONDS = 4.0


async def leave(client: AIOKafkaConsumer | AIOKafkaProducer | None, stop: Callable[[], Awaitable[Any]]) -> None:
    """Have `stop` stop the client within a few seconds; whatever is left of it then, or where we are cancelled, is ended."""
    stopping = asyncio.ensure_future(stop())
    try:
        await asyncio.wait([stopping], timeout=LEAVE_SECONDS)
    finally:
        failed = not stopping.done() or stopping.cancelled() or stopping.exception() is not None
        if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
            log.warning("Kafka's client didn't stop: %s", describe(error))
        stopping.cancel()
        if failed and client is not None:
            _end(client)


def _end(client: Any) -> None:
    """Cancel the tasks of a client's parts and close its connections."""
    network = getattr(client, "_client", None) or client.client
    names = ("_coordinator", "_fetcher", "_sender", "_message_accumulator")
    parts = [network, *(part for name in names if (part := getattr(client, name, None)))]
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and any(frame.f_locals.get("self") is part for part in parts):
            task.cancel()
    for connection in list(network._conns.values()):  # noqa: SLF001 - nothing public closes them without waiting
        connection.close()
