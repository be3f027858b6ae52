"""The gateway's chores: forgetting posted events after 30 days, and a daily record on each partition of the compacted topics."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.gateway import store
from services.gateway.domain import Key, Person, key_again, person_again
from shared.access import AccessKey
from shared.decisions import Action
from shared.events import TOPICS
from shared.service import day_bound
from shared.topics import partition_of

if TYPE_CHECKING:
    from shared.service import Service

KEPT = timedelta(days=30)
TICK_EVERY = timedelta(days=1)
LOOK_EVERY_SECONDS = 600


async def forget_intakes(service: "Service") -> None:
    """Drop posted events that are older than 30 days, by the age of their ids."""
    while True:
        while await store.forget_intakes(service.database, day_bound(wall(service) - KEPT)):
            pass
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def keep_compacting(service: "Service") -> None:
    """Once a day, by one copy: an idle partition never compacts, and would keep what erased people were."""
    while True:
        now = wall(service)
        if await store.begin_chore(service.database, "tick", now, now - TICK_EVERY):
            await tick(service)
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def wall(service: "Service") -> datetime:
    """PostgreSQL's own time: retention doesn't follow a clock that is moved."""
    return datetime.fromtimestamp(service.database.clock.wall(), UTC)


async def tick(service: "Service") -> int:
    """Write one record that stands already, in the same revision, once more to each partition that has any; how many.

    A reader knows its revision, so that it is old news to all; a partition on which nobody is has nothing to compact.
    """
    people, keys = await store.some_ids(service.database)
    of_people = {partition_of(TOPICS["people"], str(person)): person for person in people}
    of_keys = {partition_of(TOPICS["access"], key): key for key in keys}
    actions = [Action(Person, person, person_again) for person in of_people.values()]
    actions += [Action(Key, key, key_again, reads={AccessKey: [key]}) for key in of_keys.values()]
    for action in actions:
        await service.work.act(action)
    return len(actions)
