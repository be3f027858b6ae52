"""What files of people and a policy say to `./ithaca match`, and how a wrong one ends it: in words, with file, row and field."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from deploy.cli.people_csv import People
    from deploy.cli.policy_file import PolicyFile
    from services.matching.domain.left import Left
    from services.matching.domain.near import Nearby
    from services.matching.domain.pool import Candidate
    from services.matching.domain.score import Scoring
    from shared.events import Policy

AIMS = ("everyone", "pairs", "score", "fair")
FORMATS = ("peer_pair", "circle")
"""In which the people of one file meet each other."""

MentorsFile = Annotated[Path | None, typer.Option(help="CSV, plain or .gz: id, skills, languages, time_zone, country …")]
MenteesFile = Annotated[Path | None, typer.Option(help="CSV with the same columns; `skills` are those they want.")]
PolicyPath = Annotated[
    Path | None, typer.Option("--policy", help="Rules, weights and names of columns: TOML or JSON, see examples/policies.")
]
Capacity = Annotated[int | None, typer.Option(min=1, max=100, help="Mentees per mentor, where the file has no such column.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are wrong, and say which.")]
PeopleFile = Annotated[Path | None, typer.Option(help="Peers instead, of one file: they meet each other, in pairs or circles.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="peer_pair or circle for peers, group or conversation for mentors and mentees, where the policy doesn't say.",
    ),
]
Before = Annotated[
    list[Path] | None,
    typer.Option(
        help="Pairs, circles or groups of an earlier round, as --out writes them: nobody in it meets again. May be given several times."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON at the end, and nothing else.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the files say: the people, and the policy by which they are matched."""

    files: "tuple[People, ...]"
    """Of mentors and of mentees, or of peers alone."""
    people: "list[Candidate]"
    policy: "Policy"
    own: "Scoring | None"
    near: "Nearby"
    """What files say of it."""

    @property
    def in_groups(self) -> bool:
        return [form.value for form in self.policy.formats] == ["group"]


def read(
    mentors: Path | None,
    mentees: Path | None,
    path: Path | None,
    capacity: int | None,
    aim: str | None,
    *,
    form: str | None = None,
    before: Sequence[Path] = (),
    skip_bad: bool,
) -> Asked:
    """The files and the policy, which says `group` or `conversation` alone where these are made. Ends the command, in words, where one
    is wrong.
    """
    from deploy.cli.people_csv import BadCsvError, Naming, read_people  # noqa: PLC0415
    from deploy.cli.policy_file import BadPolicyError, PolicyFile, read_policy  # noqa: PLC0415
    from shared.events import Aim, Format  # noqa: PLC0415

    check_aim(aim)
    if form not in (None, Format.group, Format.conversation):
        raise typer.BadParameter("mentors and mentees meet one-to-one, by group or for a conversation", param_hint="--format")
    if mentors is None or mentees is None:
        missing = "--mentors" if mentors is None else "--mentees"
        raise typer.BadParameter("give both files, --mentors and --mentees, or --preferences", param_hint=missing)
    try:
        said = read_policy(path) if path is not None else PolicyFile()
        whole = said.policy()
        update = {name: value for name, value in (("aim", aim and Aim(aim)), ("capacity", capacity)) if value is not None}
        meets = {"formats": (Format(form),)} if form else {}
        whole = whole.model_copy(update=update | meets)
        files = []
        for file, role, places in ((mentors, "mentor", whole.capacity), (mentees, "mentee", said.wishes)):
            naming = Naming(said.names(), said.order.rank, said.own_columns(role))
            files.append(read_people(file, role, places, skip_bad=skip_bad, naming=naming))  # type: ignore[arg-type]
        apart = kept_apart(before)
        people = [*candidates(files[0], "mentor", apart), *candidates(files[1], "mentee", apart)]
        if whole.formats == (Format.conversation,):  # as many as a month allows, whatever their capacity
            people = [replace(person, places=whole.conversations_per_month) for person in people]
        near = nearby(said, path, people)
    except (BadCsvError, BadPolicyError) as error:
        give_up(error)
    nowhere = [name for name in files[0].absent if name in files[1].absent]
    if nowhere and path is not None:
        give_up(f"{path.name}: columns: neither {mentors.name} nor {mentees.name} has a column {nowhere[0]}")
    return Asked((files[0], files[1]), people, whole, said.scoring(), near)


def check_aim(aim: str | None) -> None:
    if aim is not None and aim not in AIMS:
        raise typer.BadParameter(f"use one of {', '.join(AIMS)}", param_hint="--aim")


def read_peers(
    people: Path, path: Path | None, aim: str | None, form: str | None, before: Sequence[Path], *, skip_bad: bool
) -> Asked:
    """The same of peers; the policy's formats are the one that they meet in. Ends the command, in words, where something is wrong."""
    from deploy.cli.people_csv import BadCsvError, Naming, read_people  # noqa: PLC0415
    from deploy.cli.policy_file import BadPolicyError, PolicyFile, read_policy  # noqa: PLC0415
    from shared.events import Aim, Format  # noqa: PLC0415

    check_aim(aim)
    try:
        said = read_policy(path) if path is not None else PolicyFile()
        meets = _format(said, form, path)
        whole = said.policy().model_copy(update={"formats": (Format(meets),)} | ({"aim": Aim(aim)} if aim else {}))
        _check_peers_policy(said, whole, path)
        naming = Naming(said.names(), said.order.rank, said.own_columns("peer"))
        file = read_people(people, "peer", skip_bad=skip_bad, naming=naming)
        peers = candidates(file, "peer", kept_apart(before))
        near = nearby(said, path, peers)
    except (BadCsvError, BadPolicyError) as error:
        give_up(error)
    if file.absent and path is not None:
        give_up(f"{path.name}: columns: {people.name} has no column {file.absent[0]}")
    return Asked((file,), peers, whole, said.scoring(), near)


def nearby(said: "PolicyFile", path: Path | None, people: "Sequence[Candidate]") -> "Nearby":
    """What the files say that the policy at this path names. Raises BadCsvError."""
    from deploy.cli.near_files import read_roles, read_skills  # noqa: PLC0415
    from services.matching.domain.near import NOTHING, Nearby  # noqa: PLC0415
    from services.matching.domain.score import targets  # noqa: PLC0415

    skills, roles, titles = (
        path.parent / name if path is not None and name is not None else None
        for name in (said.related.skills, said.related.roles, said.related.titles)
    )
    named = {role for person in people for role in (*targets(person.profile), *person.profile.roles_held)}
    return Nearby(
        None if skills is None else read_skills(skills),
        NOTHING if roles is None else read_roles(roles, titles, named),
    )


def _format(said: "PolicyFile", form: str | None, path: Path | None) -> str:
    """In which peers meet: what the option says, else what the policy does, else pairs."""
    if form is not None:
        if form not in FORMATS:
            raise typer.BadParameter(f"use one of {', '.join(FORMATS)}", param_hint="--format")
        return form
    named = (
        [each.value for each in said.formats if each.value in FORMATS] if "formats" in said.model_fields_set else ["peer_pair"]
    )
    if not named:
        give_up(f"{path.name if path else 'policy'}: formats: peers meet in peer_pair or circle")
    return named[0]


def _check_peers_policy(said: "PolicyFile", whole: "Policy", path: Path | None) -> None:
    """What can't be among equals ends the command."""
    name = path.name if path else "policy"
    for key, value, direction in (
        ("least_ranks_above", whole.least_ranks_above, 1),
        ("least_years_more", whole.least_years_more, 1),
        ("most_ranks_above", whole.most_ranks_above, -1),
        ("most_years_more", whole.most_years_more, -1),
    ):
        if value is not None and value * direction > 0:
            less = "less" if value > 0 else "more"
            give_up(f"{name}: {key}: of two peers each would have to be above the other; give 0 or {less}")
    if whole.aim.value == "fair":
        give_up("the aim fair is not for peers: use everyone, pairs or score")
    for number, part in enumerate(said.parts):
        if part.points is not None and part.mentee != part.mentor:
            give_up(f"{name}: parts.{number}: of peers, mentee and mentor are the same column")


def kept_apart(before: Sequence[Path]) -> dict[str, frozenset[str]]:
    """By person those whom they have met in these files."""
    apart: dict[str, set[str]] = {}
    for earlier in before:
        for members in met(earlier):
            for person in members:
                apart.setdefault(person, set()).update(members)
    return {person: frozenset(others) for person, others in apart.items()}


def met(path: Path) -> list[tuple[str, ...]]:
    """Who met whom in a file of pairs, circles or groups. Ends the command, in words, where it is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), set(reader.fieldnames or ())
    except OSError as error:
        give_up(f"{path.name}: {error.strerror}")
    except (csv.Error, UnicodeDecodeError):
        give_up(f"{path.name}: this is no CSV file in UTF-8")
    together = "group" if "group" in header else "circle"
    if {together, "person_id"} <= header:
        circles: dict[str, list[str]] = {}
        for row in rows:
            circles.setdefault(row[together], []).append(row["person_id"])
        return [tuple(members) for members in circles.values()]
    columns = ("mentor_id", "mentee_id") if "mentor_id" in header else ("person_id", "partner_id")
    if not header.issuperset(columns):
        give_up(f"{path.name}: the header names neither circle and person_id nor person_id and partner_id")
    return [tuple(row[column] for column in columns) for row in rows]


def give_up(why: object) -> NoReturn:
    for line in str(why).splitlines():
        sys.stderr.write(f"ithaca match: {line}\n")
    raise typer.Exit(1) from None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """A file that can't be written or read ends the command in words."""
    try:
        yield
    except OSError as error:
        give_up(f"{path.name}: {error.strerror}")


@contextmanager
def progress(*, shown: bool) -> Iterator[Callable[[str], None]]:
    """Where the solver stands, on a terminal that waits for long."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing")
        yield lambda line: bar.update(task, description=line)


def candidates(file: "People", role: str, apart: "Mapping[str, frozenset[str]]" = MappingProxyType({})) -> "list[Candidate]":
    from services.matching.domain.pool import Candidate  # noqa: PLC0415
    from shared.events import Profile, Role  # noqa: PLC0415

    nothing = Profile(time_zone="UTC")
    return [
        Candidate(
            id=event.person,
            organization=organization,
            role=Role(role),
            profile=event.profile(nothing),
            places=event.capacity or 1,
            own_id=event.person,
            apart=apart.get(event.person, frozenset()),
            said=said,
        )
        for event, organization, said in zip(file.events, file.organizations, file.said, strict=True)
    ]


def peak_mb() -> int:
    """The most memory this process has held, in MB. Linux' `ru_maxrss` would count what the process held that started us."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) // 1024
    import resource  # noqa: PLC0415 - not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024)


def part_names(scoring: "Scoring") -> list[str]:
    """The parts that a score has, in the order of its columns."""
    return [*(part.code for part in scoring.parts), *(["overlap_hours"] if scoring.minute_points else [])]


def waiting(left: "Sequence[Left]") -> list[str]:
    counts = Counter((one.role.value, one.reason.value) for one in left)
    return [f"{count:,} {role}s wait: {reason.replace('_', ' ')}" for (role, reason), count in counts.most_common()]


def agree(file: Path, counts: dict[str, int], score: float, wrong: Sequence[str], *, as_json: bool) -> None:
    """Say what a file's reckoning has found; ends the command with 1 on any difference."""
    for line in wrong[:20]:
        sys.stderr.write(f"ithaca match: {file.name}: {line}\n")
    if len(wrong) > 20:
        sys.stderr.write(f"ithaca match: {file.name}: and {len(wrong) - 20} more\n")
    if as_json:
        print(json.dumps({**counts, "score": score, "differences": len(wrong)}))
    else:
        told_counts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        print(f"{told_counts}, score {score:,.10g}: {'all agree' if not wrong else f'{len(wrong)} differences'}")
    if wrong:
        raise typer.Exit(1)
