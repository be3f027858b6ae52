"""One platform with all five services and a viewer of traces, on which the demo's story has been played."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.demo.story import Story
from deploy.local.platform import Platform
from deploy.local.state import State
from shared.events import SERVICES


@dataclass(frozen=True)
class Lived:
    """A platform after the story, and what the story knows."""

    platform: Platform
    story: Story
    result: dict[str, Any]
    said: list[str]


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """The story of the demo, played once a run; whoever asks for it only looks."""
    with Platform(tmp_path_factory.mktemp("lived"), services=SERVICES) as platform:
        platform.wait_for("zipkin", 120)
        said: list[str] = []
        state = State("", os.getpid(), ready=True, addresses=platform.addresses, pids=platform.pids)
        story = Story(state, platform.secrets.operator_token, lambda label, text: said.append(f"{label:9} {text}"))
        result = asyncio.run(story.play())
        yield Lived(platform, story, result, said)


@pytest.fixture
async def http() -> Any:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client
