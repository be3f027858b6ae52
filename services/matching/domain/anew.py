"""What a run of today would say of proposals that are open: the same rules, scores and reasons, without a plan.

Nobody's proposals stand in each other's way: those of the same format and of the formats that a run makes after it are taken as given
back, as they would be if the run were made anew; whatever has begun stands, and so does what the formats before it propose.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import combinations
from types import MappingProxyType
from uuid import UUID

from services.matching.domain.formats import about, by_topics, in_turn, of_format, one_more
from services.matching.domain.model import BESIDE, PEERS, Against, Person, Place, Program, Relationship, revisions_of
from services.matching.domain.peer_score import peer_parts, peers_least, peers_scoring
from services.matching.domain.pool import Candidate, Span, candidates, free_spans, monday_of
from services.matching.domain.proposals import Anew
from services.matching.domain.rules import Lines, among_equals, kept_from, rule_against
from services.matching.domain.runs import settles
from services.matching.domain.score import Scoring, Spoken, fit_of, parts, reasons, score_of, weighed
from services.matching.domain.together import added
from shared.events import Format, Policy, Role

Found = tuple[int, tuple[Spoken, ...]]
"""A score and its parts."""


def anew(proposals: Iterable[Relationship], people: Mapping[UUID, Person], program: Program, now: datetime) -> list[Anew]:
    """Each proposal as it would be found today. Left out is one with somebody who isn't among `people`, all that are enrolled."""
    fields: dict[tuple[Format, int, bool], Field] = {}

    def outcome(proposal: Relationship, *, further: bool) -> Found | Against:
        turn = proposal.turn if further else 0
        key = proposal.format, turn, further
        if key not in fields:
            fields[key] = field_of(people.values(), program, now, proposal.format, turn, further=further)
        return fields[key].of(proposal)

    answers = []
    for proposal in proposals:
        members = [people[member.person_id] for member in proposal.members if member.person_id in people]
        if len(members) < len(proposal.members):
            continue
        seen = Anew(proposal.id, revisions_of(members, program))
        if proposal.format not in program.policy.formats:
            answers.append(replace(seen, against=Against.formats))
            continue
        found = outcome(proposal, further=not _first(proposal, people, program))
        if found is Against.least_score and proposal.turn:  # whoever finds none so is found one for topics alone
            found = outcome(proposal, further=True)
        if isinstance(found, Against):
            answers.append(replace(seen, against=found))
        else:
            score, spoken = found
            answers.append(replace(seen, score=score, reasons=reasons(spoken), about=about(proposal.format, spoken)))
    return answers


# ---- the people, as a run would come to them ---------------------------------------------------------------------------


def _standing(person: Person, program: Program, form: Format, turn: int) -> list[Place]:
    """Their places in the program when a run comes to this turn of this format."""
    formats = in_turn(program.policy)
    before = formats[: formats.index(form)]
    return [
        place
        for place in person.places
        if place.program == program.id
        and (not place.proposed or place.format in before or (place.format is form and place.turn < turn))
    ]


def _first(proposal: Relationship, people: Mapping[UUID, Person], program: Program) -> bool:
    """Whether it is for a mentee's first mentor, where there may be several."""
    if proposal.format is not Format.multi_mentor:
        return True
    mentee = next(people[member.person_id] for member in proposal.members if member.role is Role.mentee)
    return all(place.format in BESIDE for place in _standing(mentee, program, proposal.format, proposal.turn))


def _as_then(person: Person, program: Program, form: Format, turn: int) -> Person:
    """With what stands alone, as if it had begun."""
    standing = _standing(person, program, form, turn)
    elsewhere = [place for place in person.places if place.program != program.id]
    then = replace(person, places=tuple(elsewhere + [place for place in standing if not place.proposed]))
    for one in {place.relationship_id for place in standing if place.proposed}:
        places = [replace(place, proposed=False) for place in standing if place.relationship_id == one]
        then = then.with_place(*places, settled=settles(places[0].format, person, program))
    return then


@dataclass(frozen=True, slots=True)
class Field:
    """Everyone of a program as a run would come to one of its formats, and what a score is made of there."""

    form: Format
    policy: Policy
    scoring: Scoring
    lines: Lines
    people: Mapping[str, Candidate]
    places: Mapping[str, int]
    monday: date

    def of(self, proposal: Relationship) -> Found | Against:
        """The score of a proposal and its parts, or the first rule against it."""
        for member in proposal.members:
            who = str(member.person_id)
            if who not in self.places:
                return Against.takes_part
            if not self.places[who]:
                return Against.places
            if self.people[who].role is not member.role:
                return Against.takes_part
        mentors, mentees, peers = (
            [self.people[who] for who in sorted(str(m.person_id) for m in proposal.members if m.role is role)]
            for role in (Role.mentor, Role.mentee, Role.peer)
        )
        if self.form in PEERS:
            return self._peers(peers)
        return self._group(mentors, mentees) if self.form is Format.group else self._pair(mentees[0], mentors[0])

    def _free(self, one: Candidate, other: Candidate) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        return free_spans(one.profile, self.monday), free_spans(other.profile, self.monday)

    def _rule(self, mentee: Candidate, mentor: Candidate, policy: Policy) -> Against | None:
        apart = kept_from(mentee, policy, self.lines)
        return rule_against(mentee, mentor, policy, apart, self._free(mentee, mentor))

    def _either(self, people: Sequence[Candidate], policy: Policy) -> Against | None:
        """The first rule that keeps two of these apart, in either direction."""
        both = (pair for one, other in combinations(people, 2) for pair in ((one, other), (other, one)))
        return next((rule for one, other in both if (rule := self._rule(one, other, policy))), None)

    def _spoken(self, mentee: Candidate, mentor: Candidate) -> list[Spoken]:
        return parts(mentee, mentor, self.scoring, self._free(mentee, mentor))

    def _pair(self, mentee: Candidate, mentor: Candidate) -> Found | Against:
        rule = self._rule(mentee, mentor, self.policy)
        if rule is not None:
            return rule
        spoken = self._spoken(mentee, mentor)
        if fit_of(spoken, self.scoring) < self.scoring.least:
            return Against.least_score
        return score_of(spoken), tuple(spoken)

    def _peers(self, people: Sequence[Candidate]) -> Found | Against:
        """Two, or a circle: then all pairs on the average, and a least score isn't asked."""
        rule = self._either(people, self.policy)
        if rule is not None:
            return rule
        spoken = [peer_parts(one, other, self.scoring, self._free(one, other)) for one, other in combinations(people, 2)]
        score = sum(map(score_of, spoken)) // len(spoken)
        if self.form is Format.circle:
            return score, added(spoken, len(spoken))
        return Against.least_score if score < peers_least(self.scoring) else (score, tuple(spoken[0]))

    def _group(self, mentors: Sequence[Candidate], mentees: Sequence[Candidate]) -> Found | Against:
        """Each mentee with each mentor, on the average."""
        pairs = [(mentee, mentor) for mentee in mentees for mentor in mentors]
        rules = (self._rule(mentee, mentor, self.policy) for mentee, mentor in pairs)
        equals = (self._either(side, among_equals(self.policy)) for side in (mentees, mentors))
        rule = next((rule for some in (rules, equals) for rule in some if rule), None)
        if rule is not None:
            return rule
        of_each = [added([self._spoken(mentee, mentor) for mentor in mentors], 1) for mentee in mentees]
        return sum(map(score_of, of_each)) // len(pairs), added(of_each, len(pairs))

    def joining(self, newcomer: Candidate, seated: Sequence[Candidate]) -> Found | Against:
        """One more in a circle, with each of the others, or in a group, with each on the other side, on the average; or the first rule
        that keeps them from one of all.
        """
        equals = [one for one in seated if one.role is newcomer.role]
        across = [(newcomer, o) if o.role is Role.mentor else (o, newcomer) for o in seated if o.role is not newcomer.role]
        equally = self.policy if self.form in PEERS else among_equals(self.policy)
        rules = (self._rule(mentee, mentor, self.policy) for mentee, mentor in across)
        equal = (self._either((newcomer, one), equally) for one in equals)
        rule = next((rule for some in (rules, equal) for rule in some if rule), None)
        if rule is not None:
            return rule
        if self.form in PEERS:
            spoken = [peer_parts(newcomer, one, self.scoring, self._free(newcomer, one)) for one in equals]
        else:
            spoken = [self._spoken(mentee, mentor) for mentee, mentor in across]
        count = max(len(spoken), 1)
        return sum(map(score_of, spoken)) // count, added(spoken, count)


def field_of(people: Iterable[Person], program: Program, now: datetime, form: Format, turn: int, *, further: bool) -> Field:
    """Where a mentee has several mentors, `turn`: in which of a run's; `further`: for one beside their first, which has begun or is proposed."""
    then = {str(person.id): _as_then(person, program, form, turn) for person in people}
    pool = candidates(then.values(), program, now, form)
    places = {one.id: one.places for one in pool}
    policy = of_format(form, program.policy, further=further)
    if form is Format.multi_mentor:
        pool = [one_more(one, then, program.id, further=further) for one in pool]
    if form is Format.group or form in PEERS:
        pool = [one for one in pool if one.places > 0]
    return field_among(pool, policy, form, now, places, further=further)


def field_among(
    pool: Iterable[Candidate],
    policy: Policy,
    form: Format,
    now: datetime,
    places: Mapping[str, int] = MappingProxyType({}),
    *,
    further: bool = False,
) -> Field:
    """These people by the rules and weights of this format."""
    everyone = sorted(pool, key=lambda one: (one.id, one.role))
    mentees, mentors = ([one for one in everyone if one.role is role] for role in (Role.mentee, Role.mentor))
    if form in PEERS:
        scoring = peers_scoring(policy, everyone)
    elif form is Format.reverse or further:
        scoring = by_topics(everyone, policy)
    else:
        scoring = weighed(policy, mentees, mentors)
    known = {one.id: one for one in everyone}
    return Field(form, policy, scoring, Lines(everyone), known, places, monday_of(now))
