"""Versions of an agreement: a member changes it, the others sign anew, and until all have the version before holds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from services.scheduling.domain import slots, unsigned
from services.scheduling.domain.agreement import sign
from services.scheduling.domain.model import About, Agreement, Moment, Relationship, Revision, Written
from services.scheduling.domain.stages import middle
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import AgreementRevised, Milestone, RevisionReason, Terms

MOST_VERSIONS = 50
AFTER_HALF = timedelta(days=21)
LONGEST_TEXT = 1000
"""Characters of what is written about one thing."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What an agreement is to say."""

    terms: Terms
    written: Mapping[About, str]


def agreement_id(relationship_id: UUID, version: int) -> UUID:
    return uuid5(relationship_id, f"agreement {version}")


def as_drafted(relationship: Relationship) -> Agreement:
    """The newest version where nobody has changed it: it is kept from the first change on."""
    return Agreement(
        agreement_id(relationship.id, relationship.version),
        relationship.id,
        relationship.organization,
        relationship.version,
        relationship.newest,
        relationship.created_at,
    )


def months_left_out(relationship: Relationship, months: int, now: datetime) -> bool:
    """Whether an agreement that holds would be over by now."""
    began = relationship.began
    return began is not None and slots.add_months(began, months, relationship.time_zone) <= now


def revise(relationship: Relationship, before: Agreement | None, person_id: UUID, draft: Draft, moment: Moment) -> Outcome:
    """A member changes the agreement, and has signed it by that. Returns the new version; None where nothing is different or it has ended.

    `before` is its newest version as kept, None where it was never changed.
    """
    if relationship.ended_at is not None or relationship.meets_once:
        return NOTHING
    if relationship.version >= MOST_VERSIONS:
        raise Rejected("too_many_versions", f"It was changed {MOST_VERSIONS - 1} times already.", status=409)
    if months_left_out(relationship, draft.terms.months, moment.now):
        raise Rejected("months_are_over", "So many months are over already.", field="months", status=409)
    known = before or as_drafted(relationship)
    written = _with_authors(known, draft.written, person_id)
    if draft.terms == known.terms and written == known.written:
        return NOTHING
    after = replace(
        known,
        id=agreement_id(relationship.id, relationship.version + 1),
        version=relationship.version + 1,
        terms=draft.terms,
        made_at=moment.now,
        reason=_reason(relationship, moment.now),
        revised_by=person_id,
        written=written,
        writers=_writers(written),
    )
    revised = AgreementRevised(
        **relationship.about, version=after.version, terms=after.terms, reason=after.reason, revised_by=person_id
    )
    relationship, waits = unsigned.wait(replace(_opened(relationship, after), apart=()), moment)
    kept = new(after) if before else new(known, after)
    return kept.then(revised).plus(waits).plus(sign(relationship, person_id, moment)).returning(after.version)


def forget(agreement: Agreement, person_id: UUID) -> Outcome:
    """Who wrote it was erased: their words go, what was agreed stays."""
    written = tuple(w for w in agreement.written if w.by != person_id)
    return NOTHING if written == agreement.written else new(replace(agreement, written=written, writers=_writers(written)))


def _opened(relationship: Relationship, after: Agreement) -> Relationship:
    """With a version to sign, beside the one that holds or, where none does yet, in place of the one before."""
    holds = relationship.holds
    relationship = replace(relationship, version=after.version, signatures=())
    if holds is None:
        return replace(relationship, terms=after.terms)
    return replace(relationship, revised=Revision(after.terms, holds))


def _reason(relationship: Relationship, now: datetime) -> RevisionReason:
    """A change where they see something differently comes of that; one that follows upon half time of it."""
    if relationship.apart:
        return RevisionReason.misalignment
    half = relationship.has_reached(Milestone.half_time) and relationship.until is not None
    return RevisionReason.half_time if half and now - middle(relationship) <= AFTER_HALF else RevisionReason.edited


def _with_authors(before: Agreement, texts: Mapping[About, str], person_id: UUID) -> tuple[Written, ...]:
    """What is written, each by whoever changed it last."""
    known = {w.about: w for w in before.written}
    told = ((about, texts.get(about, "").strip()) for about in About)
    return tuple(
        known[about] if about in known and known[about].text == text else Written(about, text, person_id)
        for about, text in told
        if text
    )


def _writers(written: tuple[Written, ...]) -> tuple[str, ...]:
    return tuple(sorted({str(w.by) for w in written}))
