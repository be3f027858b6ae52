"""The demo: two employers share a program, and the platform's own clock lets weeks pass in seconds."""
