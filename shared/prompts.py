"""What is worth a thought before a meeting, by where in the relationship it stands: for its page and its mail."""

from shared.events import Phase, Role

PROMPTS: dict[Phase, dict[bool, tuple[str, ...]]] = {
    Phase.first_meeting: {
        True: (
            "How did you come to where you are, detours included?",
            "What would make this worth their time? Ask before you advise.",
            "How do you reach each other in between, and how soon do you answer?",
        ),
        False: (
            "What would you like to be able to do at the end, even if it isn’t clear yet?",
            "How do you like to hear what you could do better?",
            "How do you reach each other in between, and how soon do you answer?",
        ),
    },
    Phase.early: {
        True: (
            "What have they tried already? Ask before you say what you would do.",
            "What went well since the last time?",
            "Which one step comes next, who takes it, and by when?",
        ),
        False: (
            "What went well since the last time, and what was hard?",
            "What do you need just now: advice, a question, someone to meet?",
            "Which one step comes next, and by when?",
        ),
    },
    Phase.half_time: {
        True: (
            "What have you seen grow since you began? Say it, with an example.",
            "What would help more, and what less?",
            "Does what you agreed on still suit everyone?",
        ),
        False: (
            "What has changed since you began?",
            "Does your goal still fit?",
            "What is to be kept, and what is to be different from now on?",
        ),
    },
    Phase.later: {
        True: (
            "What do they do well, and what could they work on? One of each, plainly.",
            "Whom should they get to know?",
            "What could they do without you by now?",
        ),
        False: (
            "Which step have you put off, and what stands in its way?",
            "What do you do by now that you couldn’t have done before?",
            "Whom would it help you to get to know?",
        ),
    },
    Phase.near_the_end: {
        True: (
            "What have you seen grow? Say it, with an example.",
            "Who could be there for them next?",
            "Do you stay in touch, and how?",
        ),
        False: (
            "What have you reached, and what made it possible?",
            "What do you go on with by yourself?",
            "Do you stay in touch, and how?",
        ),
    },
}
"""By phase and by whether the reader mentors."""
ONCE: dict[bool, tuple[str, ...]] = {
    True: (
        "What would make the time well spent for them?",
        "What would you have liked to know back then?",
        "What could they read, try or whom could they meet next?",
    ),
    False: (
        "Who are you, and what would you like to know? Two sentences are enough.",
        "What can they tell you that nobody else can?",
        "What should you have asked? Ask that at the end.",
    ),
}
"""Of those who talk once."""

HOST: tuple[str, ...] = (
    "Look at the agenda a day before, and put one question on it that everyone can say something to.",
    "Begin with a round: one sentence each on what went well, and what they would like to talk about.",
    "See that everyone speaks, and nobody for long; ask whoever is quiet.",
    "Keep ten minutes for the end: what does each one do until the next time?",
)
"""For whoever leads a group's meeting."""


def prompts(phase: Phase, role: Role, *, once: bool = False) -> tuple[str, ...]:
    """What this reader may think about; nothing where the phase is one that this version doesn't know."""
    mentors = role is Role.mentor
    return ONCE[mentors] if once else PROMPTS.get(phase, {}).get(mentors, ())
