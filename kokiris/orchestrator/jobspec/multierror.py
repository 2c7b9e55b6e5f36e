"""Several errors as one text, in the form of Go's multierror that Nomad's clients know."""

from __future__ import annotations

from collections.abc import Sequence


def multi_error(errors: Sequence[str]) -> str:
    """ "1 error occurred:" and one line with a star per error; "" for none."""
    if not errors:
        return ""
    head = "1 error occurred" if len(errors) == 1 else f"{len(errors)} errors occurred"
    return f"{head}:\n\t" + "\n\t".join(f"* {error}" for error in errors) + "\n\n"
