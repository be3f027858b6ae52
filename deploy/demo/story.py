"""The demo's story, played on a running platform through its public ways only; what is printed has happened."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import orjson
from standardwebhooks.webhooks import Webhook

from deploy.demo import days, growth, sample
from deploy.demo.around import Around, Processes
from deploy.demo.days import SAYS, SILENT, end_of, moment
from deploy.demo.outside import Receiver, StoryError, click
from deploy.demo.sample import CIRCLES, CIRCLES_NAME, KESTREL, NORTHWIND, PROGRAM, PROGRAM_NAME, Employer
from deploy.local.state import State
from shared import clock
from shared.events import SERVICES

OWNED = f"{NORTHWIND.id}.{PROGRAM}"
PATIENCE = 180.0
"""Seconds for one step: a match run lets all others go first, and on a machine with much else to do it waits that long."""


@dataclass
class Ledger:
    """What the story did, counted outside the platform."""

    enrolled: int = 0
    pairs: int = 0
    held: int = 0
    missed: int = 0
    goals: int = 0
    circles: int = 0


@dataclass
class Pair:
    """One relationship as the story knows it: from the run's answer."""

    id: str
    mentor: str
    mentee: str
    reasons: list[dict[str, Any]]

    @property
    def both(self) -> tuple[str, str]:
        return self.mentor, self.mentee


@dataclass
class Story:
    """The play. `say(label, text)` prints a line."""

    state: State
    operator_token: str
    say: Callable[[str, str], None]
    around: Around | None = None
    """A platform of processes, unless told."""
    ledger: Ledger = field(default_factory=Ledger)
    keys: dict[str, str] = field(default_factory=dict)
    own_ids: dict[str, str] = field(default_factory=dict)
    """Our person id → the employer's own."""
    homes: dict[str, Employer] = field(default_factory=dict)
    rosters: dict[str, dict[str, int]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    worth: dict[str, Any] = field(default_factory=dict)
    """What came of it."""
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ground: Around = self.around or Processes(self.state)

    # -- tools

    def url(self, service: str) -> str:
        return self.state.addresses[service]

    async def call(self, method: str, service: str, path: str, key: str, **more: Any) -> Any:
        """One call with a key; a service that hasn't learned the key or the program yet is asked again."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = await self.http.request(
                method, f"{self.url(service)}{path}", headers={"Authorization": f"Bearer {key}"} | more.get("headers", {}),
                **{k: v for k, v in more.items() if k != "headers"},
            )  # fmt: skip
            if answer.status_code not in {401, 404, 503} or time.monotonic() > end:
                if answer.is_error and not (answer.status_code == 422 and "results" in answer.json()):
                    raise StoryError(f"{method} {service}{path}: {answer.status_code} {answer.text[:300]}")
                return answer.json()
            await asyncio.sleep(0.05)

    async def until(self, what: str, ask: Callable[[], Awaitable[Any]], seconds: float = PATIENCE) -> Any:
        """Ask until the answer is true."""
        end = time.monotonic() + seconds
        while True:
            answer = await ask()
            if answer:
                return answer
            if time.monotonic() > end:
                raise StoryError(f"waited {seconds:.0f} s for {what}. See: ./ithaca status, ./ithaca held list, ./ithaca logs")
            await asyncio.sleep(0.05)

    async def now(self) -> datetime:
        row = await self.db.fetchrow(clock.READ)
        assert row is not None
        return clock.EPOCH + timedelta(seconds=row["wall"] + row["ahead"])

    async def go_to(self, moment: datetime) -> None:
        """Let the platform's time pass until then; the past stays where it is."""
        ahead = moment - await self.now()
        if ahead > timedelta(0):
            await clock.move(self.db, ahead)

    async def mailed(self, people: list[str], action: str, thing: Callable[[str], str] = lambda _: "") -> dict[str, str]:
        """Wait until each of these people has a link in their mail; own id → link."""

        async def all_there() -> dict[str, str] | None:
            await self.mails.read()
            links = {p: self.mails.link(self.address(p), action, thing(p)) for p in people}
            return {p: link for p, link in links.items() if link} if all(links.values()) else None

        found: dict[str, str] = await self.until(f"{len(people)} mails with a link to {action}", all_there)
        return found

    def address(self, own_id: str) -> str:
        return f"{own_id}@{self.homes[own_id].id}.example"

    def label(self, own_id: str) -> str:
        return f"{own_id} ({self.homes[own_id].name})"

    async def summary(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.call("GET", "analytics", f"/v1/programs/{OWNED}/summary", self.keys[NORTHWIND.id])
        return answer

    async def counted(self, **wanted: int) -> dict[str, Any]:
        """Wait until analytics' counts are these."""

        async def there() -> dict[str, Any] | None:
            now = await self.summary()
            return now if all(now[k] == v for k, v in wanted.items()) else None

        try:
            found: dict[str, Any] = await self.until(f"the counts {wanted}", there)
        except StoryError as error:
            raise StoryError(f"{error}; now {await self.summary()}") from error
        return found

    # -- the play

    @asynccontextmanager
    async def staged(self) -> AsyncIterator[None]:
        """With what the play needs at hand: connections, everybody's mail, a partner's endpoint."""
        async with AsyncExitStack() as stack:
            self.http = await stack.enter_async_context(httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=20)))
            self.db = await asyncpg.connect(self.state.addresses["postgres"])
            stack.push_async_callback(self.db.close)
            self.mails = self.ground.mails(self.http)
            self.receiver = await stack.enter_async_context(Receiver(self.ground.endpoint_host))
            self.day0 = await self.now()
            yield

    async def play(self) -> dict[str, Any]:
        async with self.staged():
            began = time.monotonic()
            await self.two_employers()
            await self.people_arrive()
            await self.matched()
            await self.signed()
            await self.first_meetings()
            await growth.first_check_in(self)
            await self.second_meetings()
            await self.killed()
            await self.silence()
            await self.circles()
            await growth.grown(self)
            await self.so_far((await self.now() - self.day0).days, time.monotonic() - began)
        return self.result

    async def two_employers(self) -> None:
        for employer in (NORTHWIND, KESTREL):
            made = await self.call(
                "POST", "gateway", "/v1/organizations", self.operator_token,
                json={"id": employer.id, "name": employer.name, "country": employer.country, "time_zone": employer.time_zone},
            )  # fmt: skip
            self.keys[employer.id] = made["key"]
        launched = self.event(
            "launched", "ProgramLaunched", {"program": PROGRAM, "name": PROGRAM_NAME, "policy": {"organizations": "only_other"}}
        )
        shared = self.event("shared", "ProgramShared", {"program": PROGRAM, "member": KESTREL.id, "seats": 20})
        await self.post(NORTHWIND, [launched, shared])
        await self.post(KESTREL, [self.event("joined", "ProgramJoined", {"program": OWNED}, KESTREL)])
        hook = await self.call("POST", "notifications", "/v1/webhooks", self.keys[NORTHWIND.id], json={"url": self.receiver.url})
        self.receiver.webhook = Webhook(hook["secret"])
        self.say(
            "day 0",
            f'{NORTHWIND.name} ({NORTHWIND.city}) opens "{PROGRAM_NAME}" and invites {KESTREL.name} ({KESTREL.city}): joined',
        )

    def event(self, event_id: str, kind: str, data: dict[str, Any], employer: Employer = NORTHWIND) -> dict[str, Any]:
        return {
            "specversion": "1.0", "id": event_id, "source": f"/{employer.id}/hr", "type": f"ithaca.{kind}", "data": data,
        }  # fmt: skip

    async def post(self, employer: Employer, events: list[dict[str, Any]], **headers: str) -> dict[str, Any]:
        batch = len(events) > 1
        kind = "application/cloudevents-batch+json" if batch else "application/cloudevents+json"
        answer: dict[str, Any] = await self.call(
            "POST", "gateway", "/v1/events", self.keys[employer.id],
            content=orjson.dumps(events if batch else events[0]), headers={"Content-Type": kind} | headers,
        )  # fmt: skip
        for result, event in zip(answer["results"], events, strict=True):
            if result.get("person"):
                own = event["data"]["person"]
                self.own_ids[result["person"]], self.homes[own] = own, employer
        self.rosters |= answer.get("rosters", {})
        return answer

    async def people_arrive(self) -> None:
        everybody = sample.people()
        refused = []
        for employer in (NORTHWIND, KESTREL):
            theirs = [(n, data) for n, (home, data) in enumerate(everybody) if home is employer]
            events = [self.event(f"enrol-{data['person']}", "PersonEnrolled", data, employer) for _, data in theirs]
            answer = await self.post(employer, events)
            self.ledger.enrolled += answer["accepted"]
            refused += [
                (n, data, error)
                for (n, data), result in zip(theirs, answer["results"], strict=True)
                for error in result.get("errors", [])
            ]
        self.say("", f"{len(everybody)} people arrive as events. {self.ledger.enrolled} in, {len(refused)} refused:")
        for n, data, error in refused:
            path = error["field"].removeprefix("data.")
            self.say("", f'  people[{n}].{path} "{data.get(path, "")}": {error["detail"]}')

    async def run(self, program: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A match run of Northwind's program, once it is over, and what it found."""
        key = self.keys[NORTHWIND.id]
        after = self.rosters[f"{NORTHWIND.id}.{program}"]
        run = await self.call("POST", "matching", f"/v1/programs/{program}/match-runs", key, json={"after": after})

        async def finished() -> Any:
            now = await self.call("GET", "matching", f"/v1/match-runs/{run['run_id']}", key)
            if now["status"] == "failed":
                raise StoryError(f"the match run failed: {now['problem']}")
            return now if now["status"] == "finished" else None

        done = await self.until("the match run", finished)
        found = await self.call("GET", "matching", f"/v1/match-runs/{run['run_id']}/pairs?limit=200", key)
        return done, found["pairs"]

    async def matched(self) -> None:
        await self.go_to(self.day0 + timedelta(days=1))
        key = self.keys[NORTHWIND.id]
        done, found = await self.run(PROGRAM)
        for one in found:
            roles = {m["role"]: self.own_ids[m["person_id"]] for m in one["members"]}
            self.pairs.append(Pair(one["relationship_id"], roles["mentor"], roles["mentee"], one["reasons"]))
        self.pairs.sort(key=lambda p: p.mentee, reverse=True)
        self.ledger.pairs = len(self.pairs)
        best = (
            f"No better plan exists (gap {done['gap']})." if done["gap"] == 0 else f"The gap to the best plan is {done['gap']}."
        )
        self.say("day 1", f"Matched: {len(self.pairs)} pairs. {best}")
        first = self.pairs[0]
        self.say("", f"  mentee {self.label(first.mentee)} + mentor {self.label(first.mentor)}: {in_words(first.reasons)}")
        waiting = (await self.call("GET", "matching", f"/v1/match-runs/{done['run_id']}/waitlist?limit=200", key))["waitlist"]
        by_reason: dict[str, list[dict[str, Any]]] = {}
        for one in waiting:
            by_reason.setdefault(one["reason"], []).append(one)
        for reason, several in by_reason.items():
            names = ", ".join(sorted(self.own_ids[one["person_id"]] for one in several))
            missing = sorted({item for one in several for item in one["missing"]})
            why = f"nobody offers {', '.join(missing)}" if reason == "nobody_offers" else reason.replace("_", " ")
            self.say("", f"  Waiting: {names}: {why}")

    async def signed(self) -> None:
        await self.go_to(self.day0 + timedelta(days=2))
        members = [person for pair in self.pairs for person in pair.both]
        links = await self.mailed(members, "sign")
        await asyncio.gather(*(click(self.http, link) for link in links.values()))
        await self.counted(agreed=len(self.pairs))
        terms = (await self.call("GET", "scheduling", f"/v1/relationships/{self.pairs[0].id}", self.keys[NORTHWIND.id]))[
            "agreement"
        ]
        self.say(
            "day 2",
            f"Mail to both → both sign: every {terms['every_weeks']} weeks, {terms['minutes']} min, {terms['months']} months"
            + (", confidential" if terms["confidential"] else ""),
        )
        mentees = [pair.mentee for pair in self.pairs]
        goals = await self.mailed(mentees[: len(mentees) // 2], "goals")
        await asyncio.gather(
            *(click(self.http, link, kind="technical", text="Run my first project on my own") for link in goals.values())
        )
        self.ledger.goals = len(goals)
        picks = await self.mailed([pair.mentor for pair in self.pairs], "pick")
        await asyncio.gather(*(click(self.http, link, slot="first") for link in picks.values()))
        self.say("", f"{len(goals)} mentees set a goal; each mentor picks one of three times that suit both")
        joined = await self.post(NORTHWIND, [self.event("enrol-late", "PersonEnrolled", sample.late_joiner())])
        self.ledger.enrolled += joined["accepted"]
        self.late_event = joined["results"][0]["event"]

    async def meet(self, number: int) -> dict[str, dict[str, Any]]:
        """Time passes over everybody's meeting of this number."""
        planned = await days.meetings(self, number)
        await days.live(self, min(moment(m["starts_at"]) for m in planned.values()) - timedelta(hours=23))
        await days.live(self, max(end_of(m) for m in planned.values()) + SAYS)
        return planned

    def day_of(self, at: datetime) -> str:
        return f"day {(at - self.day0).days}"

    async def first_meetings(self) -> None:
        planned = await self.meet(1)
        await self.counted(held=self.ledger.held)
        (notes,) = (await self.mailed([self.pairs[0].mentee], "notes")).values()
        await click(self.http, notes, add="follow_up", text="Ask whether I may lead the retrospective", doer="everyone")
        at = moment(planned[self.pairs[0].id]["starts_at"])
        both = " = ".join(f"{at.astimezone(ZoneInfo(e.time_zone)):%H:%M} {e.city}" for e in (NORTHWIND, KESTREL))
        self.say(self.day_of(at), f'Met, {both} → milestone "first meeting", celebrated')

    async def second_meetings(self) -> None:
        """Nobody picks: after three days the first time that suits is taken. Two pairs stay silent."""
        await days.live(self, await self.now() + timedelta(days=3, hours=1))
        planned = await self.meet(2)
        await self.counted(held=self.ledger.held)
        silent = self.pairs[-SILENT:]
        last = max(end_of(planned[pair.id]) for pair in silent)
        await days.live(self, last + timedelta(hours=24, minutes=5))
        self.ledger.missed += len(silent)
        await self.counted(missed=self.ledger.missed)
        self.say(self.day_of(last), f'{len(silent)} pairs didn\'t say "we met". 24 h later: MeetingMissed, found by a timer')
        late = silent[0]
        meeting = planned[late.id]
        ours = {own: person for person, own in self.own_ids.items()}
        answer = await self.post(
            NORTHWIND,
            [
                self.event(
                    "met-after-all", "MeetingReported",
                    {
                        "program": PROGRAM, "people": [ours[p] for p in late.both],
                        "held_at": meeting["starts_at"], "minutes": meeting["minutes"],
                    },
                )
            ],
        )  # fmt: skip
        if answer.get("accepted") != 1:
            raise StoryError(f"the late report was refused: {answer}")
        self.ledger.missed -= 1
        self.ledger.held += 1
        await self.counted(held=self.ledger.held, missed=self.ledger.missed)
        self.say(self.day_of(await self.now()), f"{NORTHWIND.name}'s calendar reports one of the two after all: corrected")

    async def killed(self) -> None:
        """On a busy day, while people click "we met", scheduling is killed; a click that fails is made again, as people do."""
        await days.live(self, await self.now() + timedelta(days=3, hours=1))
        planned = await days.meetings(self, 3)
        busiest = max(await days.diary(self), key=len)
        ends = [end_of(meeting) for _, meeting in busiest]
        await days.live(self, min(ends))
        await self.go_to(max(ends) + SAYS)
        took = await self.kill_scheduling(await days.links_of(self, busiest))
        self.ledger.held += len(busiest)
        when = await self.now()
        await days.live(self, max(end_of(m) for m in planned.values()) + SAYS)
        now = await self.counted(held=self.ledger.held, missed=self.ledger.missed)
        lost, twice = max(0, self.ledger.held - now["held"]), max(0, now["held"] - self.ledger.held)
        self.say(self.day_of(when), f"scheduling killed (SIGKILL) mid-work → back in {took:.1f} s; lost {lost}, twice {twice}")

    async def kill_scheduling(self, links: list[str]) -> float:
        """Kill it when the first of these clicks has been answered; returns the seconds until it was ready again."""
        clicks = [asyncio.create_task(click(self.http, link, met="yes", minutes="30")) for link in links]
        await asyncio.wait(clicks, return_when=asyncio.FIRST_COMPLETED)
        began = time.monotonic()
        await self.ground.kill_scheduling()

        async def back() -> bool:
            try:
                return (await self.http.get(f"{self.url('scheduling')}/health/ready")).is_success
            except httpx.TransportError:
                return False

        await self.until("scheduling to come back", back)
        took = time.monotonic() - began
        await asyncio.gather(*clicks)
        return took

    async def silence(self) -> None:
        """A mentee hears nothing from the mentor, who is asked whether they go on, and does."""
        pair = self.pairs[-1]
        await days.live(self, await self.now() + timedelta(days=1))
        said = await click(self.http, (await self.mailed([pair.mentee], "silent"))[pair.mentee], do="ask")
        if "We have asked" not in said:
            raise StoryError("nobody was asked, though a mentee said that they hear nothing")

        async def asked() -> bool:
            await self.mails.read()
            return any("Do you go on" in subject for subject in self.mails.subjects[self.address(pair.mentor)])

        await self.until("the mentor to be asked", asked)
        await click(self.http, (await self.mailed([pair.mentor], "silent"))[pair.mentor], do="answer")
        stands = await self.call("GET", "scheduling", f"/v1/relationships/{pair.id}", self.keys[NORTHWIND.id])
        if stands["state"] != "running":
            raise StoryError(f"the mentor goes on, but it is {stands['state']}")
        self.say(self.day_of(await self.now()), "A mentee hears nothing: one tap, the mentor is asked once → one tap, they go on")

    async def circles(self) -> None:
        """Northwind's people meet their like as well, in a program of its own: nobody is senior, everyone is placed."""
        await days.live(self, await self.now() + timedelta(days=1))
        policy = {"formats": ["circle"], "least_circle_size": 4, "most_circle_size": 6}
        launched = self.event("launched-2", "ProgramLaunched", {"program": CIRCLES, "name": CIRCLES_NAME, "policy": policy})
        peers = sample.peers()
        events = [self.event(f"peer-{data['person']}", "PersonEnrolled", data) for data in peers]
        await self.post(NORTHWIND, [launched, *events])
        done, found = await self.run(CIRCLES)
        self.ledger.circles = len(found)
        *sizes, last = sorted((len(one["members"]) for one in found), reverse=True)
        seated = sum(len(one["members"]) for one in found)
        reached = done["score_total"] / max(done["score_total"] + done["gap"], 1)
        self.say(
            self.day_of(await self.now()),
            f'"{CIRCLES_NAME}": {seated} of {len(peers)} peers in circles of {", ".join(map(str, sizes))} and {last}, {reached:.0%} of the bound',
        )
        first = found[0]
        names = ", ".join(sorted(self.own_ids[member["person_id"]] for member in first["members"]))
        self.say("", f"  {names}: {in_words(first['reasons'])}")
        things = {self.own_ids[m["person_id"]]: one["relationship_id"] for one in found for m in one["members"]}
        links = await self.mailed(list(things), "sign", things.__getitem__)
        await asyncio.gather(*(click(self.http, link) for link in links.values()))
        await self.until("every circle to agree", self._agreed)

    async def _agreed(self) -> bool:
        summary = await self.call("GET", "analytics", f"/v1/programs/{NORTHWIND.id}.{CIRCLES}/summary", self.keys[NORTHWIND.id])
        return bool(summary["groups"] == summary["agreed"] == self.ledger.circles)

    # -- the end

    async def so_far(self, lived: int, took: float) -> None:
        summary = await self.counted(
            enrolled=self.ledger.enrolled, pairs=self.ledger.pairs, held=self.ledger.held, missed=self.ledger.missed,
            milestones=self.ledger.pairs + self.ledger.goals + growth.MILESTONES,
        )  # fmt: skip
        parked = await self.parked()
        mails = await self.settled_mails()
        doubled = sum(count - 1 for count in self.mails.message_ids.values())
        trace_id, services = await self.trace()
        held = "every count equals what was sent" if not doubled else f"{doubled} mails twice"
        self.say("So far", f"matched {summary['matched']}/{summary['enrolled']} · mails {mails} · held {parked} · {held}")
        self.say("", f"webhooks {len(self.receiver.events)} received, every signature right" if not self.receiver.refused else "")
        self.say("", f"{lived} days in {took:.0f} s: one day here takes {took / max(lived, 1):.2f} s")
        self.say("Look", f"mailbox  {self.url('mailbox')}")
        self.say("", f"trace    {self.ground.trace_page(trace_id)} (POST → mail, {len(services)} services)")
        self.result = {
            "pairs": summary["pairs"], "groups": self.ledger.circles, "meetings_held": summary["held"],
            "meetings_missed": summary["missed"], "milestones": summary["milestones"], "mails": mails, "parked": parked,
            "webhooks": len(self.receiver.events), "days": lived, "seconds": round(took, 1),
            "trace_id": trace_id, "trace_services": services, **self.worth,
        }  # fmt: skip
        if doubled or self.receiver.refused or not self.receiver.events:
            raise StoryError(f"{doubled} mails came twice, {self.receiver.refused} webhooks had a wrong signature")

    async def settled_mails(self) -> int:
        """How many mails came, once every delivery is sent or dropped."""

        async def idle() -> bool:
            waits = await self.db.fetchval(
                "select count(*) from notifications.deliveries where state = 'waits' and due_at <= $1", await self.now()
            )
            outbox = [await self.db.fetchval(f"select count(*) from {s}.outbox") for s in SERVICES]  # noqa: S608
            return not waits and not any(outbox)

        await self.until("the last mails", idle)
        return await self.mails.read()

    async def parked(self) -> int:
        counts = [await self.db.fetchval(f"select count(*) from {s}.held_keys") for s in SERVICES]  # noqa: S608
        return sum(counts)

    async def trace(self) -> tuple[str, list[str]]:
        """The trace of the one person who was posted alone: from the API call to the sent mail."""
        story = await self.call("GET", "analytics", f"/v1/story/{self.late_event}", self.operator_token)
        trace_id = next(line["trace"] for line in story["lines"] if line["id"] == self.late_event)

        async def spans() -> list[str] | None:
            try:
                names = await self.ground.traced(self.http, trace_id)
            except httpx.TransportError:
                return None
            return sorted(names) if names >= set(SERVICES) else None

        services = await self.until("the trace among those shown", spans, 60)
        return trace_id, [name for name in SERVICES if name in services]


def in_words(reasons: list[dict[str, Any]]) -> str:
    """`cloud, leadership; 2 free hours shared`"""
    words = []
    for reason in sorted(reasons, key=lambda reason: reason["code"] != "skills"):
        if reason["code"] == "skills":
            words.append(", ".join(reason["items"]))
        elif reason["code"] == "overlap_hours":
            words.append(f"{reason['number']:g} free hours shared")
    return "; ".join(words) or ", ".join(reason["code"].replace("_", " ") for reason in reasons)
