"""`./ithaca match --people`: pairs and circles of peers, and whether a file of them is right."""

import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.cli.match_files import Asked, agree, give_up, part_names, peak_mb, progress, told, waiting
from deploy.cli.match_verify_peers import circle_differences, pair_differences
from deploy.cli.match_words import explained_peers, short
from services.matching.domain.peer_score import peers_scoring, peers_unit
from services.matching.domain.score import Scoring, Spoken
from services.matching.domain.together import Circles, PeerPairs, TooLargeError, circles, peer_pairs
from shared.events import Format

SHOWN = 10


def in_circles(asked: Asked) -> bool:
    return asked.policy.formats == (Format.circle,)


def scoring_of(asked: Asked) -> Scoring:
    return asked.own or peers_scoring(asked.policy, asked.people, asked.near)


def run(asked: Asked, out: Path | None, began: float, *, explain: bool, as_json: bool) -> None:
    """Match the peers, write and show what was found. `began`: the clock when the command did."""
    solving = time.perf_counter()
    scoring = scoring_of(asked)
    found: PeerPairs | Circles
    try:
        with progress(shown=not as_json) as say:
            solve = circles if in_circles(asked) else peer_pairs
            found = solve(asked.people, asked.policy, datetime.now(UTC), scoring, say)
    except TooLargeError as error:
        give_up(error)
    seconds = {"seconds": round(time.perf_counter() - began, 3), "solving_seconds": round(time.perf_counter() - solving, 3)}
    result = _result(asked, found) | seconds | {"peak_mb": peak_mb()} | {"unmatched": _unmatched(found)}
    if out is not None:
        with told(out):
            _write(out, found, part_names(scoring))
    if explain or not as_json:
        _show(asked, found, result, out, explain=explain)
    if as_json:
        print(json.dumps(result))
    if not result["people_matched"]:
        why = f"a circle needs {asked.policy.least_circle_size} who may all meet" if in_circles(asked) else ""
        give_up("nobody can be matched: " + ("; ".join(filter(None, (why, *waiting(found.left)))) or "there are no people"))


def _unmatched(found: PeerPairs | Circles) -> dict[str, int]:
    return dict(Counter(f"{left.role.value}:{left.reason.value}" for left in found.left).most_common())


def _result(asked: Asked, found: PeerPairs | Circles) -> dict[str, Any]:
    people = len(asked.files[0].people)
    counts: dict[str, Any] = {"people": people}
    if isinstance(found, Circles):
        sizes = Counter(len(circle.members) for circle in found.circles)
        counts |= {"circles": len(found.circles), "sizes": {str(size): sizes[size] for size in sorted(sizes)}}
    else:
        counts |= {"pairs": len(found.pairs)}
    return counts | {
        "people_matched": people - len(found.left),
        "score": found.score_total / found.unit,
        "bound": (found.score_total + found.gap) / found.unit,
        "gap": found.gap / found.unit,
    }


# ---- as files ----------------------------------------------------------------------------------------------------------


def _write(out: Path, found: PeerPairs | Circles, names: Sequence[str]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if isinstance(found, PeerPairs):
            writer.writerow(["person_id", "partner_id", "score", *names])
            for pair in found.pairs:
                writer.writerow(
                    [pair.one, pair.other, f"{pair.score / found.unit:.10g}", *_parts(pair.spoken, names, found.unit)]
                )
            return
        writer.writerow(["circle", "person_id", "score", *names])
        for number, circle in enumerate(found.circles, 1):
            others = len(circle.members) - 1
            for member, score, spoken in zip(circle.members, circle.scores, circle.spoken_of, strict=True):
                cells = _parts(spoken, names, found.unit * others)
                writer.writerow([number, member, f"{score / others / found.unit:.10g}", *cells])


def _parts(spoken: Sequence[Spoken], names: Sequence[str], unit: int) -> list[str]:
    points = {part.code: part.points for part in spoken}
    return [f"{points[name] / unit:.10g}" if name in points else "" for name in names]


def verify(path: Path, asked: Asked, *, as_json: bool) -> None:
    """Reckon a file of pairs or circles again. Ends the command with 1 on any difference."""
    scoring = scoring_of(asked)
    names = part_names(scoring)
    with told(path):
        check = circle_differences if in_circles(asked) else pair_differences
        count, total, wrong = check(path, asked.people, asked.policy, scoring, names)
    agree(path, {"circles" if in_circles(asked) else "pairs": count}, total / peers_unit(scoring), wrong, as_json=as_json)


# ---- in words ----------------------------------------------------------------------------------------------------------


def _show(asked: Asked, found: PeerPairs | Circles, result: dict[str, Any], out: Path | None, *, explain: bool) -> None:
    file = asked.files[0]
    ignored = f"; columns without meaning here: {', '.join(file.ignored)}" if file.ignored else ""
    print(f"{len(file.people):,} peers{ignored}")
    for bad in file.bad:
        print(f"  left out: {bad}")
    print()
    every = found.circles if isinstance(found, Circles) else found.pairs
    for one in every[:SHOWN]:
        print(explained_peers(one.members, one.score, one.spoken, found.unit) if explain else _line(one, found.unit))
    if len(every) > SHOWN:
        print(f"  … and {len(every) - SHOWN:,} more" + (f", all in {out}" if out else "; --out FILE writes all"))
    print(f"\n{_summary(found, result)}")
    for line in waiting(found.left):
        print(f"  {line}")
    print(f"{result['seconds']:.1f} s, of which {result['solving_seconds']:.1f} s matching; {result['peak_mb']} MB")


def _line(one: Any, unit: int) -> str:
    return f"  {' + '.join(one.members)}  {one.score / unit:.4g}  {short(one.spoken)}"


def _summary(found: PeerPairs | Circles, result: dict[str, Any]) -> str:
    if isinstance(found, PeerPairs):
        certified = "no better plan exists (gap 0)" if found.gap == 0 else f"a better plan could exceed it by {result['gap']:g}"
        return f"{result['pairs']:,} pairs, score {result['score']:,.10g}; {certified}"
    sizes = ", ".join(f"{count:,} of {size}" for size, count in result["sizes"].items())
    share = result["score"] / result["bound"] if result["bound"] else 1.0
    return (
        f"{result['circles']:,} circles ({sizes}), all their pairs' scores {result['score']:,.10g}: {share:.1%} of {result['bound']:,.10g}, "
        "which no such plan exceeds"
    )
