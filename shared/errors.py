"""The three kinds of failure: answers that a decision may give, passing trouble that is tried again, and bugs."""

import asyncio

import asyncpg


class Rejected(Exception):
    """The fact is wrong: its sender is told what and where, never the value itself.

    `code` is a word a program can act on, `text` a sentence for a person, `field` a path like `people[3].time_zone`.
    """

    def __init__(self, code: str, text: str = "", *, field: str | None = None, status: int = 422) -> None:
        super().__init__(text or code)
        self.code, self.text, self.field, self.status = code, text or code.replace("_", " "), field, status


class TryLater(Exception):
    """The world isn't ready: the event waits, in order with what follows for its key.

    `awaits` names the aggregate whose saving makes it due at once (see `work.awaited`), e.g. `Person:0198…`.
    """

    def __init__(self, awaits: str) -> None:
        super().__init__(awaits)
        self.awaits = awaits


class Unfit(Exception):
    """An event that can't be read, or that may not be emitted, and why; the text holds no values."""


class Fenced(Exception):
    """Our position isn't where the batch began: another copy owns a partition of it."""


class Raced(Exception):
    """Another transaction created the same row first: passing, the batch runs again and sees it."""


PASSING: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    Raced,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What goes away by itself. A killed backend shows as InternalClientError in about 1 % of cases."""


def passes(error: Exception) -> bool:
    """Whether trying again at once is all there is to do. A race between two that create one row shows in the next try, as a bug does."""
    return isinstance(error, PASSING) and not isinstance(error, Raced)


def describe(error: BaseException) -> str:
    """A failure in one line that holds no row's values: asyncpg's DETAIL and pydantic's inputs print them."""
    if isinstance(error, asyncpg.PostgresError):
        name = getattr(error, "constraint_name", None) or getattr(error, "column_name", None) or ""
        return f"{type(error).__name__} {error.sqlstate} {name}".strip()
    if isinstance(error, TryLater | Rejected | Unfit | Raced):
        return str(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    at = f" at {where.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{where.tb_lineno}" if where else ""
    return f"{type(error).__name__}{at}"
