"""Every route of every service's OpenAPI, with what fits it and what doesn't: the short form of `./ithaca bench fuzz`."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
import requests

from benchmarks.fuzz.api import Api, routes
from benchmarks.fuzz.ground import MARKER
from shared import links
from shared.events import SERVICES

CALLS, NUMBER = 36, 1

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def api(fuzzed):
    return Api(fuzzed)


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_answers_as_its_openapi_says(api, service):
    failures = [failure for route in api.operations[service] if (failure := api.fuzz(service, route, CALLS, NUMBER))]
    assert not failures, "\n\n".join(map(str, failures))
    tallies = [tally for name, tally in api.tallies.items() if name.startswith(f"{service} ")]
    assert all(tally.calls >= CALLS for tally in tallies)
    assert sum(tally.of(2) for tally in tallies) > len(tallies), "most calls got no further than the door"


def test_the_fuzz_finds_what_is_wrong(api):
    """A document that promises another answer than the one that comes."""
    address = api.world.addresses["gateway"]
    document = requests.get(f"{address}/openapi.json", timeout=30).json()
    document["paths"] = {"/v1/organization": document["paths"]["/v1/organization"]}
    del document["paths"]["/v1/organization"]["get"]["responses"]["200"]
    (route,) = routes(document, address)
    failure = Api(api.world).fuzz("gateway", route, CALLS, NUMBER)
    assert failure is not None
    assert "curl -X GET" in failure.text


ODD = "%00"
READS = [
    ("gateway", "/v1/people/{}"),
    ("gateway", "/v1/programs/{}"),
    ("gateway", "/v1/events/{}"),
    ("gateway", "/v1/events/x?source={}"),
    ("scheduling", "/v1/programs/{}/relationships"),
    ("notifications", "/v1/deliveries?program={}"),
    ("analytics", "/v1/programs/{}/summary"),
    ("analytics", "/v1/programs/{}/worth"),
    ("analytics", "/v1/story/{}"),
]


@pytest.mark.parametrize(("service", "path"), READS)
def test_a_nul_in_an_address_is_refused_and_no_error_of_ours(fuzzed, service, path):
    key = {"Authorization": f"Bearer {fuzzed.keys['owner']}"}
    answer = requests.get(fuzzed.addresses[service] + path.format(ODD), headers=key, timeout=30)
    assert (answer.status_code, answer.json()["title"]) == (400, "no text")


@pytest.mark.parametrize(
    ("service", "path"), [("gateway", "/v1/organizations"), ("notifications", "/v1/deliveries"), ("analytics", "/v1/story/x")]
)
def test_a_key_that_is_not_ascii_is_a_wrong_key(fuzzed, service, path):
    answer = requests.get(fuzzed.addresses[service] + path, headers={"Authorization": b"Bearer \xe9"}, timeout=30)
    assert answer.status_code == 401


def test_a_moment_before_the_year_one_is_no_place_in_a_list(fuzzed):
    key = {"Authorization": f"Bearer {fuzzed.keys['owner']}"}
    place = {"before": "0001-01-01T00:00:00+14:00,00000000-0000-0000-0000-000000000000"}
    answer = requests.get(f"{fuzzed.addresses['notifications']}/v1/deliveries", place, headers=key, timeout=30)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "before")


def test_a_link_whose_signature_is_not_ascii_is_an_altered_one(fuzzed):
    about, person = fuzzed.links["sign"][0]
    query = {"p": person, "v": 1, "e": 4_000_000_000, "s": "\xe9"}
    assert requests.get(f"{fuzzed.addresses['scheduling']}/sign/{about}", query, timeout=30).status_code == 403


def test_a_time_for_which_utc_has_no_year_is_not_one_to_pick(fuzzed):
    about, person = fuzzed.links["pick"][0]
    link = links.Link("pick", UUID(about), UUID(person), 0, 4_000_000_000)
    url = link.url(fuzzed.addresses["scheduling"], fuzzed.link_secret)
    answer = requests.post(url, {"slot": "0001-01-01T00:00:00+14:00"}, timeout=30)
    assert (answer.status_code, "Please choose one of the times." in answer.text) == (422, True)


def test_a_planted_name_is_found_where_it_was_planted(fuzzed):
    """So the words that no log may hold did go through the services."""
    key = {"Authorization": f"Bearer {fuzzed.keys['owner']}"}
    event = {"specversion": "1.0", "id": "planted", "source": "/alder/hr", "type": "ithaca.PersonEnrolled"}
    data = {"person": "planted", "name": f"Ada {MARKER}", "program": "harbour", "role": "mentor"}
    kind = {"Content-Type": "application/cloudevents+json"}
    address = fuzzed.addresses["gateway"]
    posted = requests.post(f"{address}/v1/events", json=event | {"data": data}, headers=key | kind, timeout=30)
    assert posted.status_code == 202, posted.text

    async def names() -> int:
        connection = await asyncpg.connect(fuzzed.addresses["postgres"])
        try:
            return await connection.fetchval("select count(*) from gateway.people where contact::text like $1", f"%{MARKER}%")
        finally:
            await connection.close()

    assert asyncio.run(names()) > 0
