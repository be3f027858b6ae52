"""The story in words: one readable sentence for each type of event, from a line's small data. People are named by nobody here."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

Data = Mapping[str, Any]


def _at(data: Data, name: str) -> str:
    """`Tue 3 Mar 2026 17:00 UTC`"""
    value = data.get(name)
    if not value:
        return "a time not said"
    moment = datetime.fromisoformat(value)
    return f"{moment:%a} {moment.day} {moment:%b %Y %H:%M} UTC"


def _plain(code: Any) -> str:
    return str(code).replace("_", " ")


def _listed(values: Any) -> str:
    words = [_plain(value) for value in values or ()]
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""


def _count(number: Any, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _program(data: Data) -> str:
    return f"program {data['program']}" if data.get("program") else "every program"


def _match(data: Data) -> str:
    """Who fits whom, how well, and why."""
    members = data.get("members", ())
    who = _listed([f"{m.get('role', 'member')} ({m.get('organization', '?')})" for m in members])
    why = _listed([reason.get("code") for reason in data.get("reasons", ())])
    return f"{who}, score {int(data.get('score', 0)) / 1_000_000:.2f}" + (f": {why}" if why else "")


def _after(data: Data, name: str, text: str) -> str:
    return text.format(_plain(data[name])) if data.get(name) is not None else ""


def _terms(data: Data) -> str:
    terms = data.get("terms", {})
    secret = ", confidential" if terms.get("confidential") else ""
    return f"every {_count(terms.get('every_weeks', '?'), 'week')}, {terms.get('minutes', '?')} min, {_count(terms.get('months', '?'), 'month')}{secret}"


def _about(data: Data) -> str:
    return f"{data.get('template', '?')} by {data.get('channel', '?')}, for {str(data.get('fact_type', '?')).removeprefix('ithaca.')}"


def _enrolments(data: Data) -> str:
    return _listed([entry.replace(" ", " as ") for entry in data.get("programs", ())]) or "no program"


def _came(d: Data) -> str:
    return f", {len(d.get('attended', ()))} of {d['expected']} came" if d.get("expected") else ""


def _corrected(data: Data) -> str:
    return "; it had been counted as missed" if data.get("corrects_missed") else ""


def _answer(data: Data, name: str) -> str:
    """Nothing until it was answered."""
    return "" if data.get(name) is None else f": {'yes' if data[name] else 'no'}"


WORDS: dict[str, str | Callable[[Data], str]] = {
    "OrganizationOnboarded": lambda d: f"{d.get('name', 'An organization')} was let onto the platform.",
    "ProgramLaunched": lambda d: f"The program {d.get('name', '')} was opened.",
    "ProgramChanged": lambda d: f"The program {d.get('name', '')} was changed (revision {d.get('revision', '?')}).",
    "ProgramClosed": "The program was closed: its relationships end.",
    "ProgramShared": lambda d: f"{d.get('member', '?')} was invited, with {_count(d.get('seats', 0), 'seat')}.",
    "ProgramJoined": lambda d: f"{d.get('member', '?')} joined the program.",
    "ProgramLeft": lambda d: f"{d.get('member', '?')} left the program.",
    "PersonEnrolled": lambda d: f"Enrolled: now in {_enrolments(d)}.",
    "ProfileChanged": lambda d: f"The profile or contact was changed (revision {d.get('revision', '?')}).",
    "PersonPaused": "Takes a break: no match and no question until resumed.",
    "PersonResumed": "Is back from the break.",
    "PersonWithdrawn": lambda d: f"Left {_program(d)}; still in: {_enrolments(d)}.",
    "PersonInvited": lambda d: f"A mentee would like them as a mentor in {_program(d)}: they are asked by mail.",
    "PersonErased": "Was erased: every service has forgotten who this was.",
    "AccessKeyIssued": lambda d: f"An API key was made for {d.get('organization', '?')}: may {_listed(d.get('rights'))}.",
    "AccessKeyRevoked": lambda d: f"An API key of {d.get('organization', '?')} was revoked.",
    "MeetingReported": lambda d: f"{d.get('organization', '?')} reports a meeting held on {_at(d, 'held_at')}, {d.get('minutes', '?')} min.",
    "OutcomeReported": lambda d: f"{'Someone' if d.get('said_by_person') else d.get('organization', '?')} reports an outcome: {_plain(d.get('kind', '?'))}.",
    "MentorNominated": lambda d: f"A mentee named a mentor they know{', who has said yes' if d.get('said_yes') else ''}.",
    "NominationEnded": lambda d: f"Nobody comes of whom a mentee named: {_plain(d.get('reason', '?'))}.",
    "ReportRejected": lambda d: f"A report of {d.get('organization', '?')} was rejected: {_plain(d.get('reason', '?'))}" + _after(d, "field", " in {}") + ".",
    "MatchRunRequested": "A match run was asked for.",
    "MatchRunFinished": lambda d: (
        f"The match run is over: {_count(d.get('people', 0), 'person', 'people')}, {_count(d.get('pairs', 0), 'pair')}, "
        f"{d.get('waitlisted', 0)} waiting, gap {d.get('gap', '?')}."
    ),
    "MentorRequested": lambda d: f"A mentor was asked (choice {d.get('choice', '?')}), to answer by {_at(d, 'closes_at')}.",
    "RequestQuestioned": "The mentor wants to know more before answering.",
    "RequestAccepted": "The mentor said yes.",
    "RequestDeclined": lambda d: f"The mentor said no: {_plain(d.get('reason', '?'))}.",
    "RequestWithdrawn": lambda d: f"The request was taken back: {_plain(d.get('reason', '?'))}.",
    "RequestExpired": "The mentor didn't answer in time.",
    "MatchProposed": lambda d: (
        f"A match waits for approval: {_match(d)}"
        + (f"; scored anew, {d['score_before'] / 1_000_000:.2f} before" if d.get("score_before") is not None else "")
        + "."
    ),
    "MatchApproved": "The match was approved.",
    "MatchRejected": lambda d: f"The match will not come about: {_plain(d.get('reason', '?'))}.",
    "PairCreated": lambda d: f"{'Matched for one conversation' if d.get('format') == 'conversation' else 'Matched'}: {_match(d)}.",
    "GroupCreated": lambda d: f"A group was formed: {_match(d)}.",
    "MemberJoined": lambda d: f"A {_plain(d.get('member', {}).get('role', 'member'))} joined the group.",
    "MemberLeft": lambda d: f"A {_plain(d.get('member', {}).get('role', 'member'))} left the group: {_plain(d.get('reason', '?'))}.",
    "PersonWaitlisted": lambda d: (
        f"Waits for a partner as {_plain(d.get('role', '?'))}: {_plain(d.get('reason', '?'))}"
        + (f" ({_listed(d['missing'])})" if d.get("missing") else "")
        + "."
    ),
    "ReliefOffered": lambda d: f"Declined or moved {_count(d.get('changes', 0), 'time')} in a month: asked whether less would be right.",
    "AgreementProposed": lambda d: f"An agreement (version {d.get('version', '?')}) waits for signatures: {_terms(d)}.",
    "AgreementSigned": lambda d: f"Signed the agreement (version {d.get('version', '?')})" + (": all have signed, it holds." if d.get("complete") else "."),
    "SignaturesAwaited": lambda d: f"The agreement has waited {_count(d.get('days', 0), 'day')} for {_count(len(d.get('people', ())), 'signature')}: a reminder.",
    "AgreementRevised": lambda d: f"The agreement was revised (version {d.get('version', '?')}, {_plain(d.get('reason', '?'))}): {_terms(d)}.",
    "RenewalOffered": lambda d: f"Nearly over, on {_at(d, 'until')}: all were asked whether they go on until {_at(d, 'renewed_until')}.",
    "MeetingProposed": lambda d: (
        f"Another time was suggested for meeting {d.get('number', '?')}."
        if d.get("proposed_by")
        else f"{_count(len(d.get('slots', ())), 'time')} proposed for meeting {d.get('number', '?')}."
    ),
    "MeetingScheduled": lambda d: f"Meeting {d.get('number', '?')} is on {_at(d, 'starts_at')}, {d.get('minutes', '?')} min.",
    "MeetingRescheduled": lambda d: f"Meeting {d.get('number', '?')} moved from {_at(d, 'was_at')} to {_at(d, 'starts_at')}.",
    "MeetingCancelled": lambda d: f"The meeting was called off: {_plain(d.get('reason', '?'))}.",
    "ReminderDue": lambda d: f"Reminder of the meeting on {_at(d, 'starts_at')}.",
    "HostNamed": lambda d: "Someone else leads the group's meeting" + (": it was handed on." if d.get("handed_on_by") else "."),
    "FollowUpsDue": lambda d: f"Follow-ups are due on {d.get('due_on', '?')}: {_count(len(d.get('people', ())), 'member')} reminded.",
    "MeetingHeld": lambda d: f"Met on {_at(d, 'held_at')}, {d.get('minutes', '?')} min{_came(d)}{_corrected(d)}.",
    "MeetingMissed": lambda d: f"The meeting on {_at(d, 'starts_at')} was missed: {_plain(d.get('absent', '?'))}, {d.get('misses_in_a_row', '?')} in a row.",
    "ContactLogged": "Were in touch without a meeting.",
    "CheckInAsked": lambda d: f"Was asked how it goes: {_plain(d.get('kind', '?'))}.",
    "CheckInAnswered": lambda d: f"Answered how it goes: {_plain(d.get('kind', '?'))}.",
    "MisalignmentDetected": lambda d: f"The two sides see it differently: {_plain(d.get('kind', '?'))}.",
    "GoalSet": lambda d: (
        f"{'A goal was set' if d.get('revision', 1) == 1 else 'A goal was set anew'}: "
        f"{_plain(d.get('kind', '?'))}, {_count(d.get('steps', 0), 'step')}" + _after(d, "due_on", ", by {}") + "."
    ),
    "GoalProgressed": lambda d: f"A step of a goal was {'done' if d.get('done') else 'opened again'}: {d.get('steps_done', '?')} of {d.get('steps', '?')}.",
    "GoalDropped": "A goal was given up.",
    "AttainmentAsked": "A goal is reached, one of them says: the others are asked whether they see it so too.",
    "GoalAttained": "A goal is reached: both sides say so.",
    "MilestoneReached": lambda d: f"Milestone: {_plain(d.get('own') or d.get('milestone', '?'))}.",
    "SkillAssessed": lambda d: f"A skill was assessed: {d.get('skill', '?')}, {d.get('level', '?')} of 5, at the {_plain(d.get('stage', '?'))}.",
    "FeedbackAsked": "Feedback was asked for.",
    "FeedbackGiven": "Feedback was given.",
    "IntroductionMade": lambda d: f"An introduction was made{_answer(d, 'accepted')}.",
    "OpportunityShared": lambda d: f"An opening was passed on ({_plain(d.get('kind', '?'))}){_answer(d, 'taken_up')}.",
    "RecommendationAsked": "A mentee asked for a letter of recommendation.",
    "CircleProposed": lambda d: f"A mentee would like a circle with the others of their mentor: {_count(len(d.get('people', ())), 'person', 'people')} asked.",
    "CircleAgreed": lambda d: f"Co-mentees of one mentor form a circle of {len(d.get('people', ()))}.",
    "AddressesShared": "Both want to stay in touch: each was given the other's address.",
    "ConcernRaised": "A concern was raised; it goes to the coordinator alone.",
    "PairFlagged": lambda d: f"At risk: {_listed(d['signs'])}." if d.get("signs") else "Isn't at risk any more.",
    "PairStalled": lambda d: f"Has gone quiet: {_plain(d.get('reason', '?'))}" + _after(d, "misses", ", {} missed in a row") + ".",
    "MemberAsked": lambda d: f"One of them is asked whether they go on, until {_at(d, 'answer_by')}.",
    "MemberWentOut": lambda d: f"A {_plain(d.get('role', 'member'))} left the group, which goes on: {_plain(d.get('reason', '?'))}.",
    "PairWarned": lambda d: f"Still quiet: is frozen on {_at(d, 'freezes_at')} without a sign.",
    "PairRecovered": lambda d: "Is alive again" + (": who was asked goes on." if d.get("answered_by") else "."),
    "PairFrozen": lambda d: "Is frozen: nothing more is asked" + (f", ends on {_at(d, 'ends_at')} without a sign" if d.get("ends_at") else "") + ".",
    "PairEnded": lambda d: f"Ended: {_plain(d.get('reason', '?'))}, {_count(d.get('meetings_held', 0), 'meeting')} held.",
    "MentorRecognised": lambda d: f"A mentor's record ({_plain(d.get('kind', 'year'))}, {d.get('year', '?')}): {_count(d.get('meetings', 0), 'meeting')}, {d.get('minutes', 0)} min.",
    "NotificationSent": lambda d: f"Told: {_about(d)}.",
    "NotificationFailed": lambda d: (
        f"Could not be told: {_about(d)}: {_plain(d.get('failure', '?'))}" + ("; given up." if d.get("final") else "; will be tried again.")
    ),
    "WebhookDelivered": lambda d: f"{d.get('organization', '?')} took {str(d.get('fact_type', '?')).removeprefix('ithaca.')} by webhook ({d.get('status', '?')}).",
    "WebhookDisabled": lambda d: f"A webhook of {d.get('organization', '?')} was switched off: {_plain(d.get('failure', '?'))}.",
    "ProgramMeasured": lambda d: f"{d.get('matched', 0)} of {d.get('enrolled', 0)} matched, {_count(d.get('held', 0), 'meeting')} held, {d.get('missed', 0)} missed.",
}  # fmt: skip


def sentence(kind: str, data: Data) -> str:
    """What happened, in one sentence. `kind` is the type without `ithaca.`; one without words of its own is named."""
    words = WORDS.get(kind)
    if words is None:
        return f"{kind}."
    return words if isinstance(words, str) else words(data)
