"""What is fuzzed: all five services with a small program in them, so that calls and records can name what exists."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx

from benchmarks.chaos.ledger import Pair
from benchmarks.chaos.load import MEMBER, OWNER, Load
from deploy.local.platform import Platform
from shared.events import SERVICES
from shared.links import personal_id, wishes_id

MARKER = "Quillfeather"
"""Stands in every name, mail address and text that is planted; no log may hold it."""
PAIRS = 6
PAST = "2026-01-05T10:00:00Z"
RATE = "1000000/minute"


@dataclass(repr=False)
class World:
    """Where the platform runs, who may speak, and the ids that exist, by the names under which calls and events give them. hypothesis
    says what it draws from, which is no place for its secrets.
    """

    home: Path
    addresses: dict[str, str]
    link_secret: str
    keys: dict[str, str] = field(default_factory=dict)
    known: dict[str, list[str]] = field(default_factory=dict)
    spare: dict[str, list[str]] = field(default_factory=dict)
    """Those that may be deleted."""
    links: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Per action of a mail's link: what it can be about, and whose link it can be."""
    people: set[str] = field(default_factory=set)
    """Names and addresses of those who take part."""

    def log_lines(self) -> Iterator[tuple[str, str]]:
        """Every line that any part has logged, with its file's name."""
        for path in sorted((self.home / "log").glob("*.log")):
            for line in path.read_text(errors="replace").splitlines():
                yield path.name, line

    def told_in_logs(self) -> list[str]:
        """Log lines that hold a value of a person, planted or real."""
        values = {MARKER, *self.people}
        return [f"{name}: {line[:500]}" for name, line in self.log_lines() if any(value in line for value in values)]


@contextmanager
def world(home: Path) -> Iterator[World]:
    """The platform and its program, for as long as the block lasts."""
    with Platform(home, zipkin=False, services=SERVICES, extra_env={"ITHACA_RATE": RATE}) as platform:
        yield asyncio.run(furnished(platform))


async def furnished(platform: Platform) -> World:
    """Two organizations, a program of theirs, pairs that have signed, a webhook, and a key of each right."""
    async with httpx.AsyncClient(timeout=30) as http:
        load = Load(platform, http, random.Random(0), copies=dict.fromkeys(SERVICES, 1))
        await load.open()
        pairs = await load.paired(PAIRS)
        await load.sign(pairs, from_mail=0)
        met = await load.meetings(pairs, "proposed")
        owner = load.keys[OWNER]
        hook = {"url": f"{platform.addresses['mailbox']}/nowhere"}
        hooks = [await load.json("POST", "notifications", "/v1/webhooks", key=owner, json=hook, learning=True) for _ in range(2)]
        minted = {}
        for right in ("send", "read", "coordinate"):
            body = {"rights": [right]}
            minted[right] = await load.json("POST", "gateway", "/v1/keys", key=owner, json=body)
        spare = await load.json("POST", "gateway", "/v1/keys", key=owner, json={"rights": ["send"]})
        run = await load.json(
            "POST", "matching", f"/v1/programs/{load.ledger.program}/match-runs", key=owner, json={}, learning=True
        )
        await load.until("the run", lambda: load.finished(run["run_id"]))  # whoever comes now isn't matched by it
        choices, requests = await asked(load)
        invited = await named(load, *choices[-1])
        introductions = await introduced(load, pairs[:2])
        posted = f"enrol-{OWNER[0]}0000"
        event = await load.json("GET", "gateway", f"/v1/events/{posted}", key=owner)
    own_ids = sorted(load.own_ids.values())
    newcomers = [f"{MARKER}-{n}" for n in range(5)]
    people = sorted(load.own_ids)
    relationships = sorted(load.ledger.pairs)
    return World(
        platform.home,
        dict(platform.addresses),
        platform.secrets.link_secret,
        {
            "owner": owner,
            "member": load.keys[MEMBER],
            "operator": platform.secrets.operator_token,
            **{right: made["key"] for right, made in minted.items()},
        },
        {
            "program": [load.ledger.program, load.owned],
            "own_id": own_ids,
            "person": own_ids + people + newcomers,
            "person_id": people,
            "organization": [OWNER, MEMBER],
            "member": [MEMBER],
            "relationship_id": relationships,
            "meeting_id": [meeting["meeting_id"] for meeting in met.values()],
            "run_id": [run["run_id"]],
            "webhook_id": [hooks[0]["id"]],
            "url": [hook["url"]],
            "key_id": [spare["key_id"]],
            "id": [posted, event["event"]],
            "fact_id": [event["event"]],
            "name": [*own_ids, *people, *relationships, event["event"]],
            "template": ["welcome", "introduction"],
            "people": own_ids,
            "time": [PAST],
            "held_at": [PAST],
            "at": [PAST],
            "time_zone": ["Africa/Lagos", "Europe/Lisbon"],
            "country": ["NG", "PT"],
            "locale": ["en", "pt"],
            "languages": ["en", "pt"],
        },
        {"webhook_id": [hooks[1]["id"]], "key_id": [spare["key_id"]], "own_id": newcomers},
        links_of(pairs, met, people)
        | {
            "choose": choices,
            "again": choices,
            "nominate": choices,
            "mentor": choices,
            "outcome": choices,
            "request": requests,
            "invited": [invited],
            "introduced": introductions,
        }
        | {"lighter": [(str(wishes_id(load.owned, UUID(mentor))), mentor) for _, mentor in requests]}
        | {"personal": [(str(personal_id(load.owned, UUID(m), platform.secrets.link_secret)), m) for _, m in choices]},
        {json.dumps(f"Person {own_id.upper()}")[1:-1] for own_id in own_ids} | set(load.ledger.addresses.values()),
    )


ASKED = {"attribute": "gender", "answers": ["woman", "man"]}


async def asked(load: Load) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The program goes by request too: whose choices there are links to, and requests that wait, each with its mentor."""
    program, mentees, mentors = load.owned, [f"{MEMBER[0]}90{n:02}" for n in range(3)], [f"{OWNER[0]}90{n:02}" for n in range(2)]
    change = {"program": load.ledger.program, "policy": {"by_request": True, "personal_rules": [ASKED]}}
    await load.post(OWNER, [load.event(OWNER, "by-request", "ProgramChanged", change)])
    ids = {}
    for organization, own_ids in ((OWNER, mentors), (MEMBER, mentees)):
        more = {"capacity": len(mentees)} if organization == OWNER else {}
        events = [load.event(organization, f"enrol-{o}", "PersonEnrolled", load.person(organization, o) | more) for o in own_ids]
        for own_id, result in zip(own_ids, await load.post(organization, events), strict=True):
            ids[own_id] = result["person"]
    choices = [(str(wishes_id(program, UUID(ids[mentee]))), ids[mentee]) for mentee in mentees]
    for wishes, mentee in choices[:2]:
        path = load.link("choose", wishes, mentee, 1)

        async def shown(path: str = path) -> bool:
            page = await load.ask("GET", "matching", path, learning=True)
            return all(ids[mentor] in page.text for mentor in mentors)

        await load.until("mentors to choose", shown)
        await load.click(
            "matching", path, do="ask", version="0", **{f"choice-{ids[m]}": str(n) for n, m in enumerate(mentors, 1)}
        )
    listed = await load.json("GET", "matching", f"/v1/programs/{program}/requests", key=load.keys[OWNER])
    return choices, [(request["id"], request["mentor_id"]) for request in listed["requests"]]


async def named(load: Load, wishes: str, mentee: str) -> tuple[str, str]:
    """A mentee names someone nobody knows: whose link it is, and who is invited."""
    address = "someone@elsewhere.example"
    await load.click("gateway", load.link("nominate", wishes, mentee, 1), name=MARKER, email=address)
    link = await load.mailed(address, f"/invited/{mentee}")
    return mentee, parse_qs(urlsplit(link).query)["p"][0]


async def introduced(load: Load, pairs: list[Pair]) -> list[tuple[str, str]]:
    """A mentor introduces their mentee to somebody from outside: the introduction, and who may look at it."""
    found = []
    for pair in pairs:
        mentor, mentee = pair.people
        form = {"do": "introduce", "form": "1", "to": mentee, "whom": "outside", "name": MARKER, "text": MARKER}
        await load.click("scheduling", load.link("share", pair.id, mentor, 1), **form)
        page = await load.ask("GET", "scheduling", load.link("share", pair.id, mentee, 1))
        asked = page.text.partition("/introduced/")[2][:36]
        found += [(asked, person) for person in pair.people]
    return found


def links_of(pairs: list[Pair], met: dict[str, dict[str, Any]], people: list[str]) -> dict[str, list[tuple[str, str]]]:
    """One pair alone may be ended: of the others there is more to say."""
    of_pairs = [(pair.id, person) for pair in pairs for person in pair.people]
    of_meetings = [(met[pair.id]["meeting_id"], person) for pair in pairs for person in pair.people]
    own = [(person, person) for person in people]
    return {
        "sign": of_pairs,
        "edit": of_pairs,
        "renew": of_pairs,
        "reached": of_pairs,
        "touch": of_pairs,
        "silent": of_pairs,
        "concern": of_pairs,
        "goals": of_pairs,
        "skills": of_pairs,
        "notes": of_pairs,
        "group": of_pairs,
        "end": of_pairs[-2:],
        "after": of_pairs,
        "check-in": of_pairs,
        "feedback": of_pairs,
        "share": of_pairs,
        "co-mentees": of_pairs,
        "pick": of_meetings,
        "met": of_meetings,
        "where": of_meetings,
        "own": own,
        "mine": own,
        "record": own,
        "export": own,
        "preferences": own,
        "unsubscribe": own,
    }
