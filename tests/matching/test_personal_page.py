"""The page on which people say whom they meet, over real Kafka and PostgreSQL: attacks, tenants, kills, and that nothing of it gets out."""

import json
import logging
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.analytics.main import build as analytics
from services.gateway.main import build as gateway
from services.matching import exporting, store
from services.notifications.main import build as notifications
from services.scheduling.main import build as scheduling
from shared import links
from shared.cloudevents import new_id
from shared.events import PersonErased, PersonWithdrawn, ProfileChanged, ProgramClosed, Role
from shared.telemetry import Readable, Telemetry
from tests.conftest import alone, ends, unique
from tests.matching.conftest import Town, until
from tests.matching.people import record
from tests.matching.test_asking import PAGE, Asking, browser
from tests.matching.test_survives import process

pytestmark = pytest.mark.platform

FAITH, MITHRAS, ZURVAN = "faith-in-caves", "mithraist-of-old", "zurvanite-of-old"
ASKED = [{"attribute": FAITH, "answers": [MITHRAS, ZURVAN]}]
WORDS = (FAITH, MITHRAS, ZURVAN, "faith in caves", "mithraist", "zurvanite")


class Saying(Asking):
    """A town whose program asks, with its people and the links to their pages."""

    async def begin(self, *people, **policy):
        await super().begin(*people, **({"personal_rules": ASKED, "least_score": 0} | policy))

    def page(self, who, *, program="", action="personal", of="", **more):
        thing = links.personal_id(program or self.town.program, self.id(of or who), self.town.stage.link_secret)
        return self.path(action, thing, who, **more)

    async def say(self, client, who, value="", *, only=False):
        form = {f"said-{FAITH}": value} | ({f"only-{FAITH}": "yes"} if only else {})
        return await client.post(self.page(who), data=form)

    async def said(self, who):
        kept = await self.see.fetchval("select personal_rules from matching.people where id = $1", self.id(who))
        return [(rule["attribute"], rule["value"], rule["only_same"]) for rule in json.loads(kept)]

    async def proposals(self, status="proposed"):
        rows = await self.see.fetch("select people from matching.relationships where status = $1 and program = $2", status, self.town.program)  # fmt: skip
        names = {str(self.id(name)): name for name in ("k0", "k1", "k2", "n0", "n1", "n2")}
        return sorted(tuple(sorted(names[person] for person in row["people"])) for row in rows)


def everyone(saying, *names):
    """Who fits whom equally well, but the first mentee best."""
    roles = {"k": Role.mentor, "n": Role.mentee}
    wanted = {name: ("sql",) if name == "n0" else ("sql", "law") for name in names}
    return [saying.person(name, roles[name[0]], skills_offered=("sql",), skills_wanted=wanted[name]) for name in names]


@pytest.fixture
def saying(town: Town) -> Saying:
    return Saying(town)


@asynccontextmanager
async def running(saying):
    async with saying.town.served() as port, browser(port) as client:
        yield client


@pytest.mark.alone
async def test_someone_says_something_switches_their_rule_on_and_off_and_takes_it_back(saying):
    await saying.begin(*everyone(saying, "n0"))
    async with running(saying) as client:
        await saying.known(1)
        page = await client.get(saying.page("n0"))
        assert (page.status_code, "Whom you meet" in page.text, "Mithraist of old" in page.text) == (200, True, True)
        assert "checked" not in page.text.replace("I say nothing", "").partition("Mithraist")[2]
        answer = await saying.say(client, "n0", MITHRAS)
        assert answer.status_code == 303
        assert "Saved." in (await client.get(f"{saying.page('n0').split('?')[0]}{answer.headers['location']}")).text
        assert await saying.said("n0") == [(FAITH, MITHRAS, False)]
        await saying.say(client, "n0", MITHRAS, only=True)
        assert await saying.said("n0") == [(FAITH, MITHRAS, True)]
        refused = await saying.say(client, "n0", ZURVAN, only=True)
        assert (refused.status_code, "Another answer can’t be given yet" in refused.text) == (422, True)
        await saying.say(client, "n0", MITHRAS)
        await saying.say(client, "n0")
        assert await saying.said("n0") == [(FAITH, "", False)]
        await saying.town.stage.move_clock(timedelta(days=30, seconds=1))

        async def taken():
            return (await saying.say(client, "n0", ZURVAN)).status_code == 303

        assert await until(taken), "the clock is read anew every few seconds"
        assert await saying.said("n0") == [(FAITH, ZURVAN, False)]


@pytest.mark.alone
async def test_the_file_of_one_s_own_data_has_neither_what_one_said_of_whom_one_meets_nor_others(saying):
    await saying.begin(*everyone(saying, "n0", "n1", "k0"))
    async with running(saying) as client:
        await saying.known(3)
        await saying.say(client, "n0", MITHRAS)
        here = saying.path("export", saying.id("n0"), "n0")
        assert "Download the file" in (await client.get(here)).text
        data = (await client.post(here)).json()["data"]
        assert set(data) == {part.name for part in exporting.KEPT}
        (profile,) = data["profile"]
        assert (profile["id"], profile["profile"]["skills_wanted"]) == (str(saying.id("n0")), ["sql"])
        assert not any(word in json.dumps(data) for word in WORDS), "a page of its own shows it, behind a link of its own"
        assert not any(str(saying.id(name)) in json.dumps(data) for name in ("n1", "k0"))
        assert (await client.post(saying.path("export", saying.id("n1"), "n0"))).status_code == 404


@pytest.mark.alone
@pytest.mark.usefixtures("soon")
async def test_looking_changes_nothing_and_nobody_gets_in_by_another_s_link_or_without_one(saying):
    await saying.begin(*everyone(saying, "n0", "n1", "k0"))
    async with running(saying) as client:
        await saying.known(3)
        await saying.say(client, "n0", MITHRAS, only=True)
        done = "select count(*) = 0 from matching.timers where kind = 'requests_of'"
        assert await until(lambda: saying.see.fetchval(done)), "what follows from it comes a moment later"
        before = await saying.everything()
        for call in (client.get, client.head):
            assert (await call(saying.page("n0"))).status_code == 200
        mine, theirs = saying.page("n0"), saying.page("n1")
        person = lambda path: path.partition("p=")[2].partition("&")[0]  # noqa: E731
        wrong = {
            saying.page("n1", of="n0"): 403,  # n0's page, signed for n1
            saying.page("n0", of="n1"): 403,
            mine.replace(person(mine), person(theirs)): 403,
            mine.partition("?")[0] + "?" + theirs.partition("?")[2]: 403,
            saying.page("n0", secret="x"): 403,
            saying.page("n0", days=-1): 410,
            saying.page("n0", program="kestrel.crossing"): 403,
            saying.page("n0", action="choose").replace("/choose/", "/personal/"): 403,
            saying.path("personal", saying.wishes("n0"), "n0"): 403,
            saying.path("personal", new_id(), "n0"): 403,
            saying.page("n9"): 404,
        }
        forged = {f"said-{FAITH}": ZURVAN, f"only-{FAITH}": "yes"}
        for path, status in wrong.items():
            for answer in (await client.get(path), await client.post(path, data=forged)):
                assert answer.status_code == status, path
                assert not any(word in answer.text for word in WORDS)
        elsewhere = {"Origin": "https://evil.example", "Cookie": "ithaca=1"}  # a form of another site knows no link
        assert (await client.post(mine.partition("?")[0], data=forged, headers=elsewhere)).status_code == 422
        assert await saying.everything() == before


@pytest.mark.parametrize(
    "form",
    [
        {f"said-{FAITH}": "dragon"},
        {f"said-{FAITH}": ZURVAN + "\0"},
        {f"said-{FAITH}": "<script>alert(1)</script>"},
        {f"said-{FAITH}": "", f"only-{FAITH}": "yes"},
        {"said-politics": "left"},
        {"said-": MITHRAS},
    ],
)
async def test_what_the_page_does_not_offer_is_refused_and_changes_nothing(saying, form):
    await saying.begin(*everyone(saying, "n0"))
    async with running(saying) as client:
        await saying.known(1)
        before = await saying.everything()
        answer = await client.post(saying.page("n0"), data=form)
        assert answer.status_code == 422
        assert "<script" not in answer.text
        assert await saying.everything() == before


@pytest.mark.alone
async def test_a_guest_s_own_organization_and_the_owner_and_a_stranger_can_not_read_it_in_the_database(saying):
    guest = unique("kestrel")
    away = record("kim", Role.mentor, saying.town.program, organization=guest, skills_offered=("sql",))
    await saying.begin(*everyone(saying, "n0"), away)
    async with saying.town.service().running() as service, browser(service.port) as client:
        await saying.known(2)
        await saying.say(client, "n0", MITHRAS, only=True)
        for organization, rows in ((saying.town.organization, 2), (guest, 1), ("nobody", 0)):
            async with service.database.tenant(organization) as connection:
                assert await connection.fetchval("select count(id) from people") == rows
                shown = await store.people_shown(connection, [saying.id("n0")])
            assert [one.personal_rules for one in shown.values()] == [()] * (organization == saying.town.organization)
            for query in ("select personal_rules from people", "select * from people", "select p::text from people p"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with service.database.tenant(organization) as connection:
                        await connection.fetch(query)


async def test_a_rule_that_is_switched_on_fells_the_open_proposal_and_off_again_lets_the_next_run_find_it(saying):
    await saying.begin(*everyone(saying, "k0", "n0"), match_mode="propose", no_repeat_months=0)
    async with saying.town.running() as partner, browser(partner.base_url.port) as client:
        await saying.town.match(partner, {"people": 2, "revisions": 2})
        assert await saying.proposals() == [("k0", "n0")]
        await saying.say(client, "n0", MITHRAS, only=True)
        assert await until(lambda: fallen(saying))
        await saying.town.match(partner)
        assert await saying.proposals() == []
        await saying.say(client, "n0", MITHRAS)
        await saying.town.match(partner)
        assert await saying.proposals() == [("k0", "n0")]


async def fallen(saying):
    return await saying.proposals("rejected") != []


@pytest.mark.alone
async def test_a_kill_right_after_the_click_loses_nothing_and_the_proposal_falls_once(saying, unused_tcp_port):
    await saying.begin(*everyone(saying, "k0", "n0"), match_mode="propose")
    async with saying.town.running() as partner:
        await saying.town.match(partner, {"people": 2, "revisions": 2})
    holding = await asyncpg.connect(saying.town.stage.superuser)
    async with browser(unused_tcp_port) as client:
        with process(saying.town, unused_tcp_port) as first:

            async def up():
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx.HTTPError:
                    return False

            assert await until(up)
            async with holding.transaction():  # nothing can be reviewed until it is killed
                await holding.execute("select 1 from matching.relationships for update")
                assert (await saying.say(client, "n0", MITHRAS, only=True)).status_code == 303
                first.send_signal(signal.SIGKILL)
                first.wait()
            assert await saying.said("n0") == [(FAITH, MITHRAS, True)]
            assert await saying.proposals() == [("k0", "n0")]
        with process(saying.town, unused_tcp_port):
            assert await until(lambda: fallen(saying))
    await holding.close()
    assert [event["reason"] for event in await saying.town.told("MatchRejected")] == ["no_longer_holds"]


@pytest.mark.alone
async def test_it_stays_when_the_profile_changes_or_comes_again_and_goes_with_the_person_and_with_the_program(saying):
    people = everyone(saying, "n0", "n1", "n2", "k0")
    await saying.begin(*people)
    async with running(saying) as client:
        await saying.known(4)
        for who in ("n0", "n1", "n2", "k0"):
            await saying.say(client, who, MITHRAS, only=True)
        changed = saying.person("n0", Role.mentee, kind=ProfileChanged, revision=2, skills_wanted=("go",))
        left = saying.person("n1", Role.mentee, kind=PersonWithdrawn, revision=2, enrolled=False, status="withdrawn")
        erased = PersonErased(person_id=saying.id("n2"), revision=2, time=datetime.now().astimezone())
        await saying.town.send(changed, left, erased, people[0])

        async def heard():
            revisions = "select array_agg(revision order by own_id) from matching.people where id = any($1) and revision = 2"
            return len(await saying.see.fetchval(revisions, [saying.id(n) for n in ("n0", "n1", "n2")]) or ()) == 3

        assert await until(heard)
        assert [await saying.said(who) for who in ("n0", "n1", "n2")] == [[(FAITH, MITHRAS, True)], [], []]
        assert [(await client.get(saying.page(who))).status_code for who in ("n0", "n1", "n2")] == [200, 403, 404]
        await saying.town.send(ProgramClosed(program=saying.town.program))
        assert await until(lambda: gone(saying, "n0", "k0"))
        assert "What you had said here is deleted." in (await client.get(saying.page("n0"))).text
        assert (await saying.say(client, "n0", MITHRAS)).status_code == 403


async def gone(saying, *names):
    return not any([await saying.said(name) for name in names])


@pytest.mark.alone
async def test_who_is_to_be_forgotten_in_a_closed_program_is_found_by_index(saying):
    await saying.see.execute(
        """insert into matching.people (id, organization, audience, own_id, status, revision, erased, programs, enrolments, places, met, waiting)
        select uuidv7(), 'o', '{}', n::text, 'active', 1, false, array['o.p' || n % 500], '[]', '[]', '[]', '[]'
        from generate_series(1, 20000) n"""
    )
    await saying.see.execute("analyze matching.people")
    await saying.see.execute("set search_path = matching")
    plan = "\n".join(row[0] for row in await saying.see.fetch(f"explain {store.PERSONAL_IN_PROGRAM.sql}", ["o.p1"]))
    assert "people_of_program" in plan
    assert "Seq Scan" not in plan


# ---- nothing of it gets out


def without_policies(value: Any) -> Any:
    """What a program asks is everyone's to know; what its people say isn't."""
    if isinstance(value, dict):
        return {key: without_policies(inner) for key, inner in value.items() if key not in ("policy", "policy_json")}
    if isinstance(value, list):
        return [without_policies(inner) for inner in value]
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return without_policies(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, str) and value.startswith("\\x"):
        return without_policies(bytes.fromhex(value[2:]).decode("utf-8", "replace"))
    return value


async def kept(see) -> dict[str, str]:
    """All rows of all tables of all services, by table, policies left out."""
    tables = await see.fetch("select schemaname || '.' || tablename as name from pg_tables where schemaname not like all(array['pg_%', 'information_schema'])")  # fmt: skip
    found = {}
    for (name,) in tables:
        rows = await see.fetch(f"select to_jsonb(t) from {name} t")
        found[name] = "\n".join(json.dumps(without_policies(json.loads(row[0]))) for row in rows)
    return found


async def written(stage) -> list[str]:
    """All records of all topics since the stage was raised, policies left out."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        until_ = await ends(stage.kafka)
        consumer.assign(list(until_))
        for place in until_:
            consumer.seek(place, stage.begins.get(place, 0))
        found = []
        while any([await consumer.position(place) < end for place, end in until_.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for one in records:
                    body = without_policies(orjson.loads(one.value)) if one.value else ""
                    found.append(json.dumps([str(one.key), [(n, str(v)) for n, v in one.headers], body]))
        return found
    finally:
        await consumer.stop()


def words_in(text: str) -> set[str]:
    return {word for word in WORDS if word in text}


@pytest.mark.alone
async def test_what_people_say_stands_in_one_column_and_on_no_topic_in_no_log_trace_or_page_of_others(saying, caplog):
    caplog.set_level(logging.DEBUG, "ithaca")
    people = everyone(saying, "k0", "k1", "n0", "n1")
    await saying.begin(*people, match_mode="propose")
    exporter, matching = InMemorySpanExporter(), saying.town.service()
    telemetry = Telemetry("matching", exporter=Readable(exporter), rate=1.0)
    matching.telemetry = matching.work.telemetry = matching.consumer.telemetry = telemetry
    async with AsyncExitStack() as stack:
        for name, build in {"gateway": gateway, "scheduling": scheduling, "notifications": notifications, "analytics": analytics}.items():  # fmt: skip
            await stack.enter_async_context(alone(build(saying.town.stage.settings(name)), saying.town.stage).running())
        service = await stack.enter_async_context(matching.running())
        partner = await stack.enter_async_context(saying.town.client(service.port))
        client = await stack.enter_async_context(browser(service.port))
        await saying.town.known()
        await saying.known(4)

        # k0 and n0 say the same, and n0 wants nobody else; k1 says another thing, and wants nobody else either
        for who, value, only in (("k0", MITHRAS, False), ("n0", MITHRAS, True), ("k1", ZURVAN, True)):
            assert (await saying.say(client, who, value, only=only)).status_code == 303
        run = await saying.town.match(partner)
        assert await saying.proposals() == [("k0", "n0")]
        # who takes their answer back is nobody's to see either
        await saying.say(client, "k0", "")
        assert await until(lambda: fallen(saying))
        again = await saying.town.match(partner)
        assert await saying.proposals() == [("k0", "n1")]

        shown = [(await partner.get(f"/v1/match-runs/{each['run_id']}{what}")).text for each in (run, again) for what in ("", "/pairs", "/waitlist", "/fairness")]  # fmt: skip
        await client.post("/coordinate/sign-in", data={"key": saying.town.key})
        for path in (
            "/coordinate",
            f"/coordinate/programs/{saying.town.program}",
            *(f"/coordinate/runs/{each['run_id']}{what}" for each in (run, again) for what in ("", "/waiting", "/fairness")),
        ):
            page = await client.get(path, headers=PAGE)
            assert page.status_code == 200
            shown.append(page.text)
        shown += [(await client.get(saying.choose_path("n1"))).text, (await client.get(saying.page("n1"))).text.partition("Who learns")[2]]  # fmt: skip
        assert {word for text in shown for word in words_in(text)} == set()
        assert "nobody_to_meet" in shown[2]

        own = {who: "A wish of your own" in (await client.get(saying.page(who))).text for who in ("k0", "k1", "n0", "n1")}
        assert own == {"k0": False, "k1": True, "n0": True, "n1": False}

        async def heard():  # the others have read what matching told
            return await saying.see.fetchval("select count(*) from notifications.deliveries where template = 'waiting'") >= 2

        assert await until(heard)
        found = {name: words_in(text) for name, text in (await kept(saying.see)).items() if words_in(text)}
        assert found == {"matching.people": {FAITH, MITHRAS, ZURVAN, "mithraist", "zurvanite"}}
        column = await saying.see.fetchval(
            "select string_agg((to_jsonb(p) - 'personal_rules')::text, ' ') from matching.people p"
        )
        assert words_in(column) == set()
        records = await written(saying.town.stage)
        assert any("PersonWaitlisted" in text for text in records)
        assert {word for text in records for word in words_in(text)} == set()

        telemetry.processor.force_flush()
        spans = exporter.get_finished_spans()
        clicks = [span for span in spans if span.name == "POST /personal/{thing}"]
        assert len(clicks) == 4
        texts = [f"{span.name} {dict(span.attributes)}" for span in spans]
        assert {word for text in texts for word in words_in(text)} == set()
        traces = {span.context.trace_id for span in clicks}
        names = {str(saying.id(name)) for name in ("k0", "k1", "n0", "n1")} | {str(saying.wishes(name)) for name in ("k0", "k1", "n0", "n1")}  # fmt: skip
        beside = [text for text, span in zip(texts, spans, strict=True) if span.context.trace_id in traces]
        assert not [text for text in beside if any(name in text for name in names)]
        caused = [span for span in spans if any(link.context.trace_id in traces for link in span.links)]
        assert caused == [], "no trace says that a click was why"
    telemetry.stop()
    assert "stopped" in caplog.text, "the services' own log is looked at"
    assert words_in(caplog.text) == set()
