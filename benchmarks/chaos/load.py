"""Load from outside, through public ways only: partners post events, people click links, time passes. All of it is tried again
until it is answered, with the same ids; what was answered stands in the ledger.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import httpx
import orjson

from benchmarks.chaos.ledger import Ledger, Pair
from benchmarks.chaos.outside import address, go_to, health
from benchmarks.chaos.pace import Pace
from deploy.demo.outside import LINK, SLOT
from deploy.local.platform import Platform
from shared import links

OWNER, MEMBER = "alder", "birch"
PATIENCE = 180.0
DAYS = range(7)
SKILLS = ("cloud", "leadership", "python", "product", "writing", "statistics")
NOTED = 0.2
"""Seconds from which a wait is written down."""
LETTERBOXES = 3
"""Every so many people have a mail address."""


@dataclass
class Calls:
    """How those outside were answered."""

    answered: int = 0
    tries: int = 0
    waits: list[tuple[float, float, str]] = field(default_factory=list)
    """Of calls that waited: from when to when (`time.time()`), and what was asked."""

    @property
    def stall(self) -> tuple[float, str]:
        """The longest that anyone waited for an answer, and for which."""
        return max(((end - began, what) for began, end, what in self.waits), default=(0.0, ""))


@dataclass
class Load:
    """Two organizations, a program that they share, its people and its pairs."""

    platform: Platform
    http: httpx.AsyncClient
    rng: random.Random
    pace: Pace | None = None
    """By which this load keeps step with faults."""
    patience: float = PATIENCE
    """Seconds after which an answer is taken for lost."""
    ledger: Ledger = field(default_factory=Ledger)
    first: int = 0
    """The number of its first person."""
    matching: Callable[[], Coroutine[Any, Any, None]] | None = None
    """What is to happen while the match is made."""
    copies: dict[str, int] = field(default_factory=dict)
    """Per service: the one copy to ask; any of the two where it isn't named."""
    keys: dict[str, str] = field(default_factory=dict)
    own_ids: dict[str, str] = field(default_factory=dict)
    calls: Calls = field(default_factory=Calls)

    @property
    def owned(self) -> str:
        """The program as everyone but its owner names it."""
        return f"{OWNER}.{self.ledger.program}"

    def another(self, program: str, first: int) -> "Load":
        """The same organizations' next program, with people and a ledger of its own."""
        return replace(self, ledger=Ledger(program), first=first, own_ids={})

    # ---- ways in -------------------------------------------------------------------------------------------------------

    def copy(self, service: str) -> str:
        """The address of one of a service's copies: an ingress would choose as blindly."""
        return address(self.platform, f"{service}-{self.copies.get(service) or self.rng.randint(1, 2)}")

    async def ask(
        self, method: str, where: str, path: str, *, key: str = "", learning: bool = False, **more: Any
    ) -> httpx.Response:
        """One call, made again until it is answered; `learning`: where a service may not know the key or the thing yet.

        `where` is a service, any copy of which will do, or an address.
        """
        began = time.time()
        headers = ({"Authorization": f"Bearer {key}"} if key else {}) | more.pop("headers", {})
        while True:
            self.calls.tries += 1
            answer: httpx.Response | None = None
            try:
                base = where if "://" in where else self.copy(where)
                answer = await self.http.request(method, f"{base}{path}", headers=headers, **more)
            except httpx.TransportError:
                pass
            again = {429, 401, 404} if learning else {429}
            if answer is not None and answer.status_code < 500 and answer.status_code not in again:
                self.calls.answered += 1
                if (now := time.time()) - began > NOTED:
                    self.calls.waits.append((began, now, f"{method} {path.partition('?')[0].rpartition('/')[0]} at {where}"))
                return answer
            assert time.time() - began < self.patience, (
                f"{method} {where} {path.split('?', maxsplit=1)[0]}: {answer and (answer.status_code, answer.text[:300])}"
            )
            await asyncio.sleep(0.1)

    async def json(self, method: str, where: str, path: str, **more: Any) -> Any:
        answer = await self.ask(method, where, path, **more)
        assert answer.is_success, f"{method} {where} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    async def post(self, organization: str, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """A batch of a partner's; the result of each event, all of which must have been taken, now or before."""
        for _ in range(int(self.patience / 0.1)):
            answer = await self.ask(
                "POST", "gateway", "/v1/events", key=self.keys[organization], content=orjson.dumps(events),
                headers={"Content-Type": "application/cloudevents-batch+json"},
            )  # fmt: skip
            if b'"in_the_future"' not in answer.content:
                break
            await asyncio.sleep(0.1)  # a copy that was just started again hasn't heard yet how far we moved its clock
        assert answer.is_success, f"{answer.status_code} {answer.text[:500]}"
        results: list[dict[str, Any]] = answer.json()["results"]
        bad = [result for result in results if result["status"] not in {"accepted", "duplicate"}]
        assert not bad, f"refused: {bad[:3]}"
        return results

    def event(self, organization: str, own_id: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"specversion": "1.0", "id": own_id, "source": f"/{organization}/hr", "type": f"ithaca.{kind}", "data": data}

    def link(self, action: str, thing: str, person: str, version: int) -> str:
        """A link as a mail has it, without its service's address."""
        minted = links.mint(action, UUID(thing), UUID(person), version, self.opened + timedelta(days=90))
        return minted.url("", self.platform.secrets.link_secret)

    async def click(self, service: str, path: str, **form: str) -> None:
        """Send a page's form. A link that was used before shows the same."""
        answer = await self.ask("POST", service, path, data=form, learning=True)
        assert answer.status_code == 303, f"{path.split('?', maxsplit=1)[0]}: {answer.status_code} {answer.text[:300]}"

    async def step(self, begin: float, end: float, n: int, of: int) -> None:
        """The n-th of so many steps between two shares of the whole load is about to begin."""
        if self.pace is not None:
            await self.pace.keep_up(begin + (end - begin) * n / of)

    # ---- time ----------------------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        return await self.go_to(None)

    async def go_to(self, moment: datetime | None) -> datetime:
        """Let the platform's time pass until then, or only ask for it.

        Each copy that may be asked hears of it first: one that was cut off meanwhile would still take the meeting for one to come, and
        only here does time jump by days.
        """
        before = await go_to(self.platform.addresses["postgres"], moment)
        if moment is not None and moment > before:
            await asyncio.gather(
                *(
                    self.knows_time(f"{name}-{n}", moment)
                    for name, many in self.platform.copies.items()
                    for n in range(1, min(many, 2) + 1)
                )
            )
        return before

    async def knows_time(self, copy: str, moment: datetime) -> None:
        async def knows() -> bool:
            told = (await health(self.http, self.platform, copy)).get("time")
            return isinstance(told, str) and datetime.fromisoformat(told) >= moment

        await self.until(f"{copy} to know the time", knows)

    # ---- the story -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Two organizations."""
        for organization, zone in ((OWNER, "Africa/Lagos"), (MEMBER, "Europe/Lisbon")):
            body = {"id": organization, "name": organization.capitalize(), "country": "PT", "time_zone": zone}
            token = self.platform.secrets.operator_token
            made = await self.json("POST", "gateway", "/v1/organizations?new_key=true", key=token, json=body)
            self.keys[organization] = made["key"]

    async def paired(self, count: int) -> list[Pair]:
        """A program is begun, and its people are matched into so many pairs."""
        await self.launch()
        await self.enrol(count)
        await self.match()
        pairs = list(self.ledger.pairs.values())
        assert len(pairs) == count
        return pairs

    async def launch(self) -> None:
        """The program that they share."""
        self.opened, program = await self.now(), self.ledger.program
        policy = {"organizations": "only_other", "agreement": {"minutes": 30, "every_weeks": 2}}
        launched = {"program": program, "name": program.capitalize(), "policy": policy}
        shared = {"program": program, "member": MEMBER, "seats": 10_000}
        await self.post(OWNER, [self.event(OWNER, f"launched-{program}", "ProgramLaunched", launched)])
        await self.post(OWNER, [self.event(OWNER, f"shared-{program}", "ProgramShared", shared)])
        await self.post(MEMBER, [self.event(MEMBER, f"joined-{program}", "ProgramJoined", {"program": self.owned})])

    async def close(self) -> None:
        """The program closes: its relationships end."""
        program = self.ledger.program
        await self.post(OWNER, [self.event(OWNER, f"closed-{program}", "ProgramClosed", {"program": program})])
        self.ledger.closed = True

    def person(self, organization: str, own_id: str) -> dict[str, Any]:
        mentor = organization == OWNER
        number = int(own_id[1:])
        skills = self.rng.sample(SKILLS, 3)
        has_address = number % LETTERBOXES == 0
        return {
            "person": own_id, "name": f"Person {own_id.upper()}", "program": self.ledger.program if mentor else self.owned,
            "role": "mentor" if mentor else "mentee", "time_zone": "Africa/Lagos" if mentor else "Europe/Lisbon",
            "languages": ["en"], "skills_offered" if mentor else "skills_wanted": skills,
            "availability": [{"weekday": day, "start": "09:00", "end": "19:00"} for day in DAYS],
        } | ({"email": f"{own_id}@{organization}.example"} if has_address else {})  # fmt: skip

    async def enrol(self, count: int, batch: int = 50) -> None:
        """So many mentors and as many mentees, and then a change of each, in order."""

        async def some(organization: str, numbers: range) -> None:
            own_ids = [f"{organization[0]}{self.first + n:04d}" for n in numbers]
            people = {own_id: self.person(organization, own_id) for own_id in own_ids}
            events = [self.event(organization, f"enrol-{o}", "PersonEnrolled", data) for o, data in people.items()]
            for own_id, result in zip(own_ids, await self.post(organization, events), strict=True):
                person = result["person"]
                self.ledger.people[person] = 1
                self.own_ids[person] = own_id
                if "email" in people[own_id]:
                    self.ledger.addresses[person] = people[own_id]["email"]
            changes = [
                self.event(organization, f"change-{o}", "ProfileChanged", {"person": o, "years_experience": n % 30})
                for n, o in enumerate(own_ids)
            ]
            for result in await self.post(organization, changes):
                self.ledger.people[result["person"]] += 1

        for n in range(0, count, batch):
            await self.step(0.0, 0.15, n, count)
            await asyncio.gather(*(some(org, range(n, min(n + batch, count))) for org in (OWNER, MEMBER)))

    async def match(self) -> None:
        """One run, and its pairs."""
        async with asyncio.TaskGroup() as group:
            disturbing = [group.create_task(self.matching())] if self.matching else []
            await self._match()
            for task in disturbing:
                task.cancel()

    async def _match(self) -> None:
        key, name = self.keys[OWNER], self.ledger.program
        program = await self.json("GET", "gateway", f"/v1/programs/{name}", key=key)
        run = await self.json(
            "POST", "matching", f"/v1/programs/{name}/match-runs", key=key, json={"after": program["roster"]},
            headers={"Idempotency-Key": f"the one run of {name}"}, learning=True,
        )  # fmt: skip
        await self.until("the match run", lambda: self.finished(run["run_id"]))
        path = f"/v1/match-runs/{run['run_id']}/pairs?limit=1000"
        for found in (await self.json("GET", "matching", path, key=key))["pairs"]:
            people = {member["role"]: member["person_id"] for member in found["members"]}
            both = people["mentor"], people["mentee"]
            own_ids = self.own_ids[both[0]], self.own_ids[both[1]]
            self.ledger.pairs[found["relationship_id"]] = Pair(found["relationship_id"], both, own_ids)

    async def finished(self, run: str) -> bool:
        """Whether this match run is over."""
        shown = await self.json("GET", "matching", f"/v1/match-runs/{run}", key=self.keys[OWNER], learning=True)
        assert shown["status"] != "failed", shown
        return bool(shown["status"] == "finished")

    async def until(self, what: str, ask: Callable[[], Awaitable[bool]]) -> None:
        end = time.monotonic() + self.patience
        while not await ask():
            assert time.monotonic() < end, f"waited {self.patience:.0f} s for {what}"
            await asyncio.sleep(0.2)

    async def sign(self, pairs: Iterable[Pair], from_mail: int = 10) -> None:
        """Everyone signs; the first few who have a letterbox by the very link that they were sent."""
        chosen = list(pairs)
        gate = asyncio.Semaphore(12)
        read = 0

        async def one(n: int, pair: Pair, person: str, by_mail: bool) -> None:
            async with gate:
                await self.step(0.15, 0.3, n, 2 * len(chosen))
                if by_mail:
                    link = await self.mailed(self.ledger.addresses[person], f"/sign/{pair.id}")
                    await self.click(link[: link.index("/sign/")], link[link.index("/sign/") :])
                else:
                    await self.click("scheduling", self.link("sign", pair.id, person, 1))

        tasks: list[Coroutine[Any, Any, None]] = []
        for pair in chosen:
            for person in pair.people:
                by_mail = person in self.ledger.addresses and read < from_mail
                read += by_mail
                tasks.append(one(len(tasks), pair, person, by_mail))
        await asyncio.gather(*tasks)

    async def mailed(self, to: str, action: str) -> str:
        """Wait for a mail to this address that has such a link."""
        found = ""

        async def there() -> bool:
            nonlocal found
            listed = await self.json("GET", self.platform.addresses["mailbox"], "/api/messages", params={"to": to})
            for mail in listed:
                whole = await self.json("GET", self.platform.addresses["mailbox"], f"/api/messages/{mail['id']}")
                found = next((unescape(link) for link in LINK.findall(whole["text"]) if action in link), found)
            return bool(found)

        await self.until(f"a mail with a link to {action.split('/')[1]}", there)
        return found

    def report(self, pair: Pair, own_id: str, held_at: datetime, organization: str = OWNER) -> dict[str, Any]:
        """A partner knows its own people by their own ids and the others by ours."""
        mine = 0 if organization == OWNER else 1
        people = [pair.own_ids[mine], pair.people[1 - mine]]
        data = {
            "program": self.ledger.program if organization == OWNER else self.owned,
            "people": people,
            "held_at": held_at.isoformat(),
            "minutes": 30,
        }
        return self.event(organization, own_id, "MeetingReported", data)

    async def report_all(self, organization: str, several: Sequence[tuple[Pair, str, datetime]]) -> None:
        """A batch of reports, in order; they stand in the ledger once they are answered."""
        events = [self.report(pair, own_id, held_at, organization) for pair, own_id, held_at in several]
        results = await self.post(organization, events)
        self.ledger.reported_at |= dict.fromkeys((result["event"] for result in results), time.time())
        for (pair, own_id, _), result in zip(several, results, strict=True):
            self.ledger.reports[pair.id].append(result["event"])
            self.ledger.own_ids[result["event"]] = own_id

    async def report_rounds(self, pairs: Sequence[Pair], rounds: range, first: datetime, organization: str = OWNER) -> None:
        """Past meetings of these pairs, one a day, in their order."""
        for number in rounds:
            await self.report_all(organization, [(p, f"met-{p.id}-{number}", first + timedelta(days=number)) for p in pairs])

    async def knows_pairs(self) -> None:
        """Wait until the gateway knows who is matched: before, it can't take reports about them."""
        for pair in self.ledger.pairs.values():
            event = orjson.dumps([self.report(pair, f"try-{pair.id}", await self.now())])

            async def taken(event: bytes = event) -> bool:
                answer = await self.ask(
                    "POST", "gateway", "/v1/events?dry_run=true", key=self.keys[OWNER], content=event,
                    headers={"Content-Type": "application/cloudevents-batch+json"},
                )  # fmt: skip
                return answer.is_success

            await self.until("the gateway to know a pair", taken)

    # ---- meetings ------------------------------------------------------------------------------------------------------

    async def relationship(self, pair: Pair) -> dict[str, Any]:
        path = f"/v1/relationships/{pair.id}"
        found: dict[str, Any] = await self.json("GET", "scheduling", path, key=self.keys[OWNER], learning=True)
        return found

    async def meetings(self, pairs: Iterable[Pair], status: str) -> dict[str, dict[str, Any]]:
        """Wait until each of these pairs has a meeting of this status, and its reports are read; relationship → meeting."""
        gate = asyncio.Semaphore(8)
        found: dict[str, dict[str, Any]] = {}

        async def one(pair: Pair) -> None:
            async def there() -> bool:
                known = await self.relationship(pair)
                meeting = next((m for m in known["meetings"] if m["status"] == status), None)
                if known["meetings_held"] < self.ledger.held(pair.id) or meeting is None:
                    return False
                found[pair.id] = meeting
                return True

            async with gate:
                await self.until(f"a meeting that is {status}", there)

        await asyncio.gather(*(one(pair) for pair in pairs))
        return found

    async def pick(self, pair: Pair, meeting: dict[str, Any]) -> None:
        """One of the two takes the last of the times that the page offers."""
        path = self.link("pick", meeting["meeting_id"], self.rng.choice(pair.people), 0)
        page = await self.ask("GET", "scheduling", path)
        slots = [one or other for one, other in SLOT.findall(page.text)]
        assert slots, re.sub(r"<[^>]+>|\s+", " ", page.text)[:300]
        await self.click("scheduling", path, slot=max(slots))

    async def we_met(self, pair: Pair, meeting: dict[str, Any]) -> None:
        path = self.link("met", meeting["meeting_id"], self.rng.choice(pair.people), 0)
        await self.click("scheduling", path, met="yes", minutes="30")
        self.ledger.clicked.add(pair.id)


def end_of(meeting: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(meeting["starts_at"]) + timedelta(minutes=meeting["minutes"])
