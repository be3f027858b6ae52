"""Addresses of pages that people type or paste."""

from typing import Annotated

from pydantic import AnyUrl, TypeAdapter, UrlConstraints, ValidationError

LONGEST = 500
PAGE: TypeAdapter[AnyUrl] = TypeAdapter(
    Annotated[AnyUrl, UrlConstraints(allowed_schemes=["https"], host_required=True, max_length=LONGEST)]
)


def https(text: str) -> str | None:
    """A link that a browser opens over TLS, with nobody's password in it; None where it isn't one, and nothing else."""
    try:
        url = PAGE.validate_python(text)
    except ValidationError:
        return None
    wrong = url.username or url.password or "." not in (url.host or "") or len(str(url)) > LONGEST or len(text.split()) != 1
    return None if wrong else str(url)
