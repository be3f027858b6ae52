"""Someone who opens every page that mails and pages lead to, and writes a word of their own into every field that takes words."""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

WORDS = "Zephyrquill"
"""Begins every word that is written; nobody else writes it."""
TAKES_WORDS = frozenset({"text", "textarea", "url", "email", "search", "tel"})
SPELLINGS = ("words", "url", "number")
"""Tried in this order in a field that isn't right yet."""
MOST_TRIES = 12
"""How often a kind of form is sent that is never taken."""
PLAIN = {"number": "1", "time": "10:00", "password": ""}


@dataclass
class Field:
    name: str
    kind: str
    value: str = ""
    chosen: bool = False
    least: str = ""
    wrong: bool = False
    required: bool = False
    options: list[str] = field(default_factory=list)


@dataclass
class Form:
    """A form of a page, its fields, and the buttons that send it (name, value)."""

    action: str
    method: str
    fields: list[Field] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def asks_for_words(self) -> list[Field]:
        return [one for one in self.fields if one.kind in TAKES_WORDS]

    @property
    def shape(self) -> tuple[str, ...]:
        """What is the same of a form on another page of the kind: without tokens and ids."""
        return (*sorted({one.name for one in self.fields if one.kind != "hidden"}),)


class Page(HTMLParser):
    """The forms and links of a page."""

    def __init__(self, url: str, html: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.inside: Form | None = None
        self.select: Field | None = None
        self.area: Field | None = None
        self.unvalued = False
        """The option's text is its value."""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        name = has.get("name", "")
        if tag == "a" and "href" in has:
            self.links.append(urljoin(self.url, has["href"]))
        elif tag == "form":
            self.inside = Form(urljoin(self.url, has.get("action", self.url)), has.get("method", "get").lower())
            self.forms.append(self.inside)
        elif self.inside is None:
            return
        elif tag == "button":
            self.inside.buttons.append((name, has.get("value", "")))
        elif tag == "option" and self.select is not None:
            self.unvalued = "value" not in has
            self.select.options.append(has.get("value", ""))
            if "selected" in has:
                self.select.value = has.get("value", "")
        elif tag in {"input", "textarea", "select"} and name:
            kind = has.get("type", "text") if tag == "input" else tag
            one = Field(
                name,
                kind,
                has.get("value", ""),
                "checked" in has,
                has.get("min", ""),
                has.get("aria-invalid") == "true",
                "required" in has,
            )
            self.inside.fields.append(one)
            self.select, self.area = (one if tag == "select" else None), (one if tag == "textarea" else None)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = None
        elif tag == "select":
            self.select = None
        elif tag == "textarea":
            self.area = None

    def handle_data(self, data: str) -> None:
        if self.unvalued and self.select is not None and data.strip():
            self.select.options.append(data.strip())
        if self.area is not None:
            self.area.value += data


@dataclass(frozen=True, slots=True)
class Written:
    """A word that was written: into which field of which page, and what came of it."""

    word: str
    service: str
    action: str
    field: str
    status: int

    @property
    def place(self) -> str:
        return f"{self.service} /{self.action}: {self.field}"


@dataclass
class Writer:
    """Goes from page to page. `addresses`: the services, whose links alone are followed."""

    http: httpx.AsyncClient
    addresses: dict[str, str]
    day: str = ""
    """YYYY-MM-DD that is said where a day is asked for."""
    later: frozenset[str] = frozenset()
    """Actions whose forms end something: they are sent when all else is written."""
    visited: dict[str, int] = field(default_factory=dict)
    """Action → how often a page of it was seen."""
    written: list[Written] = field(default_factory=list)
    taken: set[Any] = field(default_factory=set)
    """Kinds of forms, with their button, that were taken."""
    numbers: set[str] = field(default_factory=set)
    """Fields of words, by their `Written.place`, that take numbers alone."""
    tries: Counter[Any] = field(default_factory=Counter)

    def service(self, url: str) -> str:
        origin = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        return next((name for name, address in self.addresses.items() if address.rstrip("/") == origin), "")

    @staticmethod
    def action(url: str) -> str:
        return urlsplit(url).path.split("/")[1]

    async def walk(self, urls: Iterable[str]) -> None:
        """Open these pages, fill in what they ask, and go where they lead: to each page, for each person, once."""
        ahead, opened = list(urls), set()
        while ahead:
            url = ahead.pop(0)
            page = urlsplit(url).path, tuple(parse_qs(urlsplit(url).query).get("p", ()))
            if page in opened or not self.service(url) or urlsplit(url).path.count("/") < 2:
                continue
            opened.add(page)
            answer = await self.http.get(url, headers={"Accept": "text/html"}, follow_redirects=True)
            ahead += await self.read(answer)

    async def read(self, answer: httpx.Response) -> list[str]:
        """A page's forms are filled in; where its links, and the pages after, lead."""
        if answer.status_code != 200 or "html" not in answer.headers.get("content-type", ""):
            return []
        url = str(answer.url)
        self.visited[self.action(url)] = self.visited.get(self.action(url), 0) + 1
        page = Page(url, answer.text)
        onwards = list(page.links)
        for form in page.forms:
            if form.method == "post" and form.asks_for_words and self.action(url) not in self.later:
                for button in form.buttons[:3] or [("", "")]:
                    onwards += await self.send(form, button)
        return onwards

    async def send(self, form: Form, button: tuple[str, str]) -> list[str]:
        """Once for each kind of form and button; again, in another way, where what was written wasn't taken."""
        action, service = self.action(form.action), self.service(form.action)
        shape = (action, form.shape, button if button[0] in {"do", "add", "change"} else button[0])
        wrong: set[str] = set()
        for spelling in SPELLINGS:
            if shape in self.taken or self.tries[shape] >= MOST_TRIES:
                break
            self.tries[shape] += 1
            data, words = self.filled(form, spelling, wrong)
            data |= {button[0]: button[1]} if button[0] else {}
            answer = await self.http.post(form.action, data=data, headers={"Accept": "text/html"}, follow_redirects=True)
            status = answer.history[0].status_code if answer.history else answer.status_code
            self.written += [Written(word, service, action, name, status) for name, word in words]
            if status == 303:
                self.taken.add(shape)
                self.numbers |= {f"{service} /{action}: {name}" for name in wrong if spelling == "number"}
                return [str(answer.url)]
            told = next((one for one in Page(form.action, answer.text).forms if one.shape == form.shape), None)
            wrong = (
                {one.name for one in told.fields if one.wrong}
                if told
                else {one.name for one in form.fields if one.kind == "text"}
            )
        return []

    def filled(self, form: Form, spelling: str, wrong: Container[str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """What is sent, and of it the words: (field, word). What was wrong is spelled otherwise."""
        data: dict[str, Any] = {}
        words = []
        for one in form.fields:
            if one.kind in TAKES_WORDS:
                word = f"{WORDS}{len(self.written) + len(words)}x{len(words)}"
                words.append((one.name, word))
                data[one.name] = spelled(one, word, spelling if one.name in wrong else SPELLINGS[0])
            elif one.kind in {"radio", "checkbox"}:
                if one.chosen or (one.name not in data and (one.kind == "radio" or one.required)):
                    data[one.name] = one.value
            elif one.kind == "select":
                data[one.name] = one.value or next(filter(None, one.options), "")
            elif one.kind == "date":
                data[one.name] = one.value or (max(self.day, one.least) if one.required else "")
            else:
                data[one.name] = one.value or one.least or PLAIN.get(one.kind, "")
        return data, words


def spelled(one: Field, word: str, spelling: str) -> str:
    """As the field wants it."""
    kind = one.kind if one.kind in {"url", "email"} else spelling
    return {"url": f"https://{word.lower()}.example/{word}", "email": f"{word}@elsewhere.example", "number": "2"}.get(
        kind, f"{word} writes this"
    )
