"""What languages are called, for pages and mails."""

TONGUES = {
    "ar": "Arabic", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "ha": "Hausa", "hi": "Hindi", "ig": "Igbo",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ru": "Russian",
    "sw": "Swahili", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "yo": "Yoruba", "zh": "Chinese",
}  # fmt: skip


def tongue(tag: str) -> str:
    """A language's English name, where it is one of the larger ones, else its tag."""
    return TONGUES.get(tag.partition("-")[0], tag)
