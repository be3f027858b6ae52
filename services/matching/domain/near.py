"""Tags that are near each other: skills that the same people offer or want, and what files say of skills and roles."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

Tags = tuple[str, ...]

LEAST_COSINE, LEAST_LIFT, LEAST_PEOPLE = 0.6, 2.0, 10
"""Two skills are near each other from so high a cosine on, so many times as often together as by chance, with so many people who have both.

Of 8,720 people of a new-coder survey (2016), a developer survey (2017) and an open list of mentors (2019), with 220 skills, four pairs reach
the cosine: devops–sysadmin 0.95, css–html 0.74, c#–dotnet 0.64, javascript–nodejs 0.61. From 0.55 on nodejs would stand for angular and for
reactjs, which nobody would tell a mentor (and swift for ios, which one would); from 0.5 on javascript for sql. Where lists are long, what is
common is together by chance: on those of what 40,000 people of a survey of 2019 have and want, javascript and sql reach a cosine of 0.66
with a lift of 1.25. From a lift of 2 on four pairs are left there: rails–ruby, and c#, asp.net and sql server with each other. With fewer than ten people a cosine says
little: of ten lists that have a skill, six with another leave it between 0.3 and 0.9 (two standard errors).
"""


@dataclass(frozen=True, slots=True)
class Near:
    """Of each tag those near it, the nearest first. Where one is near another, so is the other near it."""

    tags: Mapping[str, Tags]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Near":
        """Of pairs of tags, the nearest first."""
        found: dict[str, dict[str, None]] = {}
        for one, other in pairs:
            found.setdefault(one, {})[other] = None
            found.setdefault(other, {})[one] = None
        return cls({tag: tuple(others) for tag, others in found.items()})

    def beside(self, tags: Tags) -> Tags:
        """What is near one of these, and is none of them."""
        return tuple(sorted({near for tag in tags for near in self.tags.get(tag, ())}.difference(tags)))

    def nearest(self, tag: str, among: Tags) -> str:
        """That of `among` which is nearest to a tag of what is `beside` them."""
        return next(near for near in self.tags[tag] if near in among)


NOTHING = Near({})


@dataclass(frozen=True, slots=True)
class Nearby:
    """What counts half in place of the same."""

    skills: Near | None = None
    """None where it is learned of the people who are matched."""
    roles: Near = NOTHING


LEARNED = Nearby()
"""Without any file."""


def near_enough(people: int, cosine: float, lift: float) -> bool:
    """`people` have both skills; `lift`: how many times as often as if one had nothing to do with the other."""
    return people >= LEAST_PEOPLE and cosine >= LEAST_COSINE and lift >= LEAST_LIFT


def by_cosine(pairs: Iterable[tuple[float, str, str]]) -> Near:
    """Of (cosine, skill, skill)."""
    return Near.of((one, other) for _, one, other in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])))


def learned(lists: Iterable[Tags]) -> Near:
    """Of what people say: skills that stand on the same lists.

    For skills on *a* and *b* of *n* lists, and on *ab* both: cosine = ab / √(a·b), lift = ab·n / (a·b).
    """
    said = [tuple(dict.fromkeys(tags)) for tags in lists if tags]
    each = Counter(tag for tags in said for tag in tags)
    often = sorted(tag for tag, people in each.items() if people >= LEAST_PEOPLE)
    if len(often) < 2:
        return NOTHING
    from scipy.sparse import csr_array, triu  # noqa: PLC0415 - a third of a second, and few people have no such skills

    number = {tag: n for n, tag in enumerate(often)}
    rows = [[number[tag] for tag in tags if tag in number] for tags in said]
    columns = [column for row in rows for column in row]
    holds = csr_array(([1] * len(columns), columns, list(accumulate(map(len, rows), initial=0))), (len(rows), len(often)))
    together = triu(holds.T @ holds, 1).tocoo()
    found = []
    for a, b, both in zip(together.row.tolist(), together.col.tolist(), together.data.tolist(), strict=True):
        one, other = often[a], often[b]
        chance = each[one] * each[other]
        cosine = both / sqrt(chance)
        if near_enough(both, cosine, both * len(said) / chance):
            found.append((cosine, one, other))
    return by_cosine(found)
