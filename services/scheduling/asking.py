"""The questions of check-ins in words, and the answers that one may choose from.

Confidence is asked after the General Self-Efficacy Short Scale (ASKU, GSE-3; Beierlein et al. 2013, Doll et al. 2021), belonging after the
part "acceptance and inclusion" of the General Belongingness Scale (Malone et al. 2012). The statements are our own (docs/relationship.md).
"""

from shared.events import CheckInKind, Fit, Misalignment

FITS = {
    Fit.good.value: "Yes, it fits",
    Fit.unsure.value: "I’m not sure yet",
    Fit.not_a_fit.value: "No, we aren’t a good fit",
}
SCORES = {
    "5": "Very good",
    "4": "Good",
    "3": "It works",
    "2": "It is hard",
    "1": "It doesn’t work",
}
QUALITIES = {
    "communication": "How we talk and write to each other",
    "empathy": "Putting themselves in my place",
    "expertise": "Knowing what I want to learn",
    "patience": "Patience",
    "availability": "Having time for me",
    "willingness_to_learn": "Willingness to learn something, too",
    "commitment": "Keeping at it",
    "preparation": "Coming prepared",
}
APPLIES = {
    "1": "Doesn’t apply at all",
    "2": "Applies a little",
    "3": "Applies somewhat",
    "4": "Applies mostly",
    "5": "Applies completely",
}
SCALES: dict[CheckInKind, tuple[str, tuple[str, str, str]]] = {
    CheckInKind.confidence: (
        "How sure of yourself you are",
        (
            "When things get difficult, I can count on what I am able to do.",
            "I find a way through most problems by myself.",
            "Demanding and tangled tasks usually turn out well for me, too.",
        ),
    ),
    CheckInKind.belonging: (
        "How much at home you feel where you work or learn",
        (
            "I feel like a part of the people around me.",
            "I am accepted as I am.",
            "There are people here to whom I can turn.",
        ),
    ),
}

POINTS = {
    Misalignment.scores: "Your answers to the last check-in are some way apart. What goes well for each of you, and what would you change first?",
    Misalignment.first_goals: "You may not mean the same goal when you think of the first one. Which comes first, and what follows from that for the next meeting?",
    Misalignment.skill_levels: "You see the level of a skill differently. What does each of you go by?",
    Misalignment.said_so: "There may be something that you see differently. What is it, and what would suit both of you?",
    Misalignment.other: "There is something that you see differently. What would suit both of you?",
}
"""A talking point for both, which says nothing of who answered what."""
DOUBTS = {
    Fit.unsure: "You weren’t sure whether it fits. What would have to be different, and would you say so to the other?",
    Fit.not_a_fit: "You said that it doesn’t fit. If you stay, what should change first?",
}
"""For whoever said so alone."""
SEEN_DIFFERENTLY = {
    Misalignment.scores: "How well it goes, they see differently",
    Misalignment.first_goals: "Which goal comes first, they see differently",
    Misalignment.skill_levels: "How far a skill has come, they see differently",
    Misalignment.said_so: "They see something differently, one of them says",
    Misalignment.other: "They see something differently",
}
"""For their coordinator, without who answered what."""
