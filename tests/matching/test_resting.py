"""Whoever didn't answer is matched with nobody new until they say, by the link of a mail, that they are there again."""

from datetime import timedelta
from uuid import UUID

import pytest

from shared import links
from shared.events import EndReason, PairEnded, Side
from tests.matching.conftest import until
from tests.matching.test_flow import people

pytestmark = pytest.mark.platform


async def test_a_silent_mentor_is_matched_with_nobody_until_they_are_there_again(town):
    await town.open(least_score=0, no_repeat_months=0)
    await town.send(*people(town, mentors=1, mentees=2)[:2])
    async with town.running() as client:
        assert (await town.match(client, {"people": 2, "revisions": 2}))["pairs"] == 1
        pair = (await town.told("PairCreated"))[0]
        ids = {m["role"]: UUID(m["person_id"]) for m in pair["members"]}
        over = PairEnded(
            relationship_id=UUID(pair["relationship_id"]), program=town.program, reason=EndReason.silent, side=Side.mentor,
            rematch_first=(ids["mentee"],), unanswered_by=ids["mentor"],
        )  # fmt: skip
        await town.send(over)
        away = "select unavailable from matching.people where id = $1"
        assert await until(lambda: town.see.fetchval(away, ids["mentor"])) == [town.program]
        assert await town.see.fetchval(away, ids["mentee"]) == []
        assert (await town.match(client))["pairs"] == 0

        link = links.mint(
            "again",
            links.wishes_id(town.program, ids["mentor"]),
            ids["mentor"],
            1,
            town.service().database.clock.now() + timedelta(days=9),
        )
        url = link.url("", town.stage.link_secret)
        page = {"Accept": "text/html"}
        assert "Are you there again?" in (await client.get(url, headers=page)).text
        assert await town.see.fetchval(away, ids["mentor"]) == [town.program], "looking changes nothing"
        for _ in range(2):
            assert (await client.post(url, headers=page)).status_code == 303
        assert "You are in" in (await client.get(url, headers=page)).text
        assert (await client.get(url.replace("v=1", "v=2"), headers=page)).status_code == 403
        assert (await town.match(client))["pairs"] == 1
