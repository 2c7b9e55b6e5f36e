"""The one tree of errors.

KokirisError            500 / exit 1
├── BadInput            400 / exit 1     what was given cannot be used
│   ├── RuleBroken      400 / exit 1     a rule of the infra refuses it (the rule is named)
│   ├── JobFileError    400 / exit 1     a job file, with file, line and column
│   └── NotSupported    400 / exit 1     understood, but this version does not act on it
├── Unauthenticated     403 / exit 1     no token, or a wrong one
├── Forbidden           403 / exit 1     a known token without the right
├── NotFound            404 / exit 1
├── Conflict            409 / exit 1     check-and-set failed, or it is there already
├── TooLarge            413 / exit 1
├── Busy                429 / exit 1     retry later
├── HostError           500 / exit 1     this machine lacks or refuses something (port taken, no disk…)
├── StoreError          500 / exit 1     the store refused or lost a write
├── Unavailable         503 / exit 1     a part that should answer does not
└── Internal            500 / exit 1     a defect of ours

Every error names the object and the value in its message, and has a `next_step`: what the user can do now.
"""

from __future__ import annotations


class KokirisError(Exception):
    """Base of all errors a user can meet.

    `code` is stable and greppable, `http_status` and `exit_code` are what the doors answer, `next_step` is one
    sentence telling the user what to do; subclasses give a default, callers a better one.
    """

    code = "error"
    http_status = 500
    exit_code = 1
    default_next_step = "Try again; `kokiris status` on the infra's node shows what is not well."

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step or self.default_next_step


class BadInput(KokirisError):
    """What was given cannot be used; nothing was changed."""

    code = "bad_input"
    http_status = 400
    default_next_step = "Correct the value named above and try again."


class RuleBroken(BadInput):
    """A rule of the infra refuses this; the rule is named and nothing was touched."""

    code = "rule_broken"
    default_next_step = "Change the request so that the rule holds; docs/architecture.md lists the rules."


class JobFileError(BadInput):
    """A job file that does not parse or evaluate. `file`, `line` and `column` (1-based) say where."""

    code = "job_file"
    default_next_step = "Correct the job file at the place shown and run `kokiris job validate` again."

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, next_step: str | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.file = file
        self.line = line
        self.column = column


class NotSupported(BadInput):
    """Understood, but this version does not act on it: refused by name rather than ignored."""

    code = "not_supported"
    default_next_step = "Remove it from the request; docs/compatibility.md lists what is acted on."


class Unauthenticated(KokirisError):
    """No token, or one that opens nothing here."""

    code = "unauthenticated"
    http_status = 403
    default_next_step = 'Run `eval "$(kokiris env)"`, or export NOMAD_TOKEN and CONSUL_HTTP_TOKEN.'


class Forbidden(KokirisError):
    """The token is known and lacks the right."""

    code = "forbidden"
    http_status = 403
    default_next_step = "Use a token with the right named above."


class NotFound(KokirisError):
    """The object named does not exist."""

    code = "not_found"
    http_status = 404
    default_next_step = "Check the name; the matching list command shows what exists."


class Conflict(KokirisError):
    """A check-and-set failed, or the object exists already; nothing was changed."""

    code = "conflict"
    http_status = 409
    default_next_step = "Read the object again and retry with its present index."


class TooLarge(KokirisError):
    """A body or value over its limit; nothing was changed."""

    code = "too_large"
    http_status = 413
    default_next_step = "Send less; the limit is named above."


class Busy(KokirisError):
    """Too much at once; the same request will work later."""

    code = "busy"
    http_status = 429
    default_next_step = "Wait a moment and try again."


class HostError(KokirisError):
    """This machine lacks or refuses something: a port taken, a missing program, a full disk."""

    code = "host"
    default_next_step = "Free or install what is named above and try again."


class StoreError(KokirisError):
    """The store could not do what was asked; an unacknowledged write may or may not have been kept."""

    code = "store"
    default_next_step = "Check the store (disk space, etcd endpoints) and try again."


class Unavailable(KokirisError):
    """A part that should answer does not (yet)."""

    code = "unavailable"
    http_status = 503
    default_next_step = "Look at `kokiris status`; try again when the part named above runs."


class Internal(KokirisError):
    """A defect of ours: please report it with the message."""

    code = "internal"
