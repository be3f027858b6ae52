"""Why two people fit, in words: codes with numbers are what events and aggregates have. Mails have words of their own, by language."""

from shared.events import Reason, ReasonCode
from shared.languages import tongue
from shared.words import join_and, plain, plural


def listed(slugs: tuple[str, ...]) -> str:
    """Tags in words, as a list."""
    return join_and(map(plain, slugs))


_NAMED = {
    ReasonCode.skills: "Skills asked for and offered",
    ReasonCode.related_skills: "Skills close to those asked for",
    ReasonCode.has_made_the_move: "A move already made",
    ReasonCode.adjacent_role: "A role held close to the one wanted",
    ReasonCode.goals: "Goals in common",
    ReasonCode.values: "Values you share",
    ReasonCode.interests: "Interests you share",
    ReasonCode.language: "A language in common",
    ReasonCode.industry: "The same industry",
    ReasonCode.function: "The same kind of work",
    ReasonCode.location: "The same place",
}


def _items(told: Reason) -> tuple[str, ...]:
    """With what is there in place of each, where it isn't the same: `c# for dotnet`."""
    instead = tuple(f"{near} for {item}" for item, near in zip(told.items, told.near, strict=False))
    return instead or told.items


_OF_OTHERS = {ReasonCode.values: "Values in common", ReasonCode.interests: "Interests in common"}


def reason(told: Reason, *, of_others: bool = False, peers: bool = False, once: bool = False) -> str:
    """Empty for one that this version can't put into words.

    `of_others`: to someone who isn't one of them; `peers`: of whom none is a mentor; `once`: who are to have one conversation.
    """
    if told.code in _NAMED:
        named = listed(tuple(map(tongue, told.items)) if told.code is ReasonCode.language else _items(told))
        words = _OF_OTHERS.get(told.code, _NAMED[told.code]) if of_others else _NAMED[told.code]
        return f"{words}{': ' if named else ''}{named}"
    if told.code is ReasonCode.overlap_hours:
        free = "they are free together" if peers else "both are free" if of_others else "you are both free"
        return f"{told.number:.3g} hour{'' if told.number == 1 else 's'} a week when {free}"
    if told.code is ReasonCode.waiting and of_others:
        return f"{round(told.number)} days of waiting" if told.number else "Released by the other side, and goes first"
    if told.code is ReasonCode.fair_load:
        return f"Room for {plural(round(told.number), 'more conversation' if once else 'more mentee')} on the mentor’s side"
    if told.code is ReasonCode.experience and peers:
        return f"{plural(round(told.number), 'year')} between them at work"
    if told.code is ReasonCode.experience:
        return f"{round(told.number)} more years of experience on the mentor’s side"
    if told.code is ReasonCode.own_contact:
        return "They know each other" if of_others else "You know each other"
    return "Another perspective, on purpose" if told.code is ReasonCode.other_perspective else ""
