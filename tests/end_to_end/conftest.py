"""What the tests of whole flows share: who calls, and who looks at pages and mails in a browser."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, async_playwright

from deploy.local.platform import Platform
from shared.events import SERVICES
from tests.end_to_end.looking import Hands, phone
from tests.end_to_end.scene import Program

MISSING = "no Chromium here: apt install chromium, or .ithaca/venv/bin/playwright install chromium"


@pytest.fixture
async def http() -> Any:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The machine's Chromium, or the one that Playwright has installed. The async API: the sync one forbids other tests their loop."""
    async with async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip(MISSING)
        running = await playwright.chromium.launch(executable_path=path)
        yield running
        await running.close()


@pytest.fixture(scope="module")
def platform_with_people(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """What pages and mails need; after the browser, without which nothing is started."""
    services = [name for name in SERVICES if name != "analytics"]
    with Platform(tmp_path_factory.mktemp("pages"), services=services, zipkin=False) as platform:
        yield platform


@pytest.fixture(scope="module")
async def eyes(browser: Browser) -> AsyncIterator[Page]:
    """A phone that looks at one page after another."""
    context = await phone(browser, reduced_motion="reduce")
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def hands(browser: Browser) -> AsyncIterator[Hands]:
    context = await phone(browser, java_script_enabled=False)
    yield Hands(await context.new_page())
    await context.close()


@pytest.fixture(scope="module")
async def mails(program: Program) -> dict[str, list[dict[str, Any]]]:
    """Every mail that came so far, by its kind."""
    mailbox, http = program.platform.addresses["mailbox"], program.story.http
    found: dict[str, list[dict[str, Any]]] = {}
    for one in (await http.get(f"{mailbox}/api/messages")).json():
        mail = (await http.get(f"{mailbox}/api/messages/{one['id']}")).json()
        found.setdefault(mail["headers"]["Feedback-ID"][0].partition(":")[0], []).append(mail)
    return found
