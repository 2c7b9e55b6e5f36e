"""Databases on a real MariaDB: accounts, rotation, dumps, restores, drills that catch broken backups."""

from __future__ import annotations

import asyncio
import gzip
import stat
from collections.abc import AsyncIterator

import pytest

from kokiris.databases.model import DatabaseError
from kokiris.kernel.errors import BadInput, Conflict, KokirisError, NotFound

CONTENT = """
CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(200), data BLOB, price DECIMAL(8,2), at TIMESTAMP);
INSERT INTO item (title, data, price) VALUES ('tea', x'00ff0a0d', 3.50), ('(coffee;\\n', NULL, 4), ('日本', '', 0);
CREATE TABLE empty (x INT);
CREATE VIEW cheap AS SELECT title FROM item WHERE price < 4;
DELIMITER //
CREATE TRIGGER upper BEFORE INSERT ON item FOR EACH ROW BEGIN SET NEW.title = UPPER(NEW.title); END//
DELIMITER ;
"""


async def sent(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


@pytest.fixture
async def shop(bench):
    await bench.databases.create("shop")
    done = bench.as_account("shop", CONTENT)
    assert done.returncode == 0, done.stderr
    return bench


def titles(bench) -> list[str]:
    return bench.as_account("shop", "SELECT title FROM item ORDER BY id;").stdout.splitlines()


async def test_an_account_works_in_its_database_and_nowhere_else(bench):
    await bench.databases.create("shop")
    await bench.databases.create("shop_2")
    assert bench.as_account("shop", "CREATE TABLE t (x INT); INSERT INTO t VALUES (1);").returncode == 0
    for statement in ("USE shop_2;", "USE mysql;", "CREATE USER x;", "GRANT ALL ON shop.* TO 'shop_2'@'%';"):
        assert bench.as_account("shop", statement).returncode != 0, statement
    assert bench.as_account("shop", "SHOW DATABASES;").stdout.split() == ["information_schema", "shop"]
    with pytest.raises(Conflict):
        await bench.databases.create("shop")


async def test_an_underscore_in_a_name_means_itself(bench):
    await bench.databases.create("a_b")
    await bench.databases.create("axb")
    assert bench.as_account("a_b", "USE axb;").returncode != 0


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "a-b", "mysql", "kokiris_x", "a" * 33, "a;b", "a`b"])
async def test_names_that_are_refused(bench, name):
    with pytest.raises(BadInput):
        await bench.databases.create(name)


async def test_after_a_rotation_the_old_password_is_refused(shop):
    old = shop.password("shop")
    await shop.databases.rotate("shop")
    assert shop.password("shop") != old
    assert titles(shop)
    assert "Access denied" in shop.server.ask("SELECT 1;", user="shop", password=old).stderr


async def test_a_dropped_database_leaves_nothing_but_backups(shop):
    await shop.databases.backup("shop")
    password = shop.password("shop")
    await shop.databases.drop("shop")
    assert shop.variables.get("default", "kokiris/db/shop") is None
    assert shop.server.ask("SELECT 1;", user="shop", password=password).returncode != 0
    assert "shop" not in shop.server.ask("SHOW DATABASES;").stdout.split()
    assert len(shop.databases.backups.all("shop")) == 1
    with pytest.raises(NotFound):
        await shop.databases.rotate("shop")


async def test_no_password_is_ever_in_a_command_line_or_an_error(shop):
    await shop.databases.backup("shop")
    await shop.databases.drill("shop")
    await shop.databases.rotate("shop")
    await shop.databases.restore("shop")
    secrets = [shop.password("shop"), shop.server.client_file.read_text().split("password=")[1].split()[0]]
    words = [word for command in shop.host.commands for word in command]
    assert not [word for word in words for secret in secrets if secret in word]


async def test_backup_then_restore_brings_everything_back(shop):
    before = titles(shop)
    backup = await shop.databases.backup("shop")
    file = shop.folder / "shop" / backup.File
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert gzip.decompress(file.read_bytes()).endswith(b"\n")
    assert {name: one.Rows for name, one in backup.Tables.items()} == {"item": 3, "empty": 0}
    assert shop.as_account("shop", "DROP TABLE item; CREATE TABLE later (x INT);").returncode == 0
    await shop.databases.restore("shop")
    assert titles(shop) == before
    assert shop.as_account("shop", "SHOW TABLES;").stdout.split() == ["cheap", "empty", "item"]
    shop.as_account("shop", "INSERT INTO item (title) VALUES ('late');")
    assert titles(shop)[-1] == "LATE"
    assert "scratch" not in shop.server.ask("SHOW DATABASES;").stdout


async def test_a_drill_proves_the_newest_backup(shop):
    assert not (await shop.databases.drill("shop")).OK
    await shop.databases.backup("shop")
    outcome = await shop.databases.drill("shop")
    assert outcome.OK, outcome.Detail
    assert outcome.Detail == "2 tables, 3 rows"
    assert shop.databases.get("shop").LastDrill == outcome


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda _: b""])
async def test_a_drill_catches_a_damaged_file(shop, damage):
    backup = await shop.databases.backup("shop")
    file = shop.folder / "shop" / backup.File
    file.write_bytes(damage(file.read_bytes()))
    outcome = await shop.databases.drill("shop")
    assert not outcome.OK
    assert "damaged" in outcome.Detail
    with pytest.raises(DatabaseError, match=r'"shop" is as it was: .* damaged'):
        await shop.databases.restore("shop")
    assert len(titles(shop)) == 3


async def test_a_drill_catches_a_backup_that_lost_a_row(shop):
    """Its digest is right: only restoring and comparing tells."""

    async def losing() -> AsyncIterator[bytes]:
        async for chunk in shop.databases.dump("shop"):
            yield chunk

    backup = await shop.databases.backups.write("shop", losing(), shop.clock())
    description = (shop.folder / "shop" / backup.File).with_suffix("").with_suffix(".json")
    description.write_bytes(description.read_bytes().replace(b'"Rows":3', b'"Rows":4'))
    outcome = await shop.databases.drill("shop")
    assert not outcome.OK
    assert outcome.Detail == "table item has 3 rows instead of 4"


@pytest.mark.parametrize(
    ("dump", "where", "words", "step"),
    [
        (b"CREATE TABLE fine (x INT);\nNONSENSE;\n", "line 2 (NONSENSE;)", "ERROR 1064: You have an error", "line 2"),
        (
            b"-- a comment\n\nINSERT INTO\n nowhere VALUES ('my secret');\n",
            "line 3 (INSERT INTO)", "ERROR 1146: Table", "line 3",
        ),
        (
            b"CREATE TABLE t (x VARCHAR(99) PRIMARY KEY);\n" + b"\n" * 300_000 + b"INSERT INTO t VALUES ('a'),('a');\n",
            "line 300002 (INSERT INTO t VALUES…)", "ERROR 1062: Duplicate", "line 300002",
        ),
        (b"PK\x03\x04\n\n\x1f;\nk;\n", "line 1 (PK)", "ERROR 1064", "line 1"),
        (b"\xff\xfe\x00;\n", "the dump", "ASCII '\\0'", "Correct the file"),
        (b"SELECT 1;\nUSE mysql;\n", "line 2 (USE mysql;)", "ERROR 1044: Access denied", "other databases"),
        (b"\\! id\n", "line 1 (\\! id)", "Not allowed in the sandbox", "shells"),
    ],
)  # fmt: skip
async def test_a_dump_that_cannot_be_loaded_changes_nothing_and_says_where(shop, dump, where, words, step):
    with pytest.raises(BadInput) as refused:
        await shop.databases.restore_upload("shop", sent(dump))
    error = refused.value
    assert error.message.startswith(f'database "shop" is as it was: {where}: MariaDB: {words}'), error.message
    assert (error.http_status, step in error.next_step) == (400, True), error.next_step
    assert "my secret" not in error.message
    assert len(titles(shop)) == 3


async def test_a_backup_that_does_not_load_is_named_and_changes_nothing(shop):
    backup = await shop.databases.backups.write("shop", sent(b"CREATE TABLE a (x INT);\nNONSENSE;\n"), shop.clock())
    with pytest.raises(
        BadInput, match=rf"is as it was: backup {backup.File}, line 2 \(NONSENSE;\): MariaDB"
    ) as refused:
        await shop.databases.restore("shop")
    assert "kokiris db backup -list shop" in refused.value.next_step
    assert len(titles(shop)) == 3


async def test_what_is_not_the_dumps_fault_is_not_said_to_be(shop):
    """The account's password is not the one that is kept: MariaDB refuses before the first line."""
    await shop.databases._mariadb.sql("ALTER USER 'shop'@'%' IDENTIFIED BY 'another';")
    with pytest.raises(DatabaseError, match='"shop" is as it was: MariaDB: ERROR 1045'):
        await shop.databases.restore_upload("shop", sent(b"CREATE TABLE fine (x INT);\n"))


async def test_a_sent_dump_that_is_not_whole_changes_nothing(shop):
    """Cut between two statements, it would load without an error; so would an empty file."""
    text = b"".join([chunk async for chunk in shop.databases.dump("shop")])
    for cut, said in (
        (text[: text.rindex(b"INSERT INTO")], "breaks off"),
        (b"", "no table"),
        (b"SELECT 1;\n", "no table"),
    ):
        with pytest.raises(BadInput, match=said):
            await shop.databases.restore_upload("shop", sent(cut))
        assert len(titles(shop)) == 3
    assert not list((shop.folder / ".uploads" / "shop").iterdir())


async def test_a_restore_tells_the_backup_of_what_was_there(shop):
    text = b"".join([chunk async for chunk in shop.databases.dump("shop")])
    shop.as_account("shop", "INSERT INTO item (title) VALUES ('late');")
    before = await shop.databases.restore_upload("shop", sent(text))
    assert len(titles(shop)) == 3
    await shop.databases.restore("shop", before.File)
    assert titles(shop)[-1] == "LATE"


@pytest.mark.parametrize(
    "evil",
    [
        b"GRANT ALL ON *.* TO 'shop'@'%';\n",
        b"USE mysql;\nDROP TABLE user;\n",
        b"\\! touch /tmp/kokiris-evil\n",
        b"system touch /tmp/kokiris-evil\n",
        b"source /etc/passwd\n",
    ],
)
async def test_a_sent_dump_has_the_accounts_rights_only(shop, evil):
    with pytest.raises(KokirisError):
        await shop.databases.restore_upload("shop", sent(evil))
    assert len(titles(shop)) == 3


async def test_a_dump_that_breaks_off_leaves_no_file(shop):
    async def broken() -> AsyncIterator[bytes]:
        yield b"CREATE TABLE"
        raise DatabaseError("gone")

    with pytest.raises(DatabaseError):
        await shop.databases.backups.write("shop", broken(), shop.clock())
    assert not list((shop.folder / "shop").iterdir())


async def test_scheduled_backups_are_made_when_due_and_old_ones_go(shop):
    await shop.databases.schedule("shop", "@hourly", 2)
    assert await shop.databases.run_due() == []
    for _ in range(4):
        shop.clock.offset_ns += 3600 * 1_000_000_000
        assert await shop.databases.run_due() == ["shop"]
    assert len(shop.databases.backups.all("shop")) == 2
    await shop.databases.schedule("shop", "")
    assert (shop.databases.get("shop").Schedule, shop.databases.get("shop").Keep) == ("", 2)
    shop.clock.offset_ns += 3600 * 1_000_000_000
    assert await shop.databases.run_due() == []
    with pytest.raises(BadInput):
        await shop.databases.schedule("shop", "61 * * * *", 2)


async def test_a_backup_under_writes_is_of_one_moment(shop):
    """Two tables that are always changed together are equal in every backup."""
    shop.as_account("shop", "CREATE TABLE a (n INT PRIMARY KEY); CREATE TABLE b (n INT PRIMARY KEY);")
    write = "BEGIN; INSERT INTO a VALUES (@N); INSERT INTO b VALUES (@N); COMMIT;"
    writes = "".join(write.replace("@N", str(n)) for n in range(3000))
    writing = asyncio.create_task(asyncio.to_thread(shop.as_account, "shop", writes))
    seen = []
    while not writing.done():
        backup = await shop.databases.backup("shop")
        seen.append((backup.Tables["a"].Rows, backup.Tables["b"].Rows))
    assert (await writing).returncode == 0
    assert seen
    assert all(a == b for a, b in seen), seen
