"""The Java archives of Kafka and Zipkin: fetched from a Maven repository in plain Python, checked against jars.lock.

`make_lock` (part of `./ithaca lock`) asks jgo once which archives a part needs; nobody else resolves anything.
"""

import hashlib
import http.client
import os
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import certifi

from deploy.local.state import CHECKOUT

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
LOCK = Path(__file__).with_name("jars.lock")

Part = Literal["kafka", "zipkin"]
ROOTS: dict[Part, list[str]] = {
    # Without the binding SLF4J binds to nothing and the broker logs nothing.
    "kafka": ["org.apache.kafka:kafka_2.13:4.4.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"],
    "zipkin": ["io.zipkin:zipkin-server:3.6.1:slim"],
}


class JarError(Exception):
    """An archive could not be had, or is not the one that was wanted; the message says which and what to do."""


@dataclass(frozen=True)
class Jar:
    """One archive as jars.lock names it: `group:artifact:version[:classifier]`, its SHA-256 and its size in bytes."""

    part: Part
    coordinate: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name, the same here and in the repository."""
        _, *rest = self.coordinate.split(":")
        return "-".join(rest) + ".jar"

    @property
    def path(self) -> str:
        """Where a Maven repository keeps it."""
        group, artifact, version, *_ = self.coordinate.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.name}"


def repository() -> str:
    """The Maven repository's base URL: MAVEN_REPOSITORY, else a mirror in ~/.m2/settings.xml, else Maven Central."""
    return (os.environ.get("MAVEN_REPOSITORY") or mirror() or MAVEN_CENTRAL).rstrip("/")


def mirror() -> str | None:
    """The mirror of Maven Central in this user's Maven settings."""
    try:
        settings = ET.parse(Path.home() / ".m2/settings.xml")  # noqa: S314 - the user's own file
    except (OSError, RuntimeError, ET.ParseError):
        return None
    for entry in settings.iterfind(".//{*}mirror"):
        of = (entry.findtext("{*}mirrorOf") or "").replace(" ", "").split(",")
        if "!central" not in of and {"central", "*", "external:*"} & set(of):
            return (entry.findtext("{*}url") or "").strip() or None
    return None


def folder() -> Path:
    """Where archives lie: ITHACA_JARS, else `.ithaca/jars` in this checkout, shared by all platforms it starts."""
    return Path(os.environ.get("ITHACA_JARS") or CHECKOUT / ".ithaca" / "jars")


def locked(part: Part, lock: Path = LOCK) -> list[Jar]:
    """The archives of one part, as the lock names them."""
    rows = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(part, coordinate, sha256, int(size)) for name, coordinate, sha256, size in rows if name == part]


def fetch(
    part: Part,
    into: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    lock: Path = LOCK,
) -> Path:
    """Make sure that all archives of a part lie in a folder, and return it.

    `progress` is told the bytes fetched so far and in total, from several threads but one at a time; never when nothing
    is missing. Raises JarError when one can't be had or has the wrong hash; then no file of that name is left behind.
    """
    target = (into or folder()) / part
    target.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in locked(part, lock) if not complete(target / jar.name, jar)]
    if not missing:
        return target
    total = sum(jar.size for jar in missing)
    done = 0
    turn = threading.Lock()

    def count(fetched: int) -> None:
        nonlocal done
        with turn:
            done += fetched
            progress(done, total)

    base, tls = repository(), trust()
    pool = ThreadPoolExecutor(8, thread_name_prefix="jars")
    try:
        # The largest first, so that no thread is left with it at the end.
        for _ in pool.map(lambda jar: fetch_one(jar, target, base, tls, count), sorted(missing, key=lambda jar: -jar.size)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return target


def complete(file: Path, jar: Jar) -> bool:
    """Is it there? Its hash was checked before it got its name."""
    try:
        return file.stat().st_size == jar.size
    except FileNotFoundError:
        return False


def trust() -> ssl.SSLContext:
    """The machine's certificates, and certifi's for a machine that has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def fetch_one(jar: Jar, target: Path, base: str, tls: ssl.SSLContext, count: Callable[[int], None]) -> None:
    """Fetch one archive, check it, and write it to a temporary file that then gets its name."""
    url = f"{base}/{jar.path}"
    content = download(jar, url, tls, count)
    if (found := hashlib.sha256(content).hexdigest()) != jar.sha256:
        raise JarError(
            f"{jar.coordinate} from {url} is not the archive that was locked: its SHA-256 is {found}, wanted {jar.sha256}. "
            "It was thrown away. If you use a mirror (MAVEN_REPOSITORY, ~/.m2/settings.xml), ask who keeps it."
        )
    handle, temporary = tempfile.mkstemp(dir=target, prefix=f".{jar.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target / jar.name)
    finally:
        Path(temporary).unlink(missing_ok=True)


def download(jar: Jar, url: str, tls: ssl.SSLContext, count: Callable[[int], None] = lambda _: None, tries: int = 3) -> bytes:
    """The archive's bytes. A broken connection is tried again; an answer such as 404 is not."""
    for attempt in range(1, tries + 1):
        content = bytearray()
        try:
            with urllib.request.urlopen(url, timeout=30, context=tls) as answer:  # noqa: S310 - the repository's own scheme
                while chunk := answer.read(1 << 18):
                    content += chunk
                    count(len(chunk))
                if answer.length:  # it hung up early, which read(n) doesn't mind
                    raise http.client.IncompleteRead(bytes(content), answer.length)
            return bytes(content)
        except (OSError, http.client.HTTPException) as error:
            count(-len(content))
            if attempt == tries or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                reason = getattr(error, "reason", None) or error
                message = (
                    f"{jar.coordinate} is needed and could not be fetched from {url}: {reason}. "
                    "Check the network, or name a Maven repository that can be reached: MAVEN_REPOSITORY=https://… ./ithaca …"
                )
                raise JarError(message) from error
            time.sleep(0.3 * attempt)
    raise AssertionError


def make_lock(roots: dict[Part, list[str]] = ROOTS) -> None:
    """Resolve all parts with jgo, fetch every archive once, and write jars.lock."""
    lines: list[str] = []
    for part, coordinates in roots.items():
        # One with a classifier is complete in itself.
        found = {*coordinates, *resolve([coordinate for coordinate in coordinates if coordinate.count(":") == 2])}
        with ThreadPoolExecutor(8) as pool:
            lines += pool.map(lambda coordinate, part=part: describe(part, coordinate), sorted(found))
    LOCK.write_text("# Made by `./ithaca lock`; don't edit. Part, coordinate, SHA-256, bytes.\n" + "".join(lines))


def resolve(coordinates: Sequence[str]) -> set[str]:
    """All that these archives need to run, as Maven would choose it."""
    if not coordinates:
        return set()
    from jgo.maven import MavenContext  # noqa: PLC0415 - of the group `dev`
    from jgo.parse import Coordinate  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as cache:
        maven = MavenContext(repo_cache=Path(cache), remote_repos={"central": repository()})
        # raw: otherwise jgo takes each root for a bill of materials, and a library's versions overrule Kafka's.
        wanted = [maven.create_dependency(Coordinate.parse(f"{name}:compile!")) for name in coordinates]
        _, needed = maven.resolver.resolve(wanted)
        artifacts = [each.artifact for each in needed if each.scope in ("compile", "runtime")]
        return {f"{each.groupId}:{each.artifactId}:{each.version}" for each in artifacts}


def describe(part: Part, coordinate: str) -> str:
    """The lock's line for an archive, fetched to learn its hash and size."""
    jar = Jar(part, coordinate, "", 0)
    content = download(jar, f"{repository()}/{jar.path}", trust())
    return f"{part} {coordinate} {hashlib.sha256(content).hexdigest()} {len(content)}\n"
