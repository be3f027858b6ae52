"""What a group is told when somebody comes, goes, or is to lead its next meeting."""

from dataclasses import replace
from typing import Any

from services.notifications.domain import Meeting, MeetingState, Plan, Relationship, both
from services.notifications.store import PLANNED_OF
from services.notifications.telling import known_one, message, tell
from shared.decisions import NOTHING, Context, Handler, Outcome, changed, new, on
from shared.events import EndReason, HostNamed, MemberJoined, MemberLeft, MemberWentOut

GONE = frozenset({EndReason.person_withdrawn, EndReason.person_erased, EndReason.never_signed})
"""Who leaves for these reasons has left the program, and is told no more about its group than what their calendar needs."""


def member_joined(known: Relationship | None, event: MemberJoined, context: Context) -> Outcome:
    """Whoever comes into a group in mid-course is introduced to it, to sign what holds, with the invitation to the planned meeting; the others
    read who has come.
    """
    relationship = known_one(known, event.relationship_id)
    if event.member in relationship.members:
        return NOTHING
    members = (*relationship.members, event.member)
    audience = both(relationship.organization, *(member.organization for member in members))
    others = {m.person_id for m in relationship.members}
    (after,) = changed(relationship, members=members, audience=audience).changed
    if relationship.ended or not relationship.agreement:
        return new(after)  # the draft's own mail introduces everyone
    plan = context.get(Plan, relationship.id)
    planned = context.get(Meeting, plan.meeting_id) if plan else None
    if planned is not None and not _ahead(planned, context):
        planned = None
    who = (event.member.person_id,)
    about = {"version": relationship.agreement, "sequence": planned.sequence if planned else 0}
    told = tell(context, after, "joined", about, meeting=planned.id if planned else None, to=who)
    told = told.plus(tell(context, after, "newcomer", {"who": str(event.member.person_id)}, to=others))
    if planned is not None and planned.state is MeetingState.scheduled:
        told = told.plus(tell(context, after, "invitation", _time_of(planned), meeting=planned.id, to=who))
    return new(after).plus(told)


def _ahead(meeting: Meeting, context: Context) -> bool:
    if meeting.state is MeetingState.proposed:
        return True
    return meeting.state is MeetingState.scheduled and meeting.starts_at is not None and meeting.starts_at > context.now


def _time_of(meeting: Meeting) -> dict[str, Any]:
    assert meeting.starts_at is not None
    return {"starts_at": meeting.starts_at.isoformat(), "minutes": meeting.minutes, "sequence": meeting.sequence}


def member_left(known: Relationship | None, event: MemberLeft, _: Context) -> Outcome:
    relationship = known_one(known, event.relationship_id)
    stay = tuple(member for member in relationship.members if member.person_id != event.member.person_id)
    return NOTHING if stay == relationship.members else changed(relationship, members=stay)


def member_went_out(known: Relationship | None, event: MemberWentOut, context: Context) -> Outcome:
    """A kind last word to whoever has left, and the planned meeting leaves their calendar; the others read that they go on without them."""
    relationship = known_one(known, event.relationship_id)
    stay = tuple(m for m in relationship.members if m.person_id != event.person_id)
    gone = next((m for m in relationship.members if m.person_id == event.person_id), None)
    outcome = changed(relationship, members=stay, asked=None if relationship.asked == event.person_id else relationship.asked)
    (after,) = outcome.changed
    if relationship.ended or not relationship.agreement:
        return outcome
    outcome = outcome.plus(tell(context, after, "went_out", {"who": str(event.person_id)}))
    planned = context.get(Meeting, event.meeting_id) if event.meeting_id else None
    invited = planned is not None and planned.state is MeetingState.scheduled and _ahead(planned, context)
    if event.reason is EndReason.person_erased or (event.reason in GONE and not invited):
        return outcome
    data = {
        "role": event.role.value,
        "silent": event.unanswered,
        "gone": event.reason in GONE,
        "first": [str(event.person_id)] if event.rematch_first else [],
    }
    if planned is not None and invited:
        data |= _time_of(planned) | {"sequence": planned.sequence + 1}
    home = gone.organization if gone else relationship.organization
    word = message(context, event.person_id, home, relationship.program, "left", data)
    meeting_id = planned.id if planned is not None and invited else None
    return outcome.also(replace(word, relationship_id=relationship.id, meeting_id=meeting_id))


def host_named(known: Meeting | None, event: HostNamed, context: Context) -> Outcome:
    """Whoever leads the meeting now is told so, with what helps to lead it."""
    relationship = known_one(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is None or known.state is not MeetingState.scheduled or known.starts_at is None or known.starts_at <= context.now:
        return NOTHING
    data = _time_of(known) | {"host": str(event.host), "by": str(event.handed_on_by) if event.handed_on_by else None}
    return tell(context, relationship, "host", data, meeting=known.id, to=(event.host,))


HANDLERS: list[Handler] = [
    on(MemberJoined, Relationship, by="relationship_id", do=member_joined, reads={Plan: "relationship_id", Meeting: PLANNED_OF}),
    on(MemberLeft, Relationship, by="relationship_id", do=member_left),
    on(MemberWentOut, Relationship, by="relationship_id", do=member_went_out, reads={Meeting: "meeting_id"}),
    on(HostNamed, Meeting, by="meeting_id", do=host_named, reads={Relationship: "relationship_id"}),
]
"""After the facts of a relationship itself."""
