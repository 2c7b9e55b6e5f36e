"""Words of a text, exactly as the index cuts them: letters and digits, lower case, up to 128 bytes each."""

from __future__ import annotations

from functools import cache

import tantivy

LONGEST_WORD_BYTES = 128
ANALYZER = "words"


@cache
def analyzer() -> tantivy.TextAnalyzer:
    """To be registered as `ANALYZER` after every opening of an index (logs.md, trap 8)."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.remove_long(LONGEST_WORD_BYTES))
        .build()
    )


def words(text: str) -> list[str]:
    """In order; longer ones are left out."""
    return analyzer().analyze(text)
