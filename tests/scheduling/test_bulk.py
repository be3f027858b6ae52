"""Many reports in one batch cost a few statements, not a few for each."""

from datetime import timedelta

import asyncpg
import pytest

from services.scheduling.domain.model import Meeting, Relationship
from services.scheduling.main import build
from shared.cloudevents import Cause, Fact, Received, new_id
from shared.events import MeetingReported, PairCreated, PersonEnrolled
