"""Partners hear of events at their own endpoints: signed, retried over days, and never inside our own network."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from services.notifications.channels import Caller, Guard, Unreachable, networks, secret_of
from services.notifications.domain import HOOK_DELAYS
from shared.cloudevents import new_id
from shared.errors import Rejected
from shared.events import CheckInAnswered, PersonErased, ProfileChanged

LOCAL = {"webhook_networks": "127.0.0.0/8"}


async def register(scene, headers, url, **body):
    answer = await scene.http.post(scene.url("/v1/webhooks"), headers=headers, json={"url": url, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_events_arrive_signed_for_those_whose_audience_names_the_organization(scene, receiver):
    async with scene.build(**LOCAL).running():
        owner = await scene.key(scene.owner)
        made = await register(scene, owner, receiver.url)
        assert made["secret"].startswith("whsec_")
        assert made["state"] == "well"
        listed = (await scene.http.get(scene.url("/v1/webhooks"), headers=owner)).json()
        assert listed["webhooks"][0]["id"] == made["id"]
        assert "whsec_" not in str(listed)
        stored = await scene.db.fetchrow("select * from notifications.endpoints")
        assert made["secret"] not in str(dict(stored))

        await scene.open()
        private = scene._of_pair(CheckInAnswered, check_in_id=new_id(), person_id=scene.mentee, kind="fit", score=3)
        await scene.send(private.model_copy(update={"audience": ()}))
        ids = await scene.send(scene.agreement())

        async def last():
            return any(event["id"] == str(ids[0]) for event in receiver.verified(made["secret"]))

        assert await scene.until(last)
        events = receiver.verified(made["secret"])
        types = sorted(event["type"].removeprefix("ithaca.") for event in events)
        # of people only its own: the mentor is the other organization's
        assert types == ["AgreementProposed", "OrganizationOnboarded", "PairCreated", "PersonEnrolled", "ProgramLaunched"]
        pair = next(e for e in events if e["type"] == "ithaca.PairCreated")
        assert pair["specversion"] == "1.0"
        assert pair["organization"] == scene.owner
        assert pair["source"] == "/ithaca/test"
        assert pair["data"]["relationship_id"] == str(scene.pair)
        assert pair["data"]["reasons"]
        assert next(e for e in events if "Person" in e["type"])["data"]["person_id"] == str(scene.mentee)
        headers = receiver.got[0][0]
        assert headers["content-type"].startswith("application/cloudevents+json")
        delivered = await scene.topic_events("WebhookDelivered", 5)
        assert {d["endpoint_id"] for d in delivered} == {made["id"]}
        assert all(d["status"] == 204 for d in delivered)
        assert all(d["headers"]["ce_causationid"] == d["fact_id"] for d in delivered)
        assert await scene.db.fetchval("select count(*) from notifications.calls where body is not null") == 0
        shown = (await scene.http.get(scene.url(f"/v1/webhooks/{made['id']}/deliveries"), headers=owner)).json()
        assert len(shown["deliveries"]) == 5
        assert {d["state"] for d in shown["deliveries"]} == {"sent"}


async def test_a_member_organization_gets_its_types_without_the_reasons_of_a_match(scene, receiver):
    async with scene.build(**LOCAL).running():
        guest = await scene.key(scene.guest)
        made = await register(scene, guest, receiver.url, types=["ithaca.PairCreated", "ithaca.ProfileChanged"])
        await scene.open()
        person = scene.enrolled(scene.mentor, "mentor", scene.guest, "Graça M.", revision=2)
        changed = ProfileChanged(**person.model_dump())
        await scene.send(changed, changed)  # the second is the daily tick: the same revision again

        async def two():
            return len(receiver.got) >= 2

        assert await scene.until(two)
        await asyncio.sleep(0.5)
        events = receiver.verified(made["secret"])
        assert sorted(e["type"] for e in events) == ["ithaca.PairCreated", "ithaca.ProfileChanged"]
        pair = next(e for e in events if e["type"] == "ithaca.PairCreated")
        assert "reasons" not in pair["data"]
        assert len(pair["data"]["members"]) == 2


async def test_a_test_says_at_once_how_it_went(scene, receiver):
    async with scene.build(**LOCAL).running():
        owner, guest = await scene.key(scene.owner), await scene.key(scene.guest)
        made = await register(scene, owner, receiver.url)
        url = scene.url(f"/v1/webhooks/{made['id']}")
        answer = (await scene.http.post(f"{url}/test", headers=owner)).json()
        assert (answer["state"], answer["status"], answer["fact_type"]) == ("sent", 204, "ithaca.WebhookTest")
        (event,) = receiver.verified(made["secret"])
        assert event["type"] == "ithaca.WebhookTest"
        assert receiver.got[0][0]["webhook-id"] == answer["id"]
        receiver.status, receiver.headers = 307, {"location": "http://127.0.0.1:1/"}
        answer = (await scene.http.post(f"{url}/test", headers=owner)).json()
        assert (answer["state"], answer["status"], answer["failure"]) == ("failed", 307, "bad_status")  # no redirect is followed
        assert len(receiver.got) == 2
        assert (await scene.http.post(f"{url}/test", headers=guest)).status_code == 404
        assert (await scene.http.delete(url, headers=guest)).status_code == 404
        weak = await scene.key(scene.owner, "send", "read")
        assert (await scene.http.post(scene.url("/v1/webhooks"), headers=weak, json={"url": receiver.url})).status_code == 403
        assert (await scene.http.delete(url, headers=owner)).status_code == 204
        assert (await scene.http.get(scene.url("/v1/webhooks"), headers=owner)).json() == {"webhooks": []}


async def test_what_fails_is_tried_again_after_a_restart_then_given_up_and_enabled_by_hand(scene, receiver):
    receiver.status = 500
    async with scene.build(**LOCAL).running():
        owner = await scene.key(scene.owner)
        made = await register(scene, owner, receiver.url, types=["ithaca.PairCreated"])
        await scene.open()
        assert await scene.until(lambda: failing(scene, 1))
    async with scene.build(**LOCAL).running():
        for tries, delay in enumerate(HOOK_DELAYS, 2):
            await scene.stage.move_clock(delay + timedelta(seconds=2))
            assert await scene.until(lambda tries=tries: failing(scene, tries)), tries
        (disabled,) = await scene.topic_events("WebhookDisabled", 1)
        assert (disabled["endpoint_id"], disabled["failure"], disabled["attempts"]) == (made["id"], "bad_status", 10)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
        assert len(receiver.got) == 10
        url = scene.url(f"/v1/webhooks/{made['id']}")
        assert (await scene.http.get(scene.url("/v1/webhooks"), headers=owner)).json()["webhooks"][0]["state"] == "disabled"
        assert (await scene.http.post(f"{url}/test", headers=owner)).status_code == 409
        receiver.status = 200
        assert (await scene.http.post(f"{url}/enable", headers=owner)).json()["state"] == "well"
        assert (await scene.http.post(f"{url}/test", headers=owner)).json()["state"] == "sent"


async def failing(scene, tries):
    return await scene.db.fetchval(
        "select count(*) from notifications.calls where attempts = $1 and failure = 'bad_status' and fact_type = 'ithaca.PairCreated'",
        tries,
    )


async def test_gone_means_gone(scene, receiver):
    receiver.status = 410
    async with scene.build(**LOCAL).running():
        made = await register(scene, await scene.key(scene.owner), receiver.url, types=["ithaca.PairCreated"])
        await scene.open()
        (disabled,) = await scene.topic_events("WebhookDisabled", 1)
        assert (disabled["endpoint_id"], disabled["failure"], disabled["attempts"]) == (made["id"], "gone", 1)


async def test_a_slow_endpoint_delays_no_other(scene, receiver):
    async with scene.build(**LOCAL).running():
        owner, guest = await scene.key(scene.owner), await scene.key(scene.guest)
        server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)  # never answers
        port = server.sockets[0].getsockname()[1]
        await register(scene, owner, f"http://127.0.0.1:{port}/", types=["ithaca.PairCreated"])
        await register(scene, guest, receiver.url, types=["ithaca.PairCreated"])
        started = time.monotonic()
        await scene.open()

        async def arrived():
            return receiver.got

        assert await scene.until(arrived)
        assert time.monotonic() - started < 5
        server.close()


async def test_what_waits_about_an_erased_person_is_never_sent(scene, receiver):
    receiver.status = 500
    async with scene.build(**LOCAL).running():
        made = await register(scene, await scene.key(scene.owner), receiver.url)
        await scene.open()

        async def waits():
            return await scene.db.fetchval("select count(*) from notifications.calls where person_id = $1", scene.mentee)

        assert await scene.until(waits)
        await scene.send(PersonErased(person_id=scene.mentee, revision=2, audience=(scene.owner, scene.guest)))

        async def only_the_erasure():
            kept = "select array_agg(fact_type) from notifications.calls where person_id = $1"
            return await scene.db.fetchval(kept, scene.mentee) == ["ithaca.PersonErased"]

        assert await scene.until(only_the_erasure)
        assert "Okafor" not in str(await scene.db.fetch("select * from notifications.calls"))
        receiver.got.clear()
        receiver.status = 204
        await scene.stage.move_clock(timedelta(minutes=6))

        async def told():
            return [e for e in receiver.verified(made["secret"]) if e["type"] == "ithaca.PersonErased"]

        assert await scene.until(told)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://93.184.216.34/x", "https"),
        ("https://127.0.0.1/x", "private network"),
        ("https://[::1]/x", "private network"),
        ("https://[::ffff:10.0.0.1]/x", "private network"),
        ("https://[64:ff9b::a00:1]/x", "private network"),
        ("https://169.254.169.254/latest/meta-data", "private network"),
        ("https://10.1.2.3/", "private network"),
        ("https://0.0.0.0/", "private network"),
        ("https://2130706433/", "private network"),
        ("https://localhost/", "private network"),
        ("https://user:secret@example.com/", "user"),
        ("ftp://example.com/", "https"),
        ("https://", "https"),
        ("https://example.com:99999/", "no URL"),
        ("https://no.such.host.invalid/", "unknown host"),
    ],
)
async def test_an_address_events_must_not_go_to_is_refused(url, word):
    with pytest.raises(Rejected) as refused:
        await Caller("", "k" * 44).check(url)
    assert word in refused.value.text
    assert refused.value.field == "url"


async def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name that is public when checked and private when used leads nowhere."""
    addresses = iter(["93.184.216.34", "127.0.0.1"])
    loop = asyncio.get_running_loop()

    async def lookup(*_args, **_more):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(addresses), 443))]

    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    caller = Caller("", "k" * 44)
    assert await caller.check("https://rebinding.example/")
    with pytest.raises(Unreachable):
        await caller.guard.connect_tcp("rebinding.example", 443)


def test_networks_that_the_settings_name_are_allowed():
    guard = Guard(networks("127.0.0.0/8, 10.1.0.0/16"))
    assert guard.may("127.0.0.1")
    assert guard.may("10.1.2.3")
    assert guard.may("::ffff:10.1.2.3")
    assert guard.may("93.184.216.34")
    assert not guard.may("10.2.0.1")
    assert not guard.may("fe80::1%eth0")
    with pytest.raises(ValueError):
        networks("everything")


def test_a_signature_holds_whatever_the_zone_of_the_machine():
    key, endpoint, call = "a" * 44, new_id(), new_id()
    caller = Caller("", key)
    body = '{"name":"Graça"}'.encode()
    headers = dict(caller.signed(endpoint, call, body, datetime.now(UTC).timestamp()))
    assert Webhook(secret_of(endpoint, key)).verify(body, headers) == {"name": "Graça"}
    assert secret_of(endpoint, key) == secret_of(endpoint, key) != secret_of(new_id(), key)
    with pytest.raises(Rejected):
        secret_of(endpoint, "")


async def test_an_unknown_type_is_named_with_the_nearest(scene):
    async with scene.build(**LOCAL).running():
        owner = await scene.key(scene.owner)
        body = {"url": "http://127.0.0.1:9/", "types": ["ithaca.PairCreated", "PairEndet"]}
        answer = await scene.http.post(scene.url("/v1/webhooks"), headers=owner, json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "types[1]"
        assert "ithaca.PairEnded" in answer.text
        assert "Endet" not in answer.text
