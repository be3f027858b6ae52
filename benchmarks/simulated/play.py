"""A relationship of the simulated program from its match to its end: people act as they feel, the platform's own rules decide what follows.

What happens goes through `services.scheduling.domain` as a click, a timer or a record would; the flags see what they see there, and nothing else. They look once a day; the
look at once when someone at risk meets is left out, so that what other thresholds would tell can be worked out from the same looks. What people do,
per day, of someone who feels `f` about it (0: undecided, 1: well) and answers as quickly as `q`; p(x) is the logistic function. How much of `f` and of load shows in
it nobody knows: beside what stands here (1) programs are played in which it shows half as much (0.5), or twice (2), around f = 1 and load 0.

- signs, picks a time, takes one suggested: p(−0.7 + 0.6 f + 0.7 q)
- comes to a meeting: p(2.4 + f); says afterwards that they met: p(0.8 + 0.5 f + 0.7 q), half of those who didn't on one of the four days after;
  who came in vain says so every second time
- moves or calls off a meeting, once each, up to three days before: p(−2.2 + 0.8 × load)
- where it has gone quiet: says that they are in touch p(−1 + 0.8 f + 0.5 q), or, where they would go on, that they hear nothing, 0.03; asked
  whether they go on they answer p(0.5 + f)
- answers check-ins that are open: half of the first probability; how well they are matched, they say, is 4.1 + 0.9 (chemistry and aims, as felt by then)
  + 0.3 (load and motivation) + mildness + N(0, 0.5), rounded; the fit is good from 3.4 of that on, unsure from 2.4 on
- a mentee sets a goal: 0.06 p(0.5 f + 0.5 q)
- each says yes to a renewal: the first probability, where they feel better than well (f > 1.5)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from benchmarks.simulated.latent import NEVER, Between, Cause, Fate, Manner, Someone, likely, most_strained
from services.scheduling.domain import (
    agreement,
    answering,
    changes,
    check_ins,
    endings,
    goals,
    meetings,
    people,
    recognition,
    renewal,
    risk,
    signs,
    silence,
    unsigned,
)
from services.scheduling.domain.answering import Given
from services.scheduling.domain.check_ins import Answer, Answers, CheckIn
from services.scheduling.domain.diaries import Diary, Turn
from services.scheduling.domain.model import Meeting, MeetingStatus, Person, Program, Relationship
from shared.decisions import Outcome, Timer
from shared.errors import Rejected
from shared.events import (
    ChangeReason,
    EndReason,
    Fit,
    Format,
    GoalKind,
    Member,
    PairCreated,
    PairEnded,
    PairFlagged,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Policy,
    Role,
    Term,
)

BESIDE = frozenset({recognition.TIMER})
"""Timers of persons, which nothing here depends on."""
BEGINS = datetime(2026, 1, 5, 7, tzinfo=UTC)
DAYS = 730
PROGRAM = "northwind.crossing"
ZONES = ("Europe/Berlin", "Europe/London", "Europe/Athens")
PLANNED = frozenset({EndReason.completed, EndReason.goal_attained, EndReason.program_closed})
DAY = timedelta(days=1)


@dataclass
class At:
    """The moment of a decision, and what may be asked of it. People have no other meetings."""

    now: datetime
    chance: Random
    known: dict[UUID, Any] = field(default_factory=dict)
    """Check-ins, and what was answered to them."""

    @property
    def time(self) -> datetime:
        return self.now

    def new_id(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128))

    def get(self, kind: type[Any], key: UUID) -> Any:
        if kind in {Diary, Turn}:
            return kind(key)
        found = self.known.get(key)
        return found if isinstance(found, kind) else None


@dataclass(frozen=True)
class Look:
    """What the flags' timer saw."""

    day: float
    """Since the match."""
    levels: tuple[tuple[str, int], ...]
    """(sign, how strong)"""
    paused: bool = False
    """In a break nobody is judged."""


@dataclass(frozen=True)
class Story:
    """What became of a relationship, and why: the causes are for the figures alone."""

    number: int
    days: float
    """From the match to its end, or to the end of the two years."""
    reason: str
    """Empty where it goes on."""
    early: bool
    cause: Cause | None
    by_mentor: bool
    decided: float | None
    """The day on which somebody decided, where somebody did."""
    held: int
    looks: tuple[Look, ...]
    flags: tuple[tuple[float, bool], ...]
    """When it was flagged, and when it wasn't any more, as PairFlagged told."""


@dataclass
class Play:
    """One relationship being played, day by day."""

    number: int
    chance: Random
    sides: tuple[Someone, Someone]
    between: Between
    at: At
    persons: tuple[Person, Person]
    relationship: Relationship
    shows: float = 1.0
    meetings: dict[UUID, Meeting] = field(default_factory=dict)
    timers: dict[tuple[str, str], Timer] = field(default_factory=dict)
    ended: PairEnded | None = None
    looks: list[Look] = field(default_factory=list)
    flags: list[tuple[float, bool]] = field(default_factory=list)
    check_ins: dict[UUID, CheckIn] = field(default_factory=dict)
    open_until: list[datetime] = field(default_factory=lambda: [BEGINS, BEGINS])
    """Until when each side may answer what they haven't."""
    came: dict[UUID, tuple[bool, bool]] = field(default_factory=dict)
    said: set[tuple[UUID, int]] = field(default_factory=set)
    moved: set[tuple[UUID, int]] = field(default_factory=set)
    paused: list[bool] = field(default_factory=lambda: [False, False])
    records: list[int] = field(default_factory=lambda: [1, 1])

    @classmethod
    def drawn(cls, seed: int, number: int, shows: float = 1.0) -> "Play":
        chance = Random(f"{seed}/{number}")
        sides = (Someone.drawn(chance, mentors=True), Someone.drawn(chance, mentors=False))
        between = Between.drawn(chance)
        at = At(BEGINS + timedelta(days=chance.uniform(0, 365)), chance)
        persons = tuple(Person(at.new_id(), "northwind", time_zone=chance.choice(ZONES), revision=1) for _ in sides)
        roles = (Role.mentor, Role.mentee)
        members = tuple(Member(person_id=p.id, role=r, organization="northwind") for p, r in zip(persons, roles, strict=True))
        weeks, months = chance.choices((1, 2, 4), (15, 50, 35))[0], chance.choices((6, 9, 12), (50, 25, 25))[0]
        policy = Policy(agreement={"every_weeks": weeks, "months": months})
        matched = PairCreated(
            relationship_id=at.new_id(), program=PROGRAM, members=members, score=1, format=Format.one_to_one, term=Term.long
        )
        relationship = agreement.draft(matched, Program(PROGRAM, "northwind", "Crossing", policy, 1), persons, at)
        play = cls(number, chance, sides, between, at, persons, relationship, shows)  # type: ignore[arg-type]
        play.take(lambda: agreement.begun(relationship, at))
        return play

    # what the core does

    def take(self, decide: Callable[[], Outcome]) -> None:
        try:
            outcome = decide()
        except Rejected:
            return
        for aggregate in outcome.changed:
            if isinstance(aggregate, Relationship):
                self.relationship = aggregate
            elif isinstance(aggregate, Meeting):
                self.meetings[aggregate.id] = aggregate
            elif isinstance(aggregate, CheckIn):
                self.asked(aggregate)
        for place in outcome.cleared:
            self.timers.pop(place, None)
        for timer in outcome.timers:
            if timer.kind not in BESIDE and (timer.kind != risk.TIMER or timer.fire_at > self.at.now):
                self.timers[timer.kind, timer.key] = timer
        for event in outcome.events:
            if isinstance(event, PairEnded):
                self.ended = event
            elif isinstance(event, PairFlagged) and bool(event.signs) != bool(self.flags and self.flags[-1][1]):
                self.flags.append((self.day, bool(event.signs)))

    def asked(self, check_in: CheckIn) -> None:
        """A check-in was asked or answered: those who weigh it read it with the others."""
        self.check_ins[check_in.id] = self.at.known[check_in.id] = check_in
        which = int(check_in.person_id == self.someone(1))
        if check_in.answered_at is None:
            self.open_until[which] = max(self.open_until[which], check_in.due_at)
        told = (Answer(*(getattr(one, name) for name in Answer.__dataclass_fields__)) for one in self.check_ins.values())
        self.at.known[self.relationship.id] = Answers(self.relationship.id, tuple(told))

    @property
    def planned(self) -> Meeting | None:
        return meetings.current(self.relationship, self.meetings.get)

    @property
    def day(self) -> float:
        return (self.at.now - self.relationship.created_at) / DAY

    def fire(self, timer: Timer) -> None:
        about = self.meetings.get(UUID(timer.key))
        relationship, at = self.relationship, self.at
        if timer.kind == risk.TIMER:
            answers = at.get(Answers, relationship.id) or Answers(relationship.id)
            seen = risk.findings(relationship, answers, at.now)
            self.looks.append(Look(self.day, tuple((f.sign.value, f.level) for f in seen), any(self.paused)))
            self.take(lambda: risk.judged(relationship, seen, at))
        of_meeting = {"unpicked": meetings.unpicked, "missed": meetings.overdue}
        of_planned = {signs.QUIET: silence.further, signs.UNANSWERED: silence.unanswered, "end": endings.complete}
        of_itself = {
            "propose": meetings.propose_again,
            unsigned.TIMER: unsigned.due,
            renewal.OFFER: renewal.offer,
            check_ins.TIMER: check_ins.due,
        }
        if timer.kind in of_meeting and about is not None:
            self.take(lambda: of_meeting[timer.kind](relationship, about, at))
        elif timer.kind in of_planned:
            self.take(lambda: of_planned[timer.kind](relationship, self.planned, at))
        elif timer.kind in of_itself:
            self.take(lambda: of_itself[timer.kind](relationship, at))

    def go_on(self, until: datetime) -> None:
        """Timers that are due by then, in order."""
        while self.ended is None:
            timer = min(self.timers.values(), key=lambda t: t.fire_at, default=None)
            if timer is None or timer.fire_at > until:
                break
            self.at.now = max(self.at.now, timer.fire_at)
            del self.timers[timer.kind, timer.key]
            self.fire(timer)
        self.at.now = max(self.at.now, until)

    # a day

    def run(self) -> Story:
        begins, last = self.at.now, BEGINS + DAYS * DAY
        days, horizon = 0, min(DAYS * DAY, last - begins) // DAY
        while self.ended is None and days < horizon:
            days += 1
            if days % 7 == 0:
                for side in self.sides:
                    side.week()
            for which, hours in self.chance.sample(((0, 3.0), (1, 6.5)), 2):
                self.go_on(begins + days * DAY + timedelta(hours=hours + self.chance.random()))
                if self.ended is None:
                    self.lives(which)
        return self.told()

    def lives(self, which: int) -> None:
        """What one of them does on a day: first what happens to them, then what they were asked, then what comes next."""
        one, day = self.sides[which], self.day
        if self.changed(which, one, day) or self.paused[which]:
            return
        one.lives(self.between, day, self.relationship.held)
        if one.acts <= day and one.manner is Manner.says:
            self.says_so(which, one)
            return
        feels = self.shown(one)
        answers = likely(-0.7 + 0.6 * feels + 0.7 * one.quick)
        for act in (self.signs, self.meets, self.tells, self.is_quiet, self.checks_in, self.grows):
            if self.ended is None:
                act(which, one, feels, answers)

    def shown(self, one: Someone) -> float:
        """What somebody feels, as far as it shows in what they do."""
        return 1 + self.shows * (one.feels(self.between, self.day, self.relationship.held) - 1)

    def is_so(self, probability: float) -> bool:
        return self.chance.random() < probability

    def someone(self, which: int) -> UUID:
        return self.persons[which].id

    # what happens to them

    def changed(self, which: int, one: Someone, day: float) -> bool:
        """Whether something in their life has ended it today."""
        for change in one.changes:
            if change.day <= day < change.day + 1 and change.fate is not Fate.stays:
                one.decided = min(one.decided, change.known_from)
                one.cause = Cause.life_sudden if change.sudden else Cause.life_told
                self.goes(which, leaves=change.fate is Fate.leaves)
                return True
        for begins, ends, comes_back in one.breaks:
            if begins <= day < begins + 1 and not self.paused[which]:
                self.pauses(which, paused=True)
            if day >= ends and self.paused[which]:
                if not comes_back:
                    one.decided, one.cause = min(one.decided, begins), Cause.life_told
                    self.goes(which, leaves=True)
                    return True
                self.pauses(which, paused=False)
        return False

    def goes(self, which: int, *, leaves: bool) -> None:
        relationship, person = self.relationship, self.someone(which)
        if leaves:
            self.take(lambda: people.leave(relationship, self.planned, person, EndReason.person_withdrawn, self.at))
        else:
            self.take(lambda: endings.end_by(relationship, self.planned, person, EndReason.moved_on, self.at, rematch=False))

    def says_so(self, which: int, one: Someone) -> None:
        reason = {Cause.chemistry: EndReason.not_a_fit, Cause.aims: EndReason.not_a_fit, Cause.load: EndReason.no_time}
        why = reason.get(one.cause or Cause.load, EndReason.other)
        self.take(lambda: endings.end_by(self.relationship, self.planned, self.someone(which), why, self.at, rematch=False))

    def pauses(self, which: int, *, paused: bool) -> None:
        self.paused[which] = paused
        self.records[which] += 1
        person = self.persons[which]
        record = (PersonPaused if paused else PersonResumed)(
            person_id=person.id,
            organization=person.organization,
            own_id="x",
            status=PersonStatus.paused if paused else PersonStatus.active,
            profile={"time_zone": person.time_zone},
            contact={"name": "X"},
            revision=self.records[which],
        )
        self.take(lambda: people.told(self.relationship, self.planned, record, self.at))

    # what they do

    def signs(self, which: int, _one: Someone, _feels: float, answers: float) -> None:
        if self.relationship.agreed_at is None and not self.relationship.has_signed(self.someone(which)) and self.is_so(answers):
            self.take(lambda: agreement.sign(self.relationship, self.someone(which), self.at))

    def meets(self, which: int, one: Someone, _feels: float, answers: float) -> None:
        """Picks a time, takes one that was suggested, moves a meeting or calls it off."""
        meeting, me, at = self.planned, self.someone(which), self.at
        if meeting is None or not meetings.changeable(meeting, at.now):
            return
        theirs = [
            s.at
            for s in meeting.suggested
            if s.by != me and s.at > at.now and s.at in meeting.slots and s.at != meeting.starts_at
        ]
        if meeting.status is MeetingStatus.proposed or theirs:
            ahead = theirs or [slot for slot in meeting.slots if slot > at.now and meeting.suggested_by(slot) != me]
            if ahead and self.is_so(answers):
                slot = self.chance.choice(ahead)
                self.take(lambda: meetings.pick(self.relationship, meeting, me, slot, at))
            return
        near = meeting.starts_at is not None and meeting.starts_at - at.now < 3 * DAY
        if not near or (meeting.id, which) in self.moved:
            return
        self.moved.add((meeting.id, which))
        if not self.is_so(likely(-2.2 + 0.8 * self.shows * one.loaded(self.day))):
            return
        ahead = [slot for slot in meeting.slots if slot > at.now and slot != meeting.starts_at]
        if ahead and self.is_so(0.6):
            self.take(lambda: meetings.pick(self.relationship, meeting, me, ahead[0], at))
        elif self.is_so(0.5):
            other = meeting.starts_at + self.chance.randint(1, 6) * DAY  # type: ignore[operator]
            self.take(lambda: changes.suggest(self.relationship, meeting, me, other, at))
        else:
            why = self.chance.choice((ChangeReason.work, ChangeReason.ill, ChangeReason.away))
            self.take(lambda: changes.call_off(self.relationship, meeting, me, why, at))

    def tells(self, which: int, one: Someone, feels: float, _answers: float) -> None:
        """Says whether they met."""
        me, at = self.someone(which), self.at
        for meeting in self.lately(at.now):
            came = self.came.get(meeting.id) or self.came.setdefault(meeting.id, self.who_came())
            known = (meeting.id, which)
            if not meetings.answerable(self.relationship, meeting, at.now) or known in self.said:
                continue
            self.said.add(known)
            says = self.is_so(likely(0.8 + 0.5 * feels + 0.7 * one.quick))
            if all(came) and not says and self.is_so(0.5):
                self.said.discard(known)
            elif all(came) and says:
                self.take(lambda m=meeting: meetings.say_met(self.relationship, m, me, m.minutes, at))  # type: ignore[misc]
            elif came[which] and self.is_so(0.5):
                self.take(lambda m=meeting: meetings.say_not_met(self.relationship, m, me, at))  # type: ignore[misc]

    def lately(self, now: datetime) -> Iterator[Meeting]:
        """Meetings of the last days that have begun and aren't known as held."""
        for past in [self.relationship.meeting_id, *(p.meeting_id for p in self.relationship.recent[-2:] if not p.held)]:
            meeting = self.meetings.get(past) if past else None
            if meeting and meetings.begun(meeting, now) and now - meeting.starts_at < 5 * DAY:  # type: ignore[operator]
                yield meeting

    def who_came(self) -> tuple[bool, bool]:
        mentor, mentee = (self.is_so(likely(2.4 + self.shown(one))) for one in self.sides)
        return mentor, mentee

    def is_quiet(self, which: int, one: Someone, feels: float, _answers: float) -> None:
        me, relationship = self.someone(which), self.relationship
        if relationship.asked == me:
            if self.is_so(likely(0.5 + feels)):
                self.take(lambda: silence.answer(relationship, me, self.at))
        elif relationship.stalled_at is not None and relationship.agreed_at is not None:
            if self.is_so(likely(-1 + 0.8 * feels + 0.5 * one.quick)) and self.sides[1 - which].acts == NEVER:
                self.take(lambda: silence.in_touch(relationship, me, self.at))
            elif feels > 0 and self.is_so(0.03):
                self.take(lambda: silence.say_silent(relationship, me, self.at))

    def grows(self, which: int, one: Someone, feels: float, answers: float) -> None:
        """A goal of the mentee's; a yes to going on."""
        me, relationship = self.someone(which), self.relationship
        sets = which and relationship.agreed_at and relationship.goals < 3
        if sets and self.is_so(0.06 * likely(0.5 * feels + 0.5 * one.quick)):
            self.take(lambda: goals.set_goal(relationship, me, goals.Draft("A goal", GoalKind.technical), self.at))
        elif relationship.renewal is not None and feels > 1.5 and self.is_so(answers):
            self.take(lambda: renewal.renew(relationship, me, self.at))

    def checks_in(self, which: int, one: Someone, _feels: float, answers: float) -> None:
        """Answers all that is open to them, on one page."""
        me, now = self.someone(which), self.at.now
        if self.open_until[which] <= now or not self.is_so(answers / 2):
            return
        self.open_until[which] = now
        says = 4.1 + one.judges(self.between, self.day, self.relationship.held) + self.chance.gauss(0, 0.5)
        given = Given(
            fit=Fit.good if says >= 3.4 else Fit.unsure if says >= 2.4 else Fit.not_a_fit,
            score=max(1, min(5, round(says))),
            scales=dict.fromkeys(check_ins.ABOUT_ONESELF, (3, 4, 4)),
        )
        self.take(lambda: answering.answer(self.relationship, me, given, list(self.check_ins), (), self.at))

    # the end

    def told(self) -> Story:
        ended, day = self.ended, self.day
        early = ended is not None and ended.reason not in PLANNED
        first = min(self.sides, key=lambda one: one.decided)
        by = first if first.decided < NEVER else most_strained(self.sides)
        cause = (by.cause or by.why(self.between, day, self.relationship.held)) if early else None
        return Story(
            self.number,
            day,
            ended.reason.value if ended else "",
            early,
            cause,
            by.mentors,
            first.decided if first.decided < NEVER else None,
            self.relationship.held,
            tuple(self.looks),
            tuple(self.flags),
        )


def play(seed: int, shows: float, number: int) -> Story:
    """The story of one relationship of the program that this seed draws."""
    return Play.drawn(seed, number, shows).run()
