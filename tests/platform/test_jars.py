"""The fetcher of Java archives against a repository on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.jars import Jar, JarError
from deploy.local.ports import RANGE, free

CONTENT = b"an archive" * 1000
NAMES = [f"org.example:thing-{number}:1.{number}" for number in range(12)]


class Repository(BaseHTTPRequestHandler):
    """Serves CONTENT at every path it has; `breaks` is how often it hangs up in the middle first."""

    paths: frozenset[str] = frozenset()
    breaks = 0
    asked: list[str] = []  # noqa: RUF012 - of the class, to be looked at

    def do_GET(self) -> None:
        Repository.asked.append(self.path)
        if self.path not in self.paths:
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        broken = Repository.breaks > 0
        Repository.breaks -= broken
        self.wfile.write(CONTENT[:50] if broken else CONTENT)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    Repository.paths = frozenset("/maven2/" + Jar("kafka", name, "", 0).path for name in NAMES)
    Repository.breaks, Repository.asked = 0, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/maven2/"
    monkeypatch.setenv("MAVEN_REPOSITORY", url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield url
    server.shutdown()
    server.server_close()


def lock(folder: Path, names: list[str] = NAMES, sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> Path:
    file = folder / "jars.lock"
    file.write_text("# a comment\n" + "".join(f"kafka {name} {sha256} {len(CONTENT)}\n" for name in names))
    return file


def test_all_archives_are_fetched_once_and_progress_ends_at_the_total(tmp_path, repository):
    told: list[tuple[int, int]] = []
    folder = jars.fetch("kafka", tmp_path, lambda done, total: told.append((done, total)), lock=lock(tmp_path))
    assert sorted(file.name for file in folder.iterdir()) == sorted(Jar("kafka", name, "", 0).name for name in NAMES)
    assert all(file.read_bytes() == CONTENT for file in folder.iterdir())
    assert told[-1] == (len(CONTENT) * 12, len(CONTENT) * 12)
    jars.fetch("kafka", tmp_path, lock=lock(tmp_path))
    assert len(Repository.asked) == 12


def test_a_wrong_hash_is_refused_by_name_and_leaves_no_file(tmp_path, repository):
    with pytest.raises(JarError, match=r"org\.example:thing-0:1\.0 .* not the archive that was locked.*MAVEN_REPOSITORY"):
        jars.fetch("kafka", tmp_path, lock=lock(tmp_path, NAMES[:1], sha256="0" * 64))
    assert list((tmp_path / "kafka").iterdir()) == []


def test_a_connection_that_breaks_is_tried_again(tmp_path, repository):
    Repository.breaks = 2
    told: list[int] = []
    jars.fetch("kafka", tmp_path, lambda done, _: told.append(done), lock=lock(tmp_path, NAMES[:1]))
    assert len(Repository.asked) == 3
    assert told[-1] == len(CONTENT)


def test_an_archive_the_repository_lacks_is_named(tmp_path, repository):
    with pytest.raises(JarError, match=r"org\.example:absent:9 is needed .*Not Found"):
        jars.fetch("kafka", tmp_path, lock=lock(tmp_path, [*NAMES, "org.example:absent:9"]))
    assert not [file for file in (tmp_path / "kafka").iterdir() if file.name.startswith(".")]


def test_a_repository_that_cannot_be_reached_is_a_clear_error(tmp_path, monkeypatch):
    closed = next(port for port in RANGE if free(port))
    monkeypatch.setenv("MAVEN_REPOSITORY", f"http://127.0.0.1:{closed}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(JarError, match=r"org\.example:thing-0:1\.0 is needed.*refused.*Check the network"):
        jars.fetch("kafka", tmp_path, lock=lock(tmp_path, NAMES[:1]))


def test_a_truncated_file_is_fetched_again(tmp_path, repository):
    folder = jars.fetch("kafka", tmp_path, lock=lock(tmp_path, NAMES[:1]))
    file = next(folder.iterdir())
    file.write_bytes(CONTENT[:10])
    jars.fetch("kafka", tmp_path, lock=lock(tmp_path, NAMES[:1]))
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("of", "used"), [("central", True), ("*", True), ("external:*", True), ("*,!central", False), ("other", False)]
)
def test_a_mirror_in_the_maven_settings_is_used_for_central(tmp_path, monkeypatch, of, used):
    monkeypatch.delenv("MAVEN_REPOSITORY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2/settings.xml").write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors><mirror><id>m</id>'
        f"<mirrorOf>{of}</mirrorOf><url>http://mirror.example/maven/</url></mirror></mirrors></settings>"
    )
    assert jars.repository() == ("http://mirror.example/maven" if used else jars.MAVEN_CENTRAL)


def test_the_lock_names_kafka_whole_and_zipkin():
    kafka = jars.locked("kafka")
    assert set(jars.ROOTS["kafka"]) <= {jar.coordinate for jar in kafka}
    assert [jar.coordinate for jar in jars.locked("zipkin")] == jars.ROOTS["zipkin"]
    # With Kafka taken for a bill of materials, an older client gets under its broker.
    assert {jar.coordinate.split(":")[2] for jar in kafka if jar.coordinate.startswith("org.apache.kafka:")} == {"4.4.0"}
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in kafka)
