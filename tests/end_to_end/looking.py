"""Looking at a page as people do: on a phone, in light and dark, with axe; and with a keyboard alone, without JavaScript."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Locator, Page

PHONE = 360
"""CSS pixels: the narrowest phones that are still common."""
DESKTOP = 1280
PICTURES = os.environ.get("ITHACA_PICTURES", "")
"""The folder of the documents' pictures, where they are to be made anew."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}, "resultTypes": ["violations"]}
"""What can be otherwise in the dark."""


async def phone(browser: Browser, **more: Any) -> BrowserContext:
    context = await browser.new_context(viewport={"width": PHONE, "height": 740}, **more)
    context.set_default_timeout(15_000)  # ms
    return context


async def look(eyes: Page, url: str, status: int = 200, picture: str = "") -> None:
    """The page is as it should be for whoever sees it, in light and in dark, on a phone. Where `PICTURES` is, a picture of it is kept there."""
    answer = await eyes.goto(url)
    assert answer is not None
    assert answer.status == status
    faults = await faults_of(eyes)
    assert not faults, "\n".join([url, *faults])
    for scheme in SCHEMES if picture and PICTURES else ():
        await eyes.emulate_media(color_scheme=scheme)
        await eyes.screenshot(path=Path(PICTURES) / f"{picture}-{scheme}.png", full_page=True)


async def wide(eyes: Page, url: str, picture: str) -> None:
    """And on a desktop: nothing lies beyond the window, and axe finds nothing."""
    await eyes.set_viewport_size({"width": DESKTOP, "height": 900})
    await eyes.goto(url)
    assert await eyes.evaluate("document.documentElement.scrollWidth") <= DESKTOP
    said = told("desktop", (await Axe().run(eyes, options=RULES)).response)
    assert not said, "\n".join([url, *said])
    for scheme in SCHEMES if PICTURES else ():
        await eyes.emulate_media(color_scheme=scheme)
        await eyes.screenshot(path=Path(PICTURES) / f"{picture}-wide-{scheme}.png", full_page=True)
    await eyes.set_viewport_size({"width": PHONE, "height": 740})


async def faults_of(page: Page) -> list[str]:
    """What axe says of an open page, and what it doesn't look for."""
    await page.emulate_media(color_scheme="light")
    said = told("light", (await Axe().run(page, options=RULES)).response)
    await page.emulate_media(color_scheme="dark")
    said += told("dark", await page.evaluate("options => axe.run(options)", COLOURS))
    width = await page.evaluate("document.documentElement.scrollWidth")
    headings = await page.locator("h1").count()
    language = await page.locator("html").get_attribute("lang")
    ground = await page.evaluate("getComputedStyle(document.querySelector('.ground') || document.body).backgroundColor")
    wrong = {
        f"{width} pixels wide": width > PHONE,
        f"{headings} headings": headings != 1,
        "no title": not (await page.title()).partition("·")[0].strip(),
        f"language {language}": language != "en",
        f"in the dark it is {ground}": sum(map(int, re.findall(r"\d+", ground)[:3])) > 150,
    }
    return said + [what for what, is_so in wrong.items() if is_so]


def told(scheme: str, response: dict[str, Any]) -> list[str]:
    """Axe's violations, a line for each element; it must have found something in order, or it hasn't looked."""
    assert response["passes"]
    return [
        f"{scheme}: {violation['id']} at {node['target']}: {node['html'][:120]}"
        for violation in response["violations"]
        for node in violation["nodes"]
    ]


@dataclass
class Hands:
    """Someone who has a keyboard and no mouse, and whose browser runs no JavaScript."""

    page: Page

    async def reach(self, target: Locator) -> None:
        """Tab until this has the focus, which must be seen."""
        assert await target.count() == 1, f"{await target.count()} of {target}"
        for _ in range(30):
            await self.page.keyboard.press("Tab")
            if await target.evaluate("it => it === document.activeElement"):
                outline = await target.evaluate(
                    """it => [it, it.closest('label')].filter(Boolean).map(getComputedStyle)
                        .some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)"""
                )
                assert outline, f"the focus on {target} can't be seen"
                return
        pytest.fail(f"no Tab leads to {target}")

    async def press(self, label: str, key: str = "Enter") -> None:
        """A button, by its label; returns when the page after it is there."""
        await self.reach(self.page.get_by_role("button", name=label, exact=True))
        async with self.page.expect_navigation():
            await self.page.keyboard.press(key)

    async def heading(self) -> str:
        return (await self.page.locator("h1").inner_text()).replace("\n", " ")

    async def says(self) -> str:
        return await self.page.locator("main").inner_text()


async def opened(url: str, eyes: Page, hands: Hands, status: int = 200, picture: str = "") -> None:
    """It is looked at, and lies before someone with a keyboard."""
    await look(eyes, url, status, picture)
    await hands.page.goto(url)
