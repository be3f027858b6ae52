"""What a coordinator or sponsor sees of what a program is worth: on a phone, on paper, light and dark, with axe."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared import sessions
from tests.analytics.conftest import Analytics, analytics  # noqa: F401 - a fixture
from tests.analytics.grown import Grown
from tests.analytics.samples import DAY
from tests.analytics.test_worth import facts, facts_of_few
from tests.end_to_end.looking import PHONE, PICTURES, SCHEMES, look

pytestmark = pytest.mark.browser

UPPER = {"x": 0, "y": 0, "width": PHONE, "height": 1010}
"""What the documents show of a long page."""


async def signed_in(analytics: Analytics, eyes, organization: str) -> str:  # noqa: F811
    """The service's address, for a browser that is signed in for this organization."""
    header = await analytics.issue(organization, rights=("read", "coordinate"))
    expires = int((analytics.service.database.clock.now() + timedelta(hours=1)).timestamp())
    value = sessions.sealed(header["Authorization"].split("_")[1], expires, analytics.service.settings.link_secret)
    base = str(analytics.client.base_url)
    await eyes.context.add_cookies([{"name": sessions.COOKIE, "value": value, "domain": urlsplit(base).hostname, "path": "/"}])
    return base


async def test_what_it_is_worth_is_seen_by_its_coordinator(analytics: Analytics, eyes):  # noqa: F811
    grown = Grown("northwind", "kestrel", 12)
    await analytics.read(await analytics.send(facts(grown), at=DAY))
    base = await signed_in(analytics, eyes, grown.owner)
    await look(eyes, f"{base}/coordinate/worth/{grown.program}")
    said = await eyes.locator("main").inner_text()
    for words in ("Up by 1.5 among the 5 who answered", "5 people", "hours mentored", "March 2026"):
        assert words in said
    for scheme in SCHEMES if PICTURES else ():
        await eyes.emulate_media(color_scheme=scheme)
        await eyes.screenshot(path=Path(PICTURES) / f"worth-{scheme}.png", full_page=True, clip=UPPER)


async def test_of_a_program_that_has_just_begun_or_has_few_people_it_says_so(analytics: Analytics, eyes):  # noqa: F811
    begun, few = Grown("alder", "birch", 6), Grown("cedar", "dogwood", 3)
    await analytics.read(await analytics.send([*facts_of_few(begun), *facts_of_few(few)]))
    base = await signed_in(analytics, eyes, begun.owner)
    await look(eyes, f"{base}/coordinate/worth/{begun.program}")
    assert "There isn’t much to tell yet" in await eyes.locator("main").inner_text()
    base = await signed_in(analytics, eyes, few.member)
    await look(eyes, f"{base}/coordinate/worth/{few.program}")
    assert "Fewer than five of your people take part" in await eyes.locator("main").inner_text()
