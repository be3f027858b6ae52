"""What the demo's story comes to, whatever it is played on."""

STORY = {
    "pairs": 12,
    "groups": 3,
    "meetings_held": 35,  # three meetings of twelve pairs, one of them missed for good
    "meetings_missed": 1,
    "milestones": 20,  # twelve first meetings, six that set goals, a first step done, a goal reached
    "goals_reached": 1,
    "answered": 70,
    "parked": 0,
}
