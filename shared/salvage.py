"""Reads records whose headers have names that aren't UTF-8: aiokafka raises for the whole batch, and would for ever."""

import logging
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

log = logging.getLogger("ithaca.consumer")


class _Bytes(bytearray):
    """A buffer whose slices are decoded whatever they hold."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return _Bytes(part) if isinstance(at, slice) else part

    def decode(self, *_: Any, **__: Any) -> str:
        return bytes(self).decode(errors="replace")


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def __iter__(self) -> "_Batch":
        self._maybe_uncompress()
        self._buffer: bytearray = _Bytes(self._buffer)
        return self


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self) -> object:
        part = self._next_slice
        batch = super().next_batch()
        return _Batch(part) if isinstance(batch, DefaultRecordBatch) else batch


def tolerate() -> None:
    """From now on this process reads with the slower, tolerant reader."""
    if fetcher.MemoryRecords is not _Records:
        log.error("a header's name isn't UTF-8: reading goes on, slower, until this copy is started again")
        fetcher.MemoryRecords = _Records
