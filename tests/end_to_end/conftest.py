"""What the tests of whole flows share."""

from typing import Any

import httpx
import pytest


@pytest.fixture
async def http() -> Any:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client
