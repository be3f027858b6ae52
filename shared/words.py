"""What words on pages and in mails are made of: tags, lists, numbers of things, beginnings of sentences."""

from collections.abc import Iterable


def plain(slug: str) -> str:
    """A tag in words: `role:data-scientist` is `data scientist`."""
    return slug.rpartition(":")[2].replace("-", " ").replace("_", " ")


def join_and(items: Iterable[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`"""
    several = [str(item) for item in items]
    return f" {word} ".join([", ".join(several[:-1]), several[-1]]) if len(several) > 1 else "".join(several)


def plural(count: int, one: str, many: str = "") -> str:
    """`1 meeting`, `1,200 meetings`"""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def upper(text: str) -> str:
    """With a large letter at its beginning; names keep theirs."""
    return text[:1].upper() + text[1:]
