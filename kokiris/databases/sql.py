"""Statements, as text. Names are checked before they come here, and quoted all the same. Pure."""

from __future__ import annotations


def name(identifier: str) -> str:
    """An identifier in backquotes."""
    return "`" + identifier.replace("`", "``") + "`"


def text(value: str) -> str:
    """A text literal, the same under every sql_mode."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def pattern(database: str) -> str:
    """A database's name where GRANT takes a pattern: "_" and "%" mean themselves."""
    return name(database.replace("_", "\\_").replace("%", "\\%"))


def account(user: str) -> str:
    """From any host: containers' addresses change."""
    return f"{text(user)}@'%'"


def create(database: str, user: str, password: str) -> str:
    """A database, and an account that may do everything in it and nothing elsewhere."""
    return "\n".join(
        (
            f"CREATE DATABASE IF NOT EXISTS {name(database)} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;",
            f"CREATE OR REPLACE USER {account(user)} IDENTIFIED BY {text(password)};",
            grant(database, user),
        )
    )


def grant(database: str, user: str) -> str:
    """Everything in that database, but the right to pass it on."""
    return f"GRANT ALL PRIVILEGES ON {pattern(database)}.* TO {account(user)};"


def revoke(database: str, user: str) -> str:
    """Undoes `grant`."""
    return f"REVOKE ALL PRIVILEGES ON {pattern(database)}.* FROM {account(user)};"


def set_password(user: str, password: str) -> str:
    """The old one is refused from now on; open connections stay."""
    return f"ALTER USER {account(user)} IDENTIFIED BY {text(password)};"


def drop(database: str, user: str) -> str:
    """Database and account, as far as they exist."""
    return f"DROP DATABASE IF EXISTS {name(database)};\nDROP USER IF EXISTS {account(user)};"


def fresh(database: str) -> str:
    """An empty one in its place."""
    return (
        f"DROP DATABASE IF EXISTS {name(database)};\n"
        f"CREATE DATABASE {name(database)} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;"
    )


def count_tables(database: str) -> str:
    """One row: tables and views in it."""
    return f"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {text(database)};"  # noqa: S608 - quoted


def drop_scratch(database: str) -> str:
    """As far as it exists."""
    return f"DROP DATABASE IF EXISTS {name(database)};"


def size_bytes() -> str:
    """Rows of (database, bytes on disk)."""
    return (
        "SELECT table_schema, COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables "
        "GROUP BY table_schema;"
    )
