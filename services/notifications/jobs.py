"""Long work: the senders of mail and webhooks, and forgetting what is old. Each runs in every copy; they share by row locks."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Self
from uuid import UUID

from opentelemetry.trace import SpanKind

from services.notifications import store
from services.notifications.asks import distinct
from services.notifications.channels import Answer, Caller, Handed, Mailer, RelayAway
from services.notifications.domain import (
    ABSENT_PERSON_PATIENCE,
    HOOK_DELAYS,
    Call,
    Delivery,
    Endpoint,
    Person,
    State,
    after_try,
    given_up,
)
from services.notifications.fates import Mail, dropped, noted, postponed, tried
from services.notifications.letters import Writer
from services.notifications.occasions import Letterhead, Occasion
from shared.clock import rung
from shared.decisions import NOTHING, Action, Context, Outcome, changed
from shared.errors import describe
from shared.events import Failure, WebhookDelivered, WebhookDisabled
from shared.service import Service
from shared.work import Decided

log = logging.getLogger("ithaca.notifications")

POLL_SECONDS = 1.0
RELAYS = 4
"""Connections to the mail relay."""
MAILS_EACH = 5
"""Messages a connection hands over in one transaction: as many can go twice, with the same Message-ID, where we are killed."""
SET_SECONDS = 45.0
"""After which a set begins no further message; the database would end the transaction after 90."""
STOP_SECONDS = 25.0
LONGEST_AWAY = 15.0


class Bell:
    """Wakes a sender when this copy has committed work for it; other copies' work is found by the poll."""

    def __init__(self, service: Service, kind: type) -> None:
        self._service, self._kind, self._rung = service, kind, asyncio.Event()

    def __enter__(self) -> Self:
        self._service.work.committed.append(self._committed)
        return self

    def __exit__(self, *_: object) -> None:
        self._service.work.committed.remove(self._committed)

    def _committed(self, decided: Decided) -> None:
        if any(kind is self._kind for kind, _ in decided.saved):
            self._rung.set()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        await rung(self._rung, seconds)
        self._rung.clear()


# ---- mail --------------------------------------------------------------------------------------------------------------


async def send_mail(service: Service) -> None:
    """Send what is due, for ever. Where we are stopped meanwhile, what was handed over is noted first."""
    sender = Sender(service)
    away = 0.0
    with Bell(service, Delivery) as bell:
        try:
            while True:
                task = asyncio.create_task(sender.send_due())
                try:
                    handled = await asyncio.shield(task)
                    away = 0.0
                except RelayAway as error:
                    away = min(max(0.5, away * 2), LONGEST_AWAY)
                    log.warning("the mail relay is away, tried again in %.1f s", away, extra={"ids": {"reason": str(error)}})
                    await asyncio.sleep(away)
                    continue
                except asyncio.CancelledError:
                    sender.stopping = True
                    await asyncio.wait([task], timeout=STOP_SECONDS)
                    raise
                if not handled:
                    await bell.wait(POLL_SECONDS)
        finally:
            sender.close()


class Sender:
    """Takes sets of due messages and holds their rows while they are handed over and noted, in one transaction."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.service, self.stopping = service, False
        self.writer = Writer(
            Letterhead(
                settings.mail_from,
                settings.link_secret,
                settings.urls.get("scheduling", ""),
                settings.urls.get("notifications", f"http://127.0.0.1:{service.port}"),
                settings.urls.get("matching", ""),
                settings.urls.get("gateway", ""),
            )
        )
        self.mailers = [
            Mailer(settings.smtp, self.writer.head.address, settings.smtp_user, settings.smtp_password) for _ in range(RELAYS)
        ]

    def close(self) -> None:
        for mailer in self.mailers:
            mailer.close()

    async def send_due(self) -> int:
        """Send one set; the number of messages looked at. Raises RelayAway where there are some and the relay is away."""
        service, database = self.service, self.service.database
        # Committed before anything is sent: where nothing can be noted, nobody gets the same mail every second.
        async with database.transaction() as connection:
            begun = await store.begin_due(connection, database.clock.now(), RELAYS * MAILS_EACH)
        if not begun:
            return 0
        async with database.transaction() as connection:
            due = await store.hold_begun(connection, begun)
            if not due:
                return 0
            now = database.clock.now()
            joined = await store.joined(connection, (d.id for d in due))
            world = await store.world(connection, [*due, *chain.from_iterable(joined.values())])
            mails = [Mail(d, joined.get(d.id, [])) for d in due]
            actions = await self._hand_over(mails, world, now)
            if left := {d.id for d in due} - {a.key for a in actions}:
                await store.leave(connection, left)
            decided = await service.work.decide(connection, actions, database.clock.now())
            for _, error in decided.refused:
                raise error
        service.work.announce(decided)
        if not actions:
            raise RelayAway("nothing could be handed over")
        return len(due)

    async def _hand_over(self, mails: Sequence[Mail], world: store.World, now: datetime) -> list[Action]:
        """Messages that are not to be sent are noted at once, the rest goes over all connections side by side."""
        actions: list[Action] = []
        letters: list[tuple[Mail, Occasion]] = []
        for mail in mails:
            delivery = mail.first
            person = world.people.get(delivery.person_id)
            hindered = mail.hindered = {d.id: failure for d in mail.all if (failure := world.obstacle(d, now)) is not None}
            shown = distinct([d for d in mail.all if d.id not in hindered])
            if person is None and now - delivery.created_at < ABSENT_PERSON_PATIENCE:
                actions.append(postponed(delivery, now))
            elif not shown or person is None:
                actions.append(noted(mail, dropped(hindered.get(delivery.id, Failure.other))))
            else:
                first, *others = (_occasion(one, person, world) for one in shown)
                letters.append((mail, replace(first, others=tuple(others))))
        until = asyncio.get_running_loop().time() + SET_SECONDS
        shares: list[list[tuple[Mail, Occasion]]] = [[] for _ in self.mailers]
        for letter in letters:  # one person's go over one connection, so that they arrive in order
            shares[letter[0].first.person_id.int % len(shares)].append(letter)
        for share in await asyncio.gather(
            *(self._share(mailer, share, now, until) for mailer, share in zip(self.mailers, shares, strict=True) if share)
        ):
            actions += share
        return actions

    async def _share(self, mailer: Mailer, share: Sequence[tuple[Mail, Occasion]], now: datetime, until: float) -> list[Action]:
        """One connection's part of a set. Where the relay goes away, what wasn't handed over stays as it was."""
        actions = []
        for mail, occasion in share:
            if self.stopping or asyncio.get_running_loop().time() > until:
                break
            try:
                actions.append(await self._one(mailer, mail, occasion, now))
            except RelayAway:
                break
        return actions

    async def _one(self, mailer: Mailer, mail: Mail, occasion: Occasion, now: datetime) -> Action:
        delivery = mail.first
        attributes = {"ithaca.delivery": str(delivery.id), "ithaca.template": delivery.template}
        with self.service.telemetry.span("send mail", SpanKind.CLIENT, delivery.traceparent, **attributes) as traceparent:
            try:
                handed = await mailer.send(occasion.reader.email or "", self.writer.mail(occasion, now))
            except RelayAway:
                raise
            except Exception as error:  # noqa: BLE001 - a text that can't be written must not keep the others of its set
                log.error("a mail can't be written: %s", describe(error), extra={"ids": {"delivery": str(delivery.id)}})  # noqa: TRY400
                handed = Handed(Failure.other, final=isinstance(error, ValueError))
        return noted(mail, tried(handed), traceparent)


def _occasion(delivery: Delivery, person: Person, world: store.World) -> Occasion:
    talks = delivery.program in person.talks
    program, owner = world.programs.get(delivery.program), world.organizations.get(delivery.organization)
    return Occasion(
        delivery,
        person,
        program.name if program else delivery.program.partition(".")[2].capitalize(),
        owner.name if owner else delivery.organization.capitalize(),
        world.relationships.get(delivery.relationship_id) if delivery.relationship_id else None,
        world.meetings.get(delivery.meeting_id) if delivery.meeting_id else None,
        world.people,
        {organization.id: organization.name for organization in world.organizations.values()},
        by_request=program is not None and program.by_request and not talks,
        personal_rules=program is not None and program.personal_rules,
        talks=talks or (program is not None and program.talks),
        own_words=program.text(delivery.template) if program else "",
        own_milestone=program.milestone(delivery.data.get("own") or "") if program else "",
    )


# ---- webhooks ----------------------------------------------------------------------------------------------------------

CALLS_EACH = 20
AT_ONCE = 8
"""Calls to one endpoint at a time, and endpoints at a time."""
ENDPOINTS_AT_ONCE = 16
LEASE = timedelta(minutes=2)
"""When a call is due again should this copy not live to tell how it went. Calls are known by their id: a second one does no harm."""


async def call_webhooks(service: Service) -> None:
    """Post what is due, for ever: each endpoint by a task of its own, so that a slow one delays no other."""
    caller = Caller(service.settings.webhook_networks, service.settings.secret_key)
    database = service.database
    running: dict[UUID, asyncio.Task[None]] = {}
    with Bell(service, Call) as bell:
        try:
            while True:
                room = ENDPOINTS_AT_ONCE - len(running)
                taken: dict[UUID, list[Call]] = {}
                endpoints: dict[UUID, Endpoint] = {}
                if room:
                    now = database.clock.now()
                    async with database.transaction() as connection:
                        taken = await store.take_calls(
                            connection, now, now + LEASE, busy=running, each=CALLS_EACH, endpoints=room
                        )
                        endpoints = await store.endpoints(connection, taken)
                for endpoint_id in taken.keys() & endpoints.keys():  # one may have been removed meanwhile
                    task = asyncio.create_task(_call_endpoint(service, caller, endpoints[endpoint_id], taken[endpoint_id]))
                    running[endpoint_id] = task
                    task.add_done_callback(lambda done, key=endpoint_id: _done(running, key, done, bell))  # type: ignore[misc]
                if not taken:
                    await bell.wait(POLL_SECONDS)
        finally:
            if running:
                await asyncio.wait(running.values(), timeout=15)
            await caller.close()


def _done(running: dict[UUID, asyncio.Task[None]], endpoint: UUID, task: asyncio.Task[None], bell: Bell) -> None:
    running.pop(endpoint, None)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("webhooks wait: %s", describe(error), extra={"ids": {"endpoint": str(endpoint)}})
    bell.ring()


async def _call_endpoint(service: Service, caller: Caller, endpoint: Endpoint, calls: Sequence[Call]) -> None:
    """One endpoint's set of calls, a few side by side, and what became of them."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(call: Call) -> tuple[Call, Answer, str]:
        assert call.body is not None
        attributes = {"ithaca.call": str(call.id), "ithaca.endpoint": str(endpoint.id)}
        async with gate:
            with service.telemetry.span("call webhook", SpanKind.CLIENT, call.traceparent, **attributes) as traceparent:
                body = call.body | {"traceparent": traceparent}
                answer = await caller.post(endpoint.url, endpoint.id, call.id, body, service.database.clock.wall())
        return call, answer, traceparent

    answers = await asyncio.gather(*(one(call) for call in calls))
    outcomes = await service.work.act_all([answered(call, answer, traceparent) for call, answer, traceparent in answers])
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def answered(call: Call, answer: Answer, traceparent: str = "") -> Action:
    """The action that writes down what became of a call, and of its endpoint with it."""

    def do(endpoint: Endpoint | None, context: Context) -> Outcome:
        held = context.get(Call, call.id)
        if endpoint is None or held is None or held.state is not State.waits:
            return NOTHING
        return got_through(endpoint, held, answer, context) if answer.failure is None else failed(endpoint, held, answer, context)

    return Action(
        Endpoint,
        call.endpoint_id,
        do,
        call.organization,
        call.program,
        traceparent or call.traceparent,
        {Call: [call.id]},
        id=call.fact_id,
        correlation=call.correlation,
        causes=True,
    )


def got_through(endpoint: Endpoint, call: Call, answer: Answer, context: Context) -> Outcome:
    """Delivered: what it said is forgotten, and the endpoint is well."""
    assert answer.status is not None
    done = replace(call, state=State.sent, status=answer.status, failure=None, body=None, finished_at=context.now)
    outcome = Outcome((done,)) if endpoint.failing_since is None else changed(endpoint, failing_since=None).also(done)
    return outcome.then(
        WebhookDelivered(
            audience=(call.organization,),
            organization=call.organization,
            endpoint_id=endpoint.id,
            delivery_id=call.id,
            fact_id=call.fact_id,
            fact_type=call.fact_type,
            attempt=call.attempts,
            status=answer.status,
        )
    )


def failed(endpoint: Endpoint, call: Call, answer: Answer, context: Context) -> Outcome:
    """Tried again later; after some three days, or a 410, given up, and the endpoint with it if nothing else gets through."""
    assert answer.failure is not None
    now, gone = context.now, answer.failure is Failure.gone
    wait = None if gone or call.is_test else after_try(call.attempts, HOOK_DELAYS)
    noted_call = replace(call, status=answer.status, failure=answer.failure)
    if wait is not None:
        noted_call = replace(noted_call, due_at=now + wait)
    else:
        noted_call = replace(noted_call, state=State.failed, body=None, finished_at=now)
    if call.is_test and not gone:
        return Outcome((noted_call,))
    ill = replace(endpoint, failing_since=endpoint.failing_since or now)
    if endpoint.disabled_at is not None or wait is not None or not (gone or given_up(ill, now)):
        return Outcome((noted_call,) if ill == endpoint else (ill, noted_call))
    disabled = WebhookDisabled(
        audience=(call.organization,),
        organization=call.organization,
        endpoint_id=endpoint.id,
        fact_id=call.fact_id,
        failure=answer.failure,
        attempts=call.attempts,
        failing_since=ill.failing_since,
    )
    return Outcome((replace(ill, disabled_at=now), noted_call)).then(disabled)


# ---- tidiness ----------------------------------------------------------------------------------------------------------

KEEP_CALLS, KEEP_DELIVERIES = timedelta(days=7), timedelta(days=400)


async def keep_tidy(service: Service) -> None:
    """Once an hour, forget calls of last week and deliveries of last year."""
    while True:
        now = service.database.clock.now()
        async with service.database.transaction() as connection:
            await store.prune(connection, calls_before=now - KEEP_CALLS, deliveries_before=now - KEEP_DELIVERIES)
        await asyncio.sleep(3600)
