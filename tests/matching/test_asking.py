"""By request, over real Kafka and PostgreSQL: pages behind links, the cascade, races of two copies, kills, resends, tenants."""

import asyncio
import json
import re
import sys
from collections import Counter
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest

from services.matching import store
from services.matching.domain.requests import Request
from shared import links
from shared.cloudevents import new_id
from shared.events import PersonPaused, ProgramClosed, Role
from shared.links import wishes_id
from shared.tables import Table
from tests.matching.conftest import until
from tests.matching.people import person_id, record
from tests.matching.test_survives import process
from tests.producing import send

pytestmark = pytest.mark.platform

PAGE = {"Accept": "text/html"}
SKILLS = ("sql", "go", "rust", "design", "sales")


class Asking:
    """A town whose program goes by request, with its people and their links."""

    def __init__(self, town) -> None:
        self.town, self.see = town, town.see

    def id(self, name: str) -> UUID:
        return person_id(self.town.organization, name)

    def person(self, name, role, **said):
        return record(name, role, self.town.program, **({"organization": self.town.organization} | said))

    async def begin(self, *people, **policy):
        await self.town.open(**({"by_request": True} | policy))
        await self.town.send(*people)

    async def known(self, count):
        there = "select count(*) = $2 from matching.people where programs @> array[$1::text]"
        assert await until(lambda: self.see.fetchval(there, self.town.program, count))

    def wishes(self, mentee) -> UUID:
        return wishes_id(self.town.program, self.id(mentee))

    def path(self, action, thing, who, *, days=40.0, secret=""):
        expires = datetime.now().astimezone() + timedelta(days=days)
        return links.mint(action, thing, self.id(who), 1, expires).url("", secret or self.town.stage.link_secret)

    def choose_path(self, mentee):
        return self.path("choose", self.wishes(mentee), mentee)

    async def rows(self, mentee):
        """A mentee's requests in order: (mentor, status, id)."""
        names = {self.id(name): name for name in (*(f"k{n}" for n in range(20)), "kestrel")}
        found = await self.see.fetch(
            "select mentor_id, status, id from matching.requests where mentee_id = $1 order by id", self.id(mentee)
        )
        return [(names.get(row["mentor_id"], row["mentor_id"]), row["status"], row["id"]) for row in found]

    async def states(self, mentee):
        return [(name, status) for name, status, _ in await self.rows(mentee)]

    async def open(self, mentee):
        """(mentor, request) that waits for an answer."""
        return next((name, request) for name, status, request in await self.rows(mentee) if status in ("asked", "questioned"))

    async def choose(self, client, mentee, *mentors):
        path = self.choose_path(mentee)
        version = form_version((await client.get(path)).text)
        chosen = {f"choice-{self.id(name)}": str(n) for n, name in enumerate(mentors, 1)}
        return await client.post(path, data={"do": "ask", "version": version} | chosen)

    async def answer(self, client, mentor, request, do, **more):
        path = self.path("request", request, mentor)
        version = form_version((await client.get(path)).text)
        return await client.post(path, data={"do": do, "version": version} | more)

    async def told(self, *, request=None):
        return [fact["type"] for fact in await self.town.told() if request is None or fact.get("request_id") == str(request)]

    async def everything(self):
        """All that is kept, to see whether a page has changed anything."""
        tables = ("people", "wishes", "requests", "relationships", "timers", "outbox", "inbox")
        return [await self.see.fetch(f"select t::text, xmin::text from matching.{name} t order by 1") for name in tables]


def form_version(text: str) -> str:
    found = re.search(r'name="version" value="(\d+)"', text)
    return found[1] if found else "0"


def browser(port):
    fresh = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=PAGE, timeout=60, limits=fresh)


@pytest.fixture
def asking(town):
    return Asking(town)


@asynccontextmanager
async def running(asking):
    async with asking.town.served() as port, browser(port) as client:
        yield client


def crowd(asking, mentors, mentees, capacity=1):
    made = [asking.person(f"k{n}", Role.mentor, capacity=capacity, skills_offered=SKILLS[n % 5 :]) for n in range(mentors)]
    return made + [asking.person(f"n{n}", Role.mentee, skills_wanted=("sales",)) for n in range(mentees)]


async def test_a_mentee_asks_in_order_and_the_second_mentor_says_yes(asking):
    people = [
        asking.person("k0", Role.mentor, skills_offered=("sql", "go"), function="data", title="Head of Data"),
        asking.person("k1", Role.mentor, skills_offered=("sql",), function="data", years_experience=9),
        asking.person("k2", Role.mentor, skills_offered=("design",), function="data"),
        asking.person("n0", Role.mentee, skills_wanted=("sql", "go"), function="data", title="Analyst <b>"),
    ]
    await asking.begin(*people)
    async with running(asking) as client:
        await asking.known(4)
        page = (await client.get(asking.choose_path("n0"))).text
        assert "Head of Data" in page
        assert "Skills asked for and offered: sql and go" in page
        assert page.index(f"choice-{asking.id('k0')}") < page.index(f"choice-{asking.id('k1')}")
        assert "<script" not in page

        twice = {"do": "ask", "version": "0", f"choice-{asking.id('k0')}": "1", f"choice-{asking.id('k1')}": "1"}
        refused = await client.post(asking.choose_path("n0"), data=twice)
        assert (refused.status_code, "Two mentors have the same place" in refused.text) == (422, True)
        answer = await asking.choose(client, "n0", "k0", "k1")
        assert answer.status_code == 303
        status = (await client.get(asking.choose_path("n0"))).text
        assert "is asked, and has until" in status
        assert "comes next, if needed" in status

        mentor, request = await asking.open("n0")
        assert mentor == "k0"
        page = (await client.get(asking.path("request", request, "k0"))).text
        assert "Would you be their mentor?" in page
        assert "Analyst &lt;b&gt;" in page
        assert (await asking.answer(client, "k0", request, "question", text="Why <i>data</i>?")).status_code == 303
        status = (await client.get(asking.choose_path("n0"))).text
        assert "Why &lt;i&gt;data&lt;/i&gt;?" in status
        version = re.search(r'name="version" value="(\d+)"', status)[1]
        reply = {"do": "reply", "version": version, "text": "I count everything."}
        assert (await client.post(asking.choose_path("n0"), data=reply)).status_code == 303
        page = (await client.get(asking.path("request", request, "k0"))).text
        assert "I count everything." in page
        assert (await asking.answer(client, "k0", request, "decline", reason="no_time")).status_code == 303
        assert "You said no, and that is fine" in (await client.get(asking.path("request", request, "k0"))).text

        mentor, second = await asking.open("n0")
        assert mentor == "k1"
        for _ in range(2):
            assert (await asking.answer(client, "k1", second, "accept")).status_code == 303
        assert "You said yes" in (await client.get(asking.path("request", second, "k1"))).text
        assert "You have a mentor" in (await client.get(asking.choose_path("n0"))).text
        assert await asking.told(request=request) == [
            "MentorRequested",
            "RequestQuestioned",
            "MentorRequested",
            "RequestDeclined",
        ]
        assert await asking.told(request=second) == ["MentorRequested", "RequestAccepted", "PairCreated"]
        pair = (await asking.town.told("PairCreated"))[0]
        assert pair["score"] > 0
        assert {r["code"] for r in pair["reasons"]} == {"skills", "function"}
        kept = await asking.see.fetchrow("select question, reply from matching.requests where id = $1", request)
        assert tuple(kept) == ("", "")
        async with asking.town.client(client.base_url.port) as partner:
            await asking.town.known()
            shown = (await partner.get("/v1/programs/crossing/requests")).json()["requests"]
        assert [(r["choice"], r["status"]) for r in shown] == [(1, "declined"), (2, "accepted")]
        assert shown[1]["relationship_id"] == pair["relationship_id"]
    written = json.dumps(await asking.town.told())
    assert "count everything" not in written
    assert "data?" not in written


@pytest.mark.alone
async def test_looking_twice_by_get_or_head_changes_nothing_and_links_are_checked(asking):
    await asking.begin(*crowd(asking, 3, 2))
    async with running(asking) as client:
        await asking.known(5)
        await asking.choose(client, "n0", "k0", "k1")
        _, request = await asking.open("n0")
        await asyncio.sleep(1)  # the relay has sent what there was
        before = await asking.everything()
        pages = [asking.choose_path("n0"), asking.choose_path("n1"), asking.path("request", request, "k0")]
        for path in pages:
            for _ in range(2):
                assert (await client.head(path)).status_code == 200
                assert (await client.get(path)).status_code == 200
        assert await asking.everything() == before
        wrong = {
            asking.path("request", request, "k1"): 403,
            asking.path("request", new_id(), "k0"): 404,
            asking.path("request", request, "k0", secret="x"): 403,
            asking.path("request", request, "k0", days=-1): 410,
            asking.path("choose", asking.wishes("n0"), "n1"): 403,
            asking.path("choose", asking.wishes("n9"), "n9"): 404,
        }
        for path, status in wrong.items():
            for call in (client.get, client.post):
                assert (await call(path)).status_code == status, path
        stale = {"do": "decline", "version": "0", "reason": "no_time"}
        assert (await client.post(asking.path("request", request, "k0"), data=stale)).status_code == 303
        for bad in ({}, {"do": "accept"}, {"do": "decline", "version": "1", "reason": "x"}, {"do": "question", "version": "1"}):
            assert (await client.post(asking.path("request", request, "k0"), data=bad)).status_code == 422
        odd = {"do": "ask", "version": "0", "choice-nobody": "1"}
        assert (await client.post(asking.choose_path("n1"), data=odd)).status_code == 422
        assert await asking.everything() == before


@pytest.mark.alone
async def test_silence_cascades_when_the_window_closes_until_nobody_is_left(asking):
    await asking.begin(*crowd(asking, 2, 1), request_window_days=3)
    async with running(asking) as client:
        await asking.known(3)
        await asking.choose(client, "n0", "k0", "k1")
        first = await asking.rows("n0")
        for expected in ([("k0", "expired"), ("k1", "asked")], [("k0", "expired"), ("k1", "expired")]):
            await asking.town.stage.move_clock(timedelta(days=3, seconds=1))
            assert await until(lambda expected=expected: _is(asking.states("n0"), expected))
        page = (await client.get(asking.choose_path("n0"))).text
        assert "That says nothing about you" in page
        for n, kinds in enumerate((["MentorRequested", "RequestExpired"],) * 2):
            assert await asking.told(request=first[n][2]) == kinds
        assert [f["last"] for f in await asking.town.told("RequestExpired")] == [False, True]
        late = asking.path("request", first[0][2], "k0")
        assert "The time to answer is over" in (await client.get(late)).text
        assert (await client.post(late, data={"do": "accept", "version": "2"})).status_code == 303
        assert not await asking.town.told("PairCreated")
        assert (await asking.choose(client, "n0", "k1")).status_code == 303, "another round"


async def _is(answer, expected):
    return await answer == expected


async def test_what_happens_elsewhere_reaches_the_requests_once(asking):
    people = crowd(asking, 3, 3)
    await asking.begin(*people)
    async with running(asking) as client:
        await asking.known(6)
        await asking.choose(client, "n0", "k0", "k1")
        await asking.choose(client, "n1", "k2")
        await asking.choose(client, "n2", "k2", "k1")
        pause = PersonPaused.model_validate(people[0].model_dump() | {"status": "paused", "revision": 2})
        ids = [new_id()]
        where = {"organization": asking.town.organization, "program": asking.town.program}
        for _ in range(2):  # a relay's resend
            await send(asking.town.stage.kafka, [pause], ids=ids, **where)
        assert await until(lambda: _is(asking.states("n0"), [("k0", "withdrawn"), ("k1", "asked")]))
        await asking.town.send(pause)  # the daily tick: the same again under another id
        _, request = await asking.open("n1")
        await asking.answer(client, "k2", request, "pause")
        assert "You take nobody new just now" in (await client.get(asking.path("request", request, "k2"))).text
        assert await until(lambda: _is(asking.states("n2"), [("k2", "withdrawn"), ("k1", "asked")]))
        assert f"choice-{asking.id('k2')}" not in (await client.get(asking.choose_path("n1"))).text
        await asking.answer(client, "k2", request, "available")
        assert "You take nobody" not in (await client.get(asking.path("request", request, "k2"))).text
        await asking.town.send(ProgramClosed(program=asking.town.program))
        assert await until(lambda: _is(asking.states("n0"), [("k0", "withdrawn"), ("k1", "withdrawn")]))
        assert await until(lambda: _is(asking.states("n2"), [("k2", "withdrawn"), ("k1", "withdrawn")]))
        assert "can’t be chosen just now" in (await client.get(asking.choose_path("n1"))).text
        reasons = Counter(f["reason"] for f in await asking.town.told("RequestWithdrawn"))
        assert reasons == {"no_capacity": 2, "program_closed": 2}
        assert [f["now_unavailable"] for f in await asking.town.told("RequestDeclined")] == [True]


async def test_a_pair_of_a_run_ends_the_mentee_s_requests_and_has_the_score_and_reasons_that_the_mentee_saw(asking):
    await asking.begin(
        asking.person("k0", Role.mentor, skills_offered=("sql",), function="data", industry="bank"),
        asking.person("n0", Role.mentee, skills_wanted=("sql", "go"), function="data"),
        asking.person("n1", Role.mentee, skills_wanted=("rust",), industry="health"),
    )
    async with running(asking) as client, asking.town.client(client.base_url.port) as partner:
        await asking.known(3)
        await asking.town.known()
        await asking.choose(client, "n0", "k0")
        assert (await asking.town.match(partner))["pairs"] == 1
        assert await until(lambda: _is(asking.states("n0"), [("k0", "withdrawn")]))
        assert [f["reason"] for f in await asking.town.told("RequestWithdrawn")] == ["another_accepted"]
        (asked,) = await asking.town.told("MentorRequested")
        (pair,) = await asking.town.told("PairCreated")
        assert asked["reasons"] == pair["reasons"]
        shown = (await partner.get("/v1/programs/crossing/requests")).json()["requests"]
        assert [one["score"] for one in shown] == [pair["score"]]


async def test_someone_in_one_s_own_line_is_neither_suggested_nor_begun_with(asking):
    people = [
        asking.person("k0", Role.mentor, skills_offered=("sql",)),
        asking.person("k1", Role.mentor, skills_offered=("sql",)),
        asking.person("n0", Role.mentee, skills_wanted=("sql",), reports_to="k0"),
    ]
    await asking.begin(*people)
    async with running(asking) as client:
        await asking.known(3)
        assert f"choice-{asking.id('k0')}" not in (await client.get(asking.choose_path("n0"))).text
        assert (await asking.choose(client, "n0", "k0")).status_code == 409
        await asking.choose(client, "n0", "k1")
        _, request = await asking.open("n0")
        moved = asking.person("n0", Role.mentee, skills_wanted=("sql",), reports_to="k1", revision=2)
        await asking.town.send(moved)
        assert await until(lambda: asking.see.fetchval("select revision = 2 from matching.people where id = $1", asking.id("n0")))
        assert (await asking.answer(client, "k1", request, "accept")).status_code == 303
        assert await asking.states("n0") == [("k1", "withdrawn")]
        assert not await asking.town.told("PairCreated")


async def test_one_of_the_five_is_from_elsewhere_and_marked_so(asking):
    near = [asking.person(f"k{n}", Role.mentor, skills_offered=("sql",), function="data") for n in range(6)]
    other = asking.person("k9", Role.mentor, skills_offered=("sql",), function="sales")
    await asking.begin(*near, other, asking.person("n0", Role.mentee, skills_wanted=("sql",), function="data"))
    async with running(asking) as client:
        await asking.known(8)
        page = (await client.get(asking.choose_path("n0"))).text
        shown = re.findall(r'<select id="choice-([0-9a-f-]+)"', page)
        assert len(shown) == 5
        assert shown[-1] == str(asking.id("k9"))
        assert page.count("Another perspective, on purpose") == 1


MENTEES, PLACES = 8, 3


async def consistent(asking):
    """One mentor with `PLACES` places was asked by all and said yes to all; everything told agrees with what is kept."""
    facts = await asking.town.told()
    pairs = [f for f in facts if f["type"] == "PairCreated"]
    accepted = [f for f in facts if f["type"] == "RequestAccepted"]
    assert len(pairs) == len(accepted) == PLACES
    assert {f["relationship_id"] for f in pairs} == {f["relationship_id"] for f in accepted}
    assert len({f["request_id"] for f in accepted}) == PLACES
    withdrawn = [f for f in facts if f["type"] == "RequestWithdrawn"]
    assert [f["reason"] for f in withdrawn] == ["no_capacity"] * (MENTEES - PLACES)
    assert len({f["request_id"] for f in withdrawn}) == MENTEES - PLACES
    asked = Counter(f["mentor_id"] for f in facts if f["type"] == "MentorRequested")
    assert asked == {str(asking.id("k0")): MENTEES, str(asking.id("k1")): MENTEES - PLACES}
    places = await asking.see.fetchval("select jsonb_array_length(places) from matching.people where id = $1", asking.id("k0"))
    assert places == PLACES


def wanted(asking):
    one = asking.person("k0", Role.mentor, capacity=PLACES, skills_offered=("sales",))
    other = asking.person("k1", Role.mentor, capacity=MENTEES, skills_offered=("sales",))
    return [one, other, *(asking.person(f"n{n}", Role.mentee, skills_wanted=("sales",)) for n in range(MENTEES))]


async def all_asked(asking, client):
    for n in range(MENTEES):
        assert (await asking.choose(client, f"n{n}", "k0", "k1")).status_code == 303
    return [(await asking.open(f"n{n}"))[1] for n in range(MENTEES)]


async def settled(asking):
    """No request waits for the mentor who is full, and all facts are on their topic."""
    waits = "select count(*) = 0 from matching.requests where mentor_id = $1 and status in ('asked', 'questioned')"
    assert await until(lambda: asking.see.fetchval(waits, asking.id("k0")))
    assert await until(lambda: asking.see.fetchval("select count(*) = 0 from matching.outbox"))


async def test_answers_that_race_from_two_copies_fill_the_places_and_no_more(asking):
    await asking.begin(*wanted(asking))
    async with running(asking) as one, asking.town.service("b").running() as service, browser(service.port) as other:
        await asking.known(MENTEES + 2)
        requests = await all_asked(asking, one)
        paths = [asking.path("request", request, "k0") for request in requests]
        yes = {"do": "accept", "version": "1"}
        answers = await asyncio.gather(*(client.post(path, data=yes) for path in paths for client in (one, other)))
        assert {answer.status_code for answer in answers} == {303}
        await settled(asking)
        await consistent(asking)


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.alone
async def test_killed_while_answers_come_in_each_is_decided_once(asking, unused_tcp_port):
    await asking.begin(*wanted(asking))

    async def up(client):
        try:
            return (await client.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def press(client, path):
        try:
            return (await client.post(path, data={"do": "accept", "version": "1"})).status_code
        except httpx.TransportError:
            return 0

    async with browser(unused_tcp_port) as client:
        with process(asking.town, unused_tcp_port):
            assert await until(lambda: up(client))
            await asking.known(MENTEES + 2)
            requests = await all_asked(asking, client)
        paths = [asking.path("request", request, "k0") for request in requests]
        for least in (1, 2):

            async def some(least=least):
                return len(await asking.town.told("RequestAccepted")) >= least

            with process(asking.town, unused_tcp_port) as service:
                assert await until(lambda: up(client))
                pressed = [asyncio.create_task(press(client, path)) for path in paths]
                assert await until(some)
                service.kill()
                await asyncio.gather(*pressed)
        with process(asking.town, unused_tcp_port):
            assert await until(lambda: up(client))
            assert {await press(client, path) for path in paths} == {303}
            await settled(asking)
    await consistent(asking)


@pytest.mark.alone
async def test_a_tenant_sees_what_names_its_people_and_never_what_was_written(asking):
    guest = "kestrel-" + asking.town.organization
    people = [
        asking.person("k0", Role.mentor, skills_offered=("sales",)),
        record("kestrel", Role.mentor, asking.town.program, organization=guest, skills_offered=("sales",)),
        asking.person("n0", Role.mentee, skills_wanted=("sales",)),
    ]
    await asking.begin(*people)
    async with asking.town.service().running() as service, browser(service.port) as client:
        await asking.known(3)
        path, away = asking.choose_path("n0"), people[1].person_id
        first = {"do": "ask", "version": "0", f"choice-{asking.id('k0')}": "1", f"choice-{away}": "2"}
        assert (await client.post(path, data=first)).status_code == 303
        seen = {}

        async def see():
            for organization in (asking.town.organization, guest, "nobody", ""):
                async with service.database.tenant(organization) as connection:
                    rows = await store.requests_of(connection, asking.town.program, None, None, 10)
                    seen[organization] = [row["status"] for row in rows]
            return seen

        assert await see() == {asking.town.organization: ["asked"], guest: [], "nobody": [], "": []}
        _, request = await asking.open("n0")
        await asking.answer(client, "k0", request, "decline", reason="no_time")
        assert await see() == {asking.town.organization: ["declined", "asked"], guest: ["asked"], "nobody": [], "": []}
        for forbidden in ("select question from requests", "select reply from requests", "select id from wishes"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with service.database.tenant(asking.town.organization) as connection:
                    await connection.fetch(forbidden)


@pytest.mark.alone
async def test_what_is_looked_up_in_many_requests_goes_by_index(asking):
    async with asking.town.service().running() as service:
        await asking.see.execute(
            """insert into matching.requests
            select uuidv7(), 'o', '{}', 'o.p' || n % 500, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1,
              (array['asked', 'declined', 'expired', 'accepted'])[1 + n % 4], 1, 0, '[]', now(), now(), '', '', null
            from generate_series(1, 20000) n"""
        )
        await asking.see.execute("analyze matching.requests")
        async with service.database.transaction() as connection:
            one = [new_id()]
            for sql, *values in (
                (store.OPEN_OF_PERSON.sql, one),
                (store.OPEN_IN_PROGRAM.sql, ["o.p1"]),
                (store.DECLINED_BY, one[0]),
                (store.OF_ROUND, one),
                (store.REQUESTS_OF_PROGRAM, "o.p1", None, store.START, 10),
                (Table(Request, "requests").load, one),
            ):
                plan = "\n".join(row[0] for row in await connection.fetch(f"explain {sql}", *values))
                assert "Seq Scan on requests" not in plan, plan
