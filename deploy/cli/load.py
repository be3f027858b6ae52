"""Bring people from files into a program and have them matched: load."""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.target import NOTHING_RUNS, Target, Trouble, find, plain, plainly, problem, web

if TYPE_CHECKING:
    import httpx
    from rich.console import Console
    from rich.progress import TaskID

    from deploy.cli.people_csv import People

GROUP = "Bring people in"
BATCH = 1000
"""Events in one request: the most that the gateway takes."""
IN_FLIGHT = 3
PATIENCE = 60.0
"""Seconds for which a service may be away before we give up; a second run goes on where this one stopped."""
STILL = 600.0
"""Seconds without any progress after which a match run is given up on."""
LOOK = 0.25
WORDS = {
    "nobody_offers": "nobody offers what they want to learn",
    "no_capacity": "those who would fit have no place left",
    "no_overlap": "no free hours in common with anybody",
    "no_common_language": "no language in common with anybody",
    "below_least_score": "nobody fits well enough for this program",
    "nobody_to_meet": "nobody there whom they may meet",
}


@dataclass
class Wish:
    """What the command line asks for."""

    organization: str
    program: str
    mentors: Path
    mentees: Path
    capacity: int
    api: str
    key: str
    skip_bad: bool
    show: int


@dataclass
class Result:
    """What came of it."""

    people: int = 0
    new: int = 0
    changed: bool = False
    without_mail: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    launched: bool = False
    run: dict[str, Any] = field(default_factory=dict)
    again: bool = False
    """The run is of an earlier load: nothing was new since."""
    pairs: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """What the files call whom, by the id here."""
    seconds: dict[str, float] = field(default_factory=dict)


def load(
    organization: Annotated[str, typer.Option(help="Whose people they are; made where it isn't there, if no --key is given.")],
    program: Annotated[str, typer.Option(help="Into which of its programs; opened where it isn't there.")],
    mentors: Annotated[Path, typer.Option(help="CSV file, plain or .gz. `skills` are those they offer.")],
    mentees: Annotated[Path, typer.Option(help="CSV file, plain or .gz. `skills` are those they want to learn.")],
    capacity: Annotated[int, typer.Option(min=1, max=100, help="Mentees at a time per mentor, unless the file says.")] = 3,
    api: Annotated[str, typer.Option(help="Address of the platform, if not on this machine.", envvar="ITHACA_API")] = "",
    key: Annotated[str, typer.Option(help="The organization's API key for it.", envvar="ITHACA_KEY", show_default=False)] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are wrong, and say which.")] = False,
    show: Annotated[int, typer.Option(min=0, help="Print so many of the pairs, best first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout; all else goes to stderr.")] = False,
) -> None:
    """Bring the people of two CSV files into a program, have them matched, and say who has whom, who is left and why.

    [b]Files.[/b] UTF-8 with one header line; `id` must be there, lists are joined by |, blank means that the source doesn't say. Columns:
    id name email locale time_zone country languages skills skills_have goals values interests roles_held years_experience
    seniority rank title industry function location employment reports_to hours_per_week preferred_start_hour channels capacity.
    Others, and `organization`, are ignored and named. Someone without a mail address can be matched, and gets no mail.
    A wrong row ends it before anything is sent, with file, row and column; --skip-bad leaves such rows out.

    [b]Program.[/b] One that isn't there is opened with the default policy: the pairs begin at once, and most people with a partner come
    before the best scores. A common language is asked for only where both have said theirs; so files in which most left it blank
    lose nobody by it, and people who do say aren't paired with someone they can't talk to.

    [b]Again.[/b] Safe to run twice, also after it was interrupted: what is known already changes nothing, what differs in the files is
    taken over, and a new match run is made only if something is new.

    [b]Where.[/b] The platform on this machine, or --api and --key (or ITHACA_API, ITHACA_KEY) as any partner. Without a key it uses the
    operator's token to make one, and keeps it in .ithaca/keys.json for the next time.

    [b]--json[/b] has at least people, pairs, waitlisted, seconds, run_id, trace_id, refused; exit code 1 where people were refused
    and --skip-bad isn't given.

    Example: `./ithaca load --organization northwind --program crossing --mentors mentors.csv --mentees mentees.csv.gz`
    """
    wish = Wish(organization, program, mentors, mentees, capacity, api.rstrip("/"), key, skip_bad, show)
    began = time.monotonic()
    with plainly():
        from rich.console import Console  # noqa: PLC0415 - heavy

        console = Console(stderr=as_json, highlight=False, soft_wrap=not sys.stdout.isatty())
        result = asyncio.run(Load(wish, console).run(began))
    seconds = round(time.monotonic() - began, 2)
    if as_json:
        print(json.dumps(body(result, seconds)))
    if result.refused and not skip_bad:
        raise typer.Exit(1)


def body(result: Result, seconds: float) -> dict[str, Any]:
    """The one line of --json."""
    run = result.run
    return {
        "people": result.people,
        "new": result.new,
        "changed": result.changed,
        "pairs": run.get("pairs"),
        "proposed": run.get("proposed"),
        "waitlisted": sum(run["waitlisted"].values()) if run else None,
        "waitlisted_by_reason": run.get("waitlisted"),
        "seconds": seconds,
        "seconds_of": result.seconds,
        "run_id": run.get("run_id"),
        "trace_id": run.get("trace_id"),
        "gap": run.get("gap"),
        "refused": len(result.refused),
        "refusals": result.refused[:100],
        "without_mail": result.without_mail,
        "launched": result.launched,
    }


class Load:
    """One run of the command."""

    def __init__(self, wish: Wish, console: "Console") -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - heavy

        self.wish, self.console, self.result = wish, console, Result()
        columns = TextColumn("{task.description:28}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn()
        self.progress: Progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    async def run(self, began: float) -> Result:
        """All of it. Raises Trouble."""
        from deploy.cli.organization import identifier  # noqa: PLC0415 - not both at the start

        wish, result = self.wish, self.result
        organization = identifier(wish.organization, "an organization")
        slug = wish.program if "." in wish.program else identifier(wish.program, "a program")
        people = self.read()
        result.seconds["reading"] = round(time.monotonic() - began, 2)
        gateway_url, matching_url, zipkin, key = await self.place(organization)
        async with web(gateway_url, key, timeout=60) as gateway, web(matching_url, key, timeout=30) as matching:
            with self.progress:
                before = await self.program(gateway, organization, slug)
                after = await self.post(gateway, organization, slug, people, before)
                posted = time.monotonic()
                result.seconds["posting"] = round(posted - began - result.seconds["reading"], 2)
                if result.refused and not wish.skip_bad:
                    self.tell_refused()
                    return result
                roster = after or before["roster"]
                await self.match(matching, before, roster)
                result.seconds["matching"] = round(time.monotonic() - posted, 2)
        self.tell(zipkin, time.monotonic() - began)
        return result

    # -- files

    def read(self) -> list[dict[str, Any]]:
        """Everyone in both files, as a partner would post them. Raises Trouble."""
        from deploy.cli.people_csv import BadCsvError, read_people  # noqa: PLC0415 - heavy

        wish, result = self.wish, self.result
        files: list[tuple[Path, People]] = []
        try:
            files.append((wish.mentors, read_people(wish.mentors, "mentor", wish.capacity, skip_bad=True)))
            files.append((wish.mentees, read_people(wish.mentees, "mentee", skip_bad=True)))
        except BadCsvError as error:
            raise Trouble(str(error)) from None
        for path, file in files:
            self.say(
                f"{path.name}: {len(file.people):,} people" + (f"; ignored: {', '.join(file.ignored)}" if file.ignored else "")
            )
            if file.bad and not wish.skip_bad:
                more = f" ({len(file.bad) - 1:,} more rows are wrong)" if len(file.bad) > 1 else ""
                raise Trouble(
                    f"{path.name}: {file.bad[0]}{more}. Nothing was sent. Correct it, or leave such rows out with --skip-bad."
                )
            for bad in file.bad:
                result.refused.append({"file": path.name, "row": str(bad.row), "field": bad.column, "reason": bad.text})
        mentors = {each["person"] for each in files[0][1].people}
        both = [each["person"] for each in files[1][1].people if each["person"] in mentors]
        if both:
            raise Trouble(f"{plain(both[0], 60)} and {len(both) - 1:,} more are in both files: give each of them one role.")
        people = [each for _, file in files for each in file.people]
        if not people:
            raise Trouble("there is nobody in these files.")
        result.without_mail = sum(file.without_mail for _, file in files)
        return people

    # -- where to, and as whom

    async def place(self, organization: str) -> tuple[str, str, str, str]:
        """Addresses of gateway, matching and Zipkin, and the key. Raises Trouble."""
        wish = self.wish
        found = None if wish.api and wish.key else find()
        if wish.api and not (found and found.addresses.get("gateway") == wish.api):
            if not wish.key:
                raise Trouble("--api needs --key, an API key of the organization (or ITHACA_KEY).", 2)
            known = find()
            beside = known.addresses if known and known.addresses.get("gateway") == wish.api else {}
            # One public origin routes by path; only a platform on one machine has a port for each service.
            return wish.api, beside.get("matching", wish.api), beside.get("zipkin", ""), wish.key
        if found is None:
            raise Trouble(NOTHING_RUNS.removesuffix(".") + "; or name its API with --api and --key.")
        urls = (
            found.service("gateway"),
            found.service("matching"),
            found.addresses.get("zipkin", os.environ.get("ITHACA_ZIPKIN", "")),
        )
        return *urls, wish.key or await self.key(found, organization)

    async def key(self, found: Target, organization: str) -> str:
        """The key that an earlier run kept, if it still works; else a new one, and the organization where it isn't there."""
        from deploy.cli.organization import Keys, added  # noqa: PLC0415 - not both at the start

        keys = Keys(found)
        if kept := keys.get(organization):
            async with web(found.service("gateway"), kept, timeout=30) as gateway:
                answer = await gateway.get("/v1/organization")
            if answer.status_code == 200 and answer.json()["organization"]["id"] == organization:
                return kept
        made = await added(found, self.wish.organization, {}, new_key=True)
        keys.put(organization, made["key"])
        if made["created"]:
            self.say(f"{organization} is new on the platform.")
        return str(made["key"])

    # -- the program and its people

    async def program(self, gateway: "httpx.AsyncClient", organization: str, slug: str) -> dict[str, Any]:
        """The program as the gateway knows it, opened where it isn't there. Raises Trouble."""
        answer = await gateway.get(f"/v1/programs/{slug}")
        if answer.status_code == 404 and "." not in slug:
            data = {"program": slug, "name": self.wish.program, "policy": {"capacity": self.wish.capacity}}
            launched = await self.send(gateway, [event("ProgramLaunched", organization, data, "")])
            if launched[0]["status"] == "rejected":
                raise Trouble(f"the program can't be opened: {refusal(launched[0])}")
            self.result.launched = launched[0]["status"] == "accepted"
            self.say(f"{organization}.{slug} is open.")
            answer = await gateway.get(f"/v1/programs/{slug}")
        if answer.status_code == 401:
            raise Trouble("the gateway doesn't take this key: it is wrong or was revoked.")
        if answer.status_code != 200:
            raise Trouble(f"{plain(slug, 100)}: {problem(answer)}")
        there: dict[str, Any] = answer.json()
        if there["status"] == "closed":
            raise Trouble(f"{there['program']} is closed: nobody new comes in. Choose another --program.")
        return there

    async def post(
        self,
        gateway: "httpx.AsyncClient",
        organization: str,
        slug: str,
        people: Sequence[dict[str, Any]],
        program: dict[str, Any],
    ) -> dict[str, int] | None:
        """Post everyone, several requests at a time; the newest roster that was answered, if any. Raises Trouble.

        An event's id comes from its content and from the roster that the program had before: the same load again is the same
        events, and going back to what an earlier file said is not.
        """
        result, salt = self.result, json.dumps(program.get("roster"))
        events = [event("PersonEnrolled", organization, {**each, "program": slug}, salt) for each in people]
        rosters: list[dict[str, int]] = []
        task = self.progress.add_task("Sending people", total=len(events), told=f"0 of {len(events):,}")
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one(part: Sequence[dict[str, Any]]) -> None:
            async with free:
                for said, answer in zip(part, await self.send(gateway, part, rosters), strict=True):
                    own_id = said["data"]["person"]
                    if answer["status"] == "rejected":
                        first = (answer.get("errors") or [{}])[0]
                        reason = {"field": first.get("field", ""), "reason": first.get("detail", "")}
                        result.refused.append({"person": own_id, **reason})
                    else:
                        result.people += 1
                        result.names[answer["person"]] = own_id
                done = result.people + len(result.refused)
                self.progress.update(task, completed=done, told=f"{done:,} of {len(events):,}")

        async with asyncio.TaskGroup() as group:
            for n in range(0, len(events), BATCH):
                group.create_task(one(events[n : n + BATCH]))
        self.progress.remove_task(task)
        newest = max(rosters, key=lambda roster: roster["revisions"], default=None)
        if newest and program.get("roster"):
            result.new = newest["people"] - program["roster"]["people"]
            result.changed = newest["revisions"] != program["roster"]["revisions"]
        return newest

    async def send(
        self, gateway: "httpx.AsyncClient", events: Sequence[dict[str, Any]], rosters: list[dict[str, int]] | None = None
    ) -> list[dict[str, Any]]:
        """Post one batch until it is answered; what passes is tried again, which the events' ids make harmless. Raises Trouble."""
        import httpx  # noqa: PLC0415 - heavy
        import orjson  # noqa: PLC0415

        content, headers = orjson.dumps(events), {"Content-Type": "application/cloudevents-batch+json"}
        until, delay = time.monotonic() + PATIENCE, 0.2
        while True:
            answer: httpx.Response | None = None
            try:
                answer = await gateway.post("/v1/events", content=content, headers=headers)
            except httpx.TransportError as error:
                if time.monotonic() > until:
                    raise Trouble(f"the gateway went away ({type(error).__name__}): ./ithaca status says more. {AGAIN}") from None
            if answer is not None:
                told = answer.json() if "json" in answer.headers.get("content-type", "") else {}
                if "results" in told:
                    if rosters is not None:
                        rosters += told.get("rosters", {}).values()
                    found: list[dict[str, Any]] = told["results"]
                    return found
                if answer.status_code not in (429, 502, 503, 504) or time.monotonic() > until:
                    raise Trouble(f"the gateway answers {answer.status_code}: {problem(answer)} {AGAIN}")
                delay = max(delay, float(answer.headers.get("Retry-After", 0)))
            await asyncio.sleep(min(delay, 10))
            delay = min(delay * 2, 5)

    # -- the match run

    async def match(self, matching: "httpx.AsyncClient", program: dict[str, Any], roster: dict[str, int] | None) -> None:
        """Ask for a run when all this has arrived, wait for it, and read its pairs. Raises Trouble."""
        result, name = self.result, program["program"]
        if program["place"] != "owner":
            self.say(f"The people are in. {program['owner']}, who owns {name}, asks for the match run.")
            return
        asked = json.dumps([name, roster, program["revision"]])
        for attempt in range(20):
            content = hashlib.sha256(f"{asked} {attempt}".encode()).hexdigest()
            answer = await self.ask(
                matching, "POST", f"/v1/programs/{name}/match-runs", {"after": roster}, {"Idempotency-Key": content}
            )
            run_id = answer["run_id"]
            run = await self.ask(matching, "GET", f"/v1/match-runs/{run_id}")
            if run["status"] != "failed":
                break
        result.again = run["status"] == "finished"
        result.run = run = await self.wait(matching, run)
        if not result.again and run["started_at"] and run["finished_at"]:
            requested, started, over = (
                datetime.fromisoformat(run[name]) for name in ("requested_at", "started_at", "finished_at")
            )
            times = {"waiting": started - requested, "running": over - started}
            result.seconds |= {name: round(time.total_seconds(), 2) for name, time in times.items()}
            result.seconds["solving"] = round(run["solver_seconds"], 2)
        if result.run["status"] == "failed":
            raise Trouble(
                f"the match run {run_id} failed: {plain(result.run['problem'])}. ./ithaca logs matching says more. {AGAIN}"
            )
        after = ""
        while True:
            page = await self.ask(matching, "GET", f"/v1/match-runs/{run_id}/pairs?limit=1000{after}")
            result.pairs += page["pairs"]
            if page["next"] is None:
                return
            after = f"&after={page['next']}"

    async def wait(self, matching: "httpx.AsyncClient", run: dict[str, Any]) -> dict[str, Any]:
        """Until the run is over. Raises Trouble where nothing moves for ten minutes."""
        task = self.progress.add_task("Matching", total=1.0, told="")
        moved, seen = time.monotonic(), ""
        while run["status"] not in ("finished", "failed"):
            now = json.dumps([run["status"], run["round"], run["roster"], run["progress"]])
            if now != seen:
                moved, seen = time.monotonic(), now
                self.show(task, run)
            elif time.monotonic() - moved > STILL:
                raise Trouble(
                    f"the match run {run['run_id']} hasn't moved for {STILL / 60:.0f} min: ./ithaca status says more. {AGAIN}"
                )
            await asyncio.sleep(LOOK)
            run = await self.ask(matching, "GET", f"/v1/match-runs/{run['run_id']}")
        self.progress.remove_task(task)
        return run

    def show(self, task: "TaskID", run: dict[str, Any]) -> None:
        match run["status"]:
            case "waiting_for_roster":
                known, wanted = (run["roster"] or {}).get("revisions", 0), (run["after"] or {}).get("revisions", 1)
                told = f"{known:,} of {wanted:,}"
                self.progress.update(task, description="People reach matching", completed=known / max(1, wanted), told=told)
            case "solving":
                self.progress.update(task, description="Looking for the best plan", completed=0, told="")
            case _:
                applied, planned = run["progress"]["applied"], run["progress"]["planned"]
                told = f"{applied:,} of {planned:,} pairs"
                self.progress.update(task, description="Making pairs", completed=run["progress"]["share"], told=told)

    async def ask(
        self, matching: "httpx.AsyncClient", method: str, path: str, content: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """An answer of matching's; it may be away for a while, or not have heard of a new key or program yet. Raises Trouble."""
        import httpx  # noqa: PLC0415 - heavy

        until, delay = time.monotonic() + PATIENCE, 0.1
        while True:
            try:
                answer = await matching.request(method, path, json=content, headers=headers)
            except httpx.TransportError as error:
                why = type(error).__name__
                passing = True
            else:
                if answer.is_success:
                    found: dict[str, Any] = answer.json()
                    return found
                why, passing = f"{answer.status_code}: {problem(answer)}", answer.status_code in (401, 429, 502, 503, 504)
            if not passing or time.monotonic() > until:
                raise Trouble(f"matching answers {why} ./ithaca status says more. {AGAIN}")
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, 2)

    # -- what is said

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def tell_refused(self) -> None:
        """Whom the gateway or the reader refused, and why."""
        refused = self.result.refused
        self.say(f"Refused: {len(refused):,}")
        for each in refused[:20]:
            where = f"{each['file']} row {each['row']}" if "file" in each else plain(each["person"], 60)
            self.say(f"  {where}, {each['field'].removeprefix('data.')}: {each['reason']}")
        if len(refused) > 20:
            self.say(f"  … and {len(refused) - 20:,} more")
        if not self.wish.skip_bad:
            self.say("No match run was asked for. Correct them and run it again, or go on without them with --skip-bad.")

    def tell(self, zipkin: str, seconds: float) -> None:
        """The whole result for a person."""
        result, run = self.result, self.result.run
        if result.refused:
            self.tell_refused()
        if result.changed or result.launched:
            self.say(f"{result.people:,} people are in, {result.new:,} of them new.")
        else:
            self.say(f"{result.people:,} people are in, as before: nothing new.")
        if result.without_mail:
            self.say(f"{result.without_mail:,} have no mail address: they can be matched, and no mail reaches them.")
        if not run:
            return
        if result.again:
            self.say(f"This is what the match run of {run['finished_at'][:16].replace('T', ' ')} UTC found:")
        self.tell_pairs()
        waitlisted = sum(run["waitlisted"].values())
        self.say(f"\n{waitlisted:,} wait:" if waitlisted else "\nNobody waits.")
        for reason, count in sorted(run["waitlisted"].items(), key=lambda each: -each[1]):
            self.say(f"  {count:>6,}  {WORDS.get(reason, reason.replace('_', ' '))}")
        proof = "no better plan exists" if run["gap"] == 0 else f"a better plan could be {run['gap'] / 1e6:.2f} better at most"
        self.say(f"\n{seconds:.1f} s, {result.seconds['posting']:.1f} of them sending; {proof}.")
        self.say(f"Trace  {zipkin}/zipkin/traces/{run['trace_id']}" if zipkin else f"Trace  {run['trace_id']}")
        self.say(f"Run    {run['run_id']}   ./ithaca trace {run['run_id']}")

    def tell_pairs(self) -> None:
        result = self.result
        pairs = [pair for pair in result.pairs if pair["status"] in ("active", "proposed")]
        many = f"{result.run['pairs']:,} pairs" + (
            f", {result.run['proposed']:,} more proposed" if result.run["proposed"] else ""
        )
        self.say(f"{many}{':' if pairs and self.wish.show else '.'}")
        for pair in sorted(pairs, key=lambda each: (-each["score"], each["relationship_id"]))[: self.wish.show]:
            people = {member["role"]: result.names.get(member["person_id"], member["person_id"]) for member in pair["members"]}
            reasons = "; ".join(reason(each) for each in pair["reasons"])
            who = f"{plain(people.get('mentee', ''), 40)} + {plain(people.get('mentor', ''), 40)}"
            self.say(f"  {who}  {pair['score'] / 1e6:.3f}  {reasons}")
        if self.wish.show and len(pairs) > self.wish.show:
            self.say(f"  … and {len(pairs) - self.wish.show:,} more (--show {len(pairs)})")


AGAIN = "The same command goes on from here."


def event(kind: str, organization: str, data: dict[str, Any], salt: str) -> dict[str, Any]:
    """A partner's CloudEvent whose id comes from what it says: the same again is the same event."""
    content = json.dumps([kind, data, salt], sort_keys=True, ensure_ascii=False)
    return {
        "specversion": "1.0",
        "id": hashlib.sha256(content.encode()).hexdigest()[:32],
        "source": f"/{organization}/load",
        "type": f"ithaca.{kind}",
        "data": data,
    }


def refusal(answer: dict[str, Any]) -> str:
    """Why an event was refused, in one line."""
    return "; ".join(f"{error['field'].removeprefix('data.')}: {error['detail']}" for error in answer.get("errors", []))


def reason(each: dict[str, Any]) -> str:
    """`skills python, sql`"""
    what = ", ".join(plain(item, 40) for item in each["items"]) or f"{each['number']:g}"
    return f"{each['code'].replace('_', ' ')} {what}"


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    app.command(rich_help_panel=GROUP)(load)
