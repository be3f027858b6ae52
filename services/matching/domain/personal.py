"""What a person says of themselves in a program, for one purpose: to meet only people who said the same.

Off until they switch it on, and theirs alone: in no score, no reason, no event, and shown to nobody else. Once the program has opened a
question, what was said counts until it is taken back, so that nobody but the person switches their rule off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import combinations

from services.matching.domain.model import REQUESTS_OF, REVIEW_PROPOSAL, Person, Personal, PersonalRule, Program
from shared.decisions import NOTHING, Context, Outcome, changed
from shared.errors import Rejected
from shared.events import Policy, ProgramClosed

ANOTHER_ANSWER_AFTER = timedelta(days=30)
"""Until then no other answer is taken: whoever tried one after the other would learn from whom they may meet what others said."""


def may_meet(one: Personal, other: Personal) -> bool:
    """Whether neither's own rule keeps these two apart: one that is on asks that the other said the same."""
    return _suits(one, other) and _suits(other, one)


def _suits(asks: Personal, says: Personal) -> bool:
    said = {attribute: value for attribute, value, _ in says}
    return all(said.get(attribute) == value for attribute, value, only_same in asks if only_same)


def together(people: Sequence[Person], program: str) -> bool:
    """Whether each two of them may meet there, by their own rules."""
    return all(may_meet(one, other) for one, other in combinations([person.personal(program) for person in people], 2))


# ---- the person's own page -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to one question; an empty value takes back what was said."""

    value: str = ""
    only_same: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it stands for a person. `answers`: those the program has; `opens_at`: until then no other one is taken."""

    attribute: str
    answers: tuple[str, ...]
    said: Answer
    opens_at: datetime | None
    asked: bool
    """Whether the program asks it still."""


def questions(person: Person, program: str, policy: Policy, now: datetime) -> list[Question]:
    """Those of the program, then those that the person has answered and that it asks no more."""
    said = {rule.attribute: rule for rule in person.personal_rules if rule.program == program}
    asked = {question.attribute: question.answers for question in policy.personal_rules}
    answered = [attribute for attribute, rule in said.items() if rule.value and attribute not in asked]
    found = []
    for attribute in (*asked, *answered):
        rule = said.get(attribute)
        own = Answer(rule.value, rule.only_same) if rule else Answer()
        answers = asked.get(attribute, ())
        if own.value and own.value not in answers:
            answers = (*answers, own.value)
        opens_at = rule.said_at + ANOTHER_ANSWER_AFTER if rule else None
        found.append(Question(attribute, answers, own, opens_at if opens_at and opens_at > now else None, attribute in asked))
    return found


def say(program_id: str, answers: Mapping[str, Answer], person: Person | None, context: Context) -> Outcome:
    """The person says, changes or takes back. Proposals and requests of theirs are looked at again; what has begun goes on.

    Raises Rejected, with the question as its field.
    """
    program = context.get(Program, program_id)
    if person is None or program is None or person.erased or person.enrolment(program_id) is None or program.closed:
        raise Rejected("not_a_member", "You take no part in this program any more.", status=403)
    before = {rule.attribute: rule for rule in person.personal_rules if rule.program == program_id}
    if not answers.keys() <= {*before, *(question.attribute for question in program.policy.personal_rules)}:
        raise Rejected("unknown_question", "This program doesn’t ask that.")
    after = dict(before)
    for question in questions(person, program_id, program.policy, context.now):
        answer = answers.get(question.attribute, question.said)
        if answer != question.said:
            after[question.attribute] = _said(question, answer, before.get(question.attribute), program_id, context.now)
    if after == before:
        return NOTHING
    others = tuple(rule for rule in person.personal_rules if rule.program != program_id)
    outcome = changed(person, personal_rules=(*others, *after.values()))
    for proposal in person.proposals(program_id):
        outcome = outcome.arm(REVIEW_PROPOSAL, proposal, proposal, context.now)
    return outcome.arm(REQUESTS_OF, person.id, person.id, context.now) if program.policy.by_request else outcome


def _said(question: Question, answer: Answer, before: PersonalRule | None, program: str, now: datetime) -> PersonalRule:
    attribute = question.attribute
    if answer.value not in ("", *question.answers):
        raise Rejected("unknown_answer", "Please choose one of the answers.", field=attribute)
    if answer.only_same and not answer.value:
        raise Rejected("nothing_said", "To meet only people who said the same, say first what.", field=attribute)
    if before is not None and answer.value in ("", before.value):
        return replace(before, value=answer.value, only_same=answer.only_same)
    if question.opens_at is not None:
        raise Rejected("too_soon", "Another answer can’t be given yet.", field=attribute)
    return PersonalRule(program, attribute, now, answer.value, answer.only_same)


def forgotten(person: Person, event: ProgramClosed, _: Context) -> Outcome:
    """Nobody is matched there any more: what was said for it goes."""
    return changed(person, personal_rules=tuple(rule for rule in person.personal_rules if rule.program != event.program))
