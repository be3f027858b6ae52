"""Who meets whom, and why: runs, requests, proposals, pairs and groups, and who waits. All emitted by matching.

Reasons are codes with numbers; they are put into words, and into the reader's language, where they are shown.
"""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import (
    Code,
    Count,
    Event,
    Format,
    Instant,
    OrganizationId,
    Part,
    ProgramId,
    Reference,
    Role,
    Slug,
    Term,
)


class Member(Part):
    """Someone in a relationship, as what, and from which organization."""

    person_id: UUID
    role: Role
    organization: OrganizationId


class ReasonCode(Code):
    """Why these people fit; the unit of a reason's number is said for each."""

    skills = "skills"
    """Wanted skills that are offered, `number` of them, named in `items`."""
    related_skills = "related_skills"
    """Wanted skills, named in `items`, that aren't offered, while others `near` them are."""
    values = "values"
    goals = "goals"
    interests = "interests"
    language = "language"
    overlap_hours = "overlap_hours"
    """Hours a week when both are free."""
    industry = "industry"
    function = "function"
    experience = "experience"
    """Years that the mentor is ahead; of peers, that they are apart."""
    has_made_the_move = "has_made_the_move"
    """The mentor holds or held the role, named in `items`, that the mentee wants."""
    adjacent_role = "adjacent_role"
    """The mentor holds or held a role `near` the one, named in `items`, that the mentee wants."""
    location = "location"
    waiting = "waiting"
    """Days on the waitlist."""
    fair_load = "fair_load"
    """Places of the mentor's that were free before this match, where others have fewer or more taken."""
    other_perspective = "other_perspective"
    """From another function or organization, on purpose."""
    own_contact = "own_contact"
    """The mentee named the mentor, whom they know."""
    other = "other"


class Reason(Part):
    """One reason of a match, the weightiest first where several stand."""

    code: ReasonCode
    number: float
    items: tuple[Slug, ...] = ()
    near: tuple[Slug, ...] = ()
    """What the mentor has in place of each of `items`, where it is near and not the same."""


class WaitlistReason(Code):
    """What keeps a person from being matched: the one that binds."""

    nobody_offers = "nobody_offers"
    no_capacity = "no_capacity"
    no_overlap = "no_overlap"
    no_common_language = "no_common_language"
    below_least_score = "below_least_score"
    nobody_to_meet = "nobody_to_meet"
    other = "other"


class DeclineReason(Code):
    """Why a request was declined; it is worded kindly to the one who asked."""

    no_time = "no_time"
    not_my_field = "not_my_field"
    someone_closer = "someone_closer"
    unavailable = "unavailable"
    other = "other"


class WithdrawalReason(Code):
    """Why a request no longer stands."""

    changed_mind = "changed_mind"
    another_accepted = "another_accepted"
    """The mentee has found a mentor."""
    person_left = "person_left"
    """The mentee takes no part any more, or a break."""
    no_capacity = "no_capacity"
    """The mentor takes nobody any more."""
    not_allowed = "not_allowed"
    """Both had said yes, but a rule keeps the two apart."""
    program_closed = "program_closed"
    other = "other"


class RejectionReason(Code):
    """Why a proposed match does not come about."""

    not_suitable = "not_suitable"
    known_conflict = "known_conflict"
    declined_by_member = "declined_by_member"
    no_longer_holds = "no_longer_holds"
    expired = "expired"
    other = "other"


class LeavingReason(Code):
    """Why someone left a group that goes on."""

    own_wish = "own_wish"
    removed = "removed"
    person_withdrawn = "person_withdrawn"
    person_erased = "person_erased"
    other = "other"


class Roster(Part):
    """How far the people of a program are known. A reader whose numbers are as large has seen what the sender had sent."""

    people: Count
    """Enrolments in the program."""
    revisions: Count
    """The sum of their revisions."""


class Run(Event):
    """A match run."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "run_id"

    run_id: UUID
    program: ProgramId


class MatchRunRequested(Run):
    """A coordinator, or a timer of the program, has asked for a match run; matching has accepted it and will start once the
    roster it should include has arrived. Emitted by matching.
    """

    requested_by: Reference | None = None
    """The id of the key or person; none for a timer."""
    after_roster: Roster | None = None


class MatchRunFinished(Run):
    """A match run is over and its pairs, proposals and waitlist stand. Emitted by matching."""

    people: Count
    """Considered, both sides."""
    pairs: Count
    groups: Count = 0
    waitlisted: Count
    score_total: int
    """1.0 is 1,000,000."""
    gap: Count
    """By how much a better plan could at most exceed `score_total`: 0 means that none exists."""
    seconds: float


class Match(Event):
    """A relationship as matching sees it, whatever its format."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "relationship_id"

    relationship_id: UUID
    """Minted when first proposed, and the relationship's id from then on."""
    program: ProgramId
    run_id: UUID | None = None
    """The run it comes from; none after a request or a rolling re-match."""
    request_id: UUID | None = None
    format: Format = Format.one_to_one
    term: Term = Term.long
    members: Annotated[tuple[Member, ...], Field(min_length=2)]
    score: int
    """1.0 is 1,000,000; 0 where it wasn't asked for, as with a mentor whom the mentee named."""
    reasons: tuple[Reason, ...] = ()
    about: tuple[Slug, ...] = ()
    """The topics it is meant for, where it has some of its own, as with several mentors for one mentee."""


class MatchProposed(Match):
    """A match waits for approval, by a coordinator or by its members. Emitted by matching; again where it was re-scored, since its
    people or the program's policy had changed.
    """

    expires_at: Instant | None = None
    score_before: int | None = None
    """What it was until now, where the match was re-scored; the same where only its reasons have changed."""


class PairCreated(Match):
    """Two people are matched: their relationship begins. Emitted by matching."""


class GroupCreated(Match):
    """Three or more are matched as a group or circle: their relationship begins. Emitted by matching."""


class MatchApproved(Event):
    """A proposed match was approved; PairCreated or GroupCreated follows. Emitted by matching."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "relationship_id"

    relationship_id: UUID
    program: ProgramId
    run_id: UUID | None = None
    approved_by: Reference | None = None


class MatchRejected(Event):
    """A proposed match will not come about; its people are free again. Emitted by matching."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "relationship_id"

    relationship_id: UUID
    program: ProgramId
    run_id: UUID | None = None
    reason: RejectionReason
    rejected_by: Reference | None = None
    people: tuple[UUID, ...] = ()
    """Those who had agreed to it, where it is a circle of co-mentees."""


class MemberJoined(Event):
    """Someone joined a group or circle in mid-course. Emitted by matching."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "relationship_id"

    relationship_id: UUID
    program: ProgramId
    member: Member


class MemberLeft(Event):
    """Someone left a group or circle that goes on without them. Emitted by matching."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "relationship_id"

    relationship_id: UUID
    program: ProgramId
    member: Member
    reason: LeavingReason


class PersonWaitlisted(Event):
    """A run, or a freed mentor, left this person without a partner: why, and what would change it. Emitted by matching."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "person_id"

    person_id: UUID
    program: ProgramId
    run_id: UUID | None = None
    role: Role
    reason: WaitlistReason
    missing: tuple[Slug, ...] = ()
    """The wanted skills that nobody offers, or the languages that nobody shares."""
    mentors_that_would_help: Count | None = None
    """How many more mentors of the right kind would place this person; none where that isn't known."""


class ReliefOffered(Event):
    """A mentor has lately declined, moved and called off more than before: they are asked whether fewer mentees at a time, or nobody new for a
    while, would be right. Emitted by matching; no partner is in its audience.
    """

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "person_id"

    person_id: UUID
    program: ProgramId
    changes: Count
    """In the last thirty days."""


class MentorRequest(Event):
    """A mentee's request to one mentor, one of several in the mentee's order."""

    topic: ClassVar[str] = "matching"
    key_field: ClassVar[str] = "request_id"

    request_id: UUID
    program: ProgramId
    mentee_id: UUID
    mentor_id: UUID


class MentorRequested(MentorRequest):
    """A mentee asked a mentor, who has until `closes_at` to answer. Emitted by matching when it is that mentor's turn, and again
    when the mentee has answered the mentor's question.
    """

    choice: Annotated[int, Field(ge=1)] = 1
    """1 is the mentee's first choice."""
    closes_at: Instant
    reasons: tuple[Reason, ...] = ()
    told_more: bool = False
    """The mentee has answered the mentor's question."""


class RequestQuestioned(MentorRequest):
    """The mentor wants to know more before answering; what they wrote goes to the mentee alone. Emitted by matching."""

    closes_at: Instant


class RequestAccepted(MentorRequest):
    """The mentor said yes: PairCreated follows, and the mentee's other requests are withdrawn. Emitted by matching."""

    relationship_id: UUID


class RequestDeclined(MentorRequest):
    """The mentor said no; the mentee's next choice is asked. Emitted by matching."""

    reason: DeclineReason
    now_unavailable: bool = False
    """The mentor takes nobody until further notice."""
    last: bool = False
    """None of the mentee's choices is left to be asked."""


class RequestWithdrawn(MentorRequest):
    """A request was taken back before an answer. Emitted by matching."""

    reason: WithdrawalReason
    last: bool = False
    """None of the mentee's choices is left to be asked."""


class RequestExpired(MentorRequest):
    """The mentor didn't answer in time; the mentee's next choice is asked. Emitted by matching."""

    last: bool = False
    """None of the mentee's choices is left to be asked."""
