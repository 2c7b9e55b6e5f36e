"""Databases from the outside: `kokiris db`, a job that uses one, phpMyAdmin in a real browser, kill -9, down and up."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from kokiris.access.exports import parse_exports
from tests.scenarios.infra import KOKIRIS, Infra, run, site_image, until

USER = """
job "@JOB@" {
  meta { database = "shop" }
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image      = "@IMAGE@"
        entrypoint = [@SHELL@, "-c"]
        args       = ["exec @SLEEP@ 3600"]
      }
      template {
        data        = <<-EOT
          {{ with nomadVar "kokiris/db/@DATABASE@" }}DB_USER={{ .user }}
          DB_PASSWORD={{ .password }}{{ end }}
          {{ range service "mariadb" }}DB_ADDRESS={{ .Address }}:{{ .Port }}
          {{ end }}
        EOT
        destination = "secrets/db.env"
        env         = true
      }
      resources {
        cpu    = 20
        memory = 32
      }
    }
  }
}
"""

pytestmark = pytest.mark.scenario

STORES = ("sqlite",)


@pytest.fixture(scope="module")
def shop(infra: Infra) -> Iterator[Infra]:
    """MariaDB and phpMyAdmin enabled, one database."""
    for add_on in ("mariadb", "phpmyadmin"):
        infra.kokiris("addon", "enable", add_on)
    infra.kokiris("db", "create", "shop")
    yield infra
    infra.kokiris("db", "drop", "-yes", "shop")
    for add_on in ("phpmyadmin", "mariadb"):
        infra.kokiris("addon", "disable", "-yes", add_on)


def password(infra: Infra) -> str:
    return infra.kokiris("var", "get", "-item", "password", "kokiris/db/shop").stdout.strip()


def user_job(job: str, image: str, *, through: str, sleep: str) -> str:
    """A job that uses database shop and does nothing; its image's own shell and sleep."""
    given = {"JOB": job, "IMAGE": image, "DATABASE": "shop", "SHELL": through, "SLEEP": sleep}
    text = USER
    for name, value in given.items():
        text = text.replace(f"@{name}@", value)
    return text


def mariadb_container() -> str:
    shown = run(["docker", "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]).stdout
    return next(line.split()[0] for line in shown.splitlines() if " mariadb-" in line)


def client(infra: Infra) -> list[str]:
    """The command of MariaDB's own client, by TCP. Waits for a healthy instance."""
    found = until(lambda: infra.instances("mariadb"), "a healthy instance of mariadb")
    address, port = next(iter(found))
    return ["mariadb", "--no-defaults", f"--host={address}", f"--port={port}", "--user=shop", "--batch", "-N", "shop"]


def sql(infra: Infra, statements: str) -> str:
    """As the database's account, by TCP."""
    done = subprocess.run(
        client(infra), input=statements, env={"MYSQL_PWD": password(infra), "PATH": "/usr/bin:/bin"},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_job_gets_the_account_of_the_database_it_names(shop: Infra, job: str) -> None:
    text = user_job(job, site_image(), through='"/bin/busybox", "sh"', sleep="/bin/busybox sleep")
    shop.run_job(text)
    seen = shop.kokiris("alloc", "exec", "-job", job, "/bin/busybox", "cat", "/secrets/db.env").stdout
    assert f"DB_PASSWORD={password(shop)}" in seen
    unconfirmed = shop.kokiris("db", "drop", "shop", check=False)
    assert f"used by {job}" in unconfirmed.stderr
    assert re.search(rf"shop .* {job}$", shop.kokiris("db", "list").stdout, re.MULTILINE)
    before = password(shop)
    shop.kokiris("db", "rotate", "shop")
    assert password(shop) != before

    def restarted() -> bool:
        seen = shop.kokiris("alloc", "exec", "-job", job, "/bin/busybox", "cat", "/secrets/db.env", check=False).stdout
        return f"DB_PASSWORD={password(shop)}" in seen

    until(restarted, "the job has the new password")
    assert password(shop) not in shop.log_text()


def test_backups_restores_and_drills(shop: Infra, tmp_path: Any) -> None:
    sql(shop, "CREATE TABLE t (n INT PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3);")
    shop.kokiris("db", "backup", "shop")
    assert shop.kokiris("db", "drill", "shop").stdout.startswith("ok")
    shop.kokiris("db", "dump", "-o", tmp_path / "shop.sql", "shop")
    sql(shop, "DELETE FROM t;")
    shop.kokiris("db", "restore", "-yes", "shop")
    assert sql(shop, "SELECT COUNT(*) FROM t;").strip() == "3"
    sql(shop, "DELETE FROM t;")
    shop.kokiris("db", "restore", "-yes", "-file", tmp_path / "shop.sql", "shop")
    assert sql(shop, "SELECT COUNT(*) FROM t;").strip() == "3"
    bad = tmp_path / "bad.sql"
    bad.write_text("CREATE TABLE u (n INT);\nINSERT INTO nowhere VALUES (1);\n")
    refused = shop.kokiris("db", "restore", "-yes", "-file", bad, "shop", check=False)
    assert refused.returncode == 1
    assert 'database "shop" is as it was: line 2 (INSERT INTO nowhere VALUES…): MariaDB: ERROR 1146' in refused.stderr
    assert sql(shop, "SELECT COUNT(*) FROM t;").strip() == "3"
    assert re.search(r"shop .*ok .*ok ", shop.kokiris("db", "list").stdout)
    sql(shop, "DROP TABLE t;")


def test_a_databases_variable_goes_to_a_namespace_of_the_clients_own(shop: Infra) -> None:
    for namespace in ("nowhere", "platform"):
        refused = shop.kokiris("db", "create", "-namespace", namespace, "other", check=False)
        assert (refused.returncode, f'namespace "{namespace}" not found' in refused.stderr) == (1, True)
    assert "other" not in shop.kokiris("db", "list").stdout


@pytest.fixture
def browser(tmp_path: Any) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.accept_insecure_certs = True
    for one in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--window-size=1400,1000", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(one)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.implicitly_wait(30)
    yield driver
    driver.quit()


def notes_as_a_job_reads_them(infra: Infra, job: str) -> str:
    """From a tenant's container, with the account that its job was given; the image is one that has the client."""
    image = run(["docker", "inspect", "-f", "{{.Config.Image}}", mariadb_container()]).stdout.strip()
    infra.run_job(user_job(job, image, through='"/bin/sh"', sleep="sleep"))
    read = (
        'MYSQL_PWD=$DB_PASSWORD exec mariadb --no-defaults -h "${DB_ADDRESS%:*}" -P "${DB_ADDRESS#*:}" -u "$DB_USER" '
        'shop -N -e "SELECT * FROM notes"'
    )
    return infra.kokiris("alloc", "exec", "-job", job, "/bin/sh", "-c", read).stdout


def page_with(browser: webdriver.Chrome, url: str, selector: str) -> WebElement:
    """An element of a page; asked for again as its 503 says, should MariaDB be away just then."""

    def found() -> list[WebElement]:
        browser.get(url)
        elements = browser.find_elements(By.CSS_SELECTOR, selector)
        assert elements, browser.find_element(By.TAG_NAME, "body").text
        return elements

    return until(found, f"{selector} in {url}")[0]


def in_the_browser(browser: webdriver.Chrome, steps: Callable[[], object], what: str) -> None:
    """What a person does page by page, from the beginning again when a page does not come as it should (MariaDB may be
    away just then, a script may replace what is about to be clicked). The last page is in the failure."""

    def done() -> object:
        try:
            held = steps()
        except WebDriverException as error:
            raise AssertionError(f"{error.msg}\n{_shown(browser)}") from error
        assert held, _shown(browser)
        return held

    until(done, what)


def _shown(browser: webdriver.Chrome) -> str:
    with contextlib.suppress(WebDriverException):
        return f"{browser.current_url}\n{browser.find_element(By.TAG_NAME, 'body').text[:3000]}"
    return "no page"


def log_in(browser: webdriver.Chrome, url: str, user: str, secret: str, then: tuple[str, str]) -> None:
    """Into phpMyAdmin; `then` is what the page after it has."""

    def inside() -> object:
        browser.get(url)
        forms = browser.find_elements(By.ID, "input_username")
        if forms:
            forms[0].clear()
            forms[0].send_keys(user)
            browser.find_element(By.ID, "input_password").send_keys(secret)
            browser.find_element(By.ID, "input_go").click()
        return browser.find_elements(*then)

    in_the_browser(browser, inside, f"{then[1]} after {user} has logged in")


AT_REST = "return window.jQuery !== undefined && jQuery.active === 0"
"""Whether no request of phpMyAdmin's page is under way: an answer that comes after that to logging out brings the
account's cookie back (of a session that has ended: it opens nothing)."""


def make_table(shop: Infra, browser: webdriver.Chrome, url: str) -> None:
    """Table notes with a column "text"."""

    def there() -> bool:
        return "notes" in sql(shop, "SHOW TABLES;")

    def made() -> bool:
        if there():
            return True
        page_with(browser, url, "#createTableMinimalForm input[name=table]").send_keys("notes")
        fields = browser.find_element(By.CSS_SELECTOR, "#createTableMinimalForm input[name=num_fields]")
        fields.clear()
        fields.send_keys("1")
        browser.find_element(By.CSS_SELECTOR, "#createTableMinimalForm input[type=submit]").click()
        browser.find_element(By.NAME, "field_name[0]").send_keys("text")
        Select(browser.find_element(By.NAME, "field_type[0]")).select_by_visible_text("VARCHAR")
        browser.find_element(By.NAME, "field_length[0]").send_keys("100")
        browser.find_element(By.NAME, "do_save_data").click()
        until(there, "the table is there", 60.0)
        return True

    in_the_browser(browser, made, "a table is made")


def add_row(shop: Infra, browser: webdriver.Chrome, url: str) -> None:
    """Into notes."""

    def there() -> bool:
        return "from the browser" in sql(shop, "SELECT * FROM notes;")

    def added() -> bool:
        if there():
            return True
        page_with(browser, url, "[name^='fields[multi_edit][0]']").send_keys("from the browser")
        browser.find_element(By.ID, "buttonYes").click()
        until(there, "the row is there", 60.0)
        return True

    in_the_browser(browser, added, "a row is added")


def test_phpmyadmin_in_a_browser(shop: Infra, browser: webdriver.Chrome, job: str) -> None:
    """Sign in to the infra, log in with the account, create a table, insert a row, log out of both."""
    deep = f"https://{shop.config.addresses.pma}/index.php?route=/database/structure&db=shop"
    browser.get(deep)
    assert "/.kokiris/sign-in" in browser.current_url
    browser.find_element(By.NAME, "token").send_keys(shop.token)
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: browser.current_url == deep, "the page that was asked for")
    log_in(browser, deep, "root", "x", (By.XPATH, "//body[contains(., 'Access denied')]"))
    log_in(browser, deep, "shop", password(shop), (By.ID, "pma_navigation"))
    cookies = {one["name"]: one for one in browser.get_cookies()}
    assert {"kokiris_gate", "pmaAuth-1_https"} <= cookies.keys()
    for cookie in cookies.values():
        assert cookie["secure"], cookie
        assert cookie["httpOnly"], cookie
        assert cookie["sameSite"] in {"Lax", "Strict"}, cookie

    make_table(shop, browser, deep)
    add_row(shop, browser, f"https://{shop.config.addresses.pma}/index.php?route=/table/change&db=shop&table=notes")
    assert notes_as_a_job_reads_them(shop, job) == "from the browser\n"
    page_with(browser, deep, "a[href*=logout]")
    until(lambda: browser.execute_script(AT_REST), "all that the page asked for is answered")
    browser.execute_script("document.querySelector('a[href*=logout]').click()")
    until(lambda: "/.kokiris/sign-out" in browser.current_url, "logging out leads to the infra's own sign-out")
    assert "pmaAuth-1_https" not in {one["name"] for one in browser.get_cookies()}
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: "/.kokiris/sign-in" in browser.current_url, "signed out")
    browser.get(deep)
    assert "/.kokiris/sign-in" in browser.current_url
    sql(shop, "DROP TABLE notes;")


class Writer(threading.Thread):
    """Inserts 1, 2, 3… into table k, each in a commit of its own, until it is told to stop. `kept`: those that MariaDB
    has acknowledged. When the connection breaks it opens another and goes on with the next number."""

    def __init__(self, infra: Infra) -> None:
        super().__init__()
        self._infra = infra
        self._environment = {"MYSQL_PWD": password(infra), "PATH": "/usr/bin:/bin"}
        self._next = 1
        self.kept: list[int] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            with contextlib.suppress(AssertionError, BrokenPipeError):
                self._one_connection()

    def _one_connection(self) -> None:
        with subprocess.Popen(
            [*client(self._infra), "--unbuffered"], env=self._environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            while not self.stop.is_set():
                number, self._next = self._next, self._next + 1
                process.stdin.write(f"INSERT INTO k VALUES ({number}); SELECT {number};\n")  # noqa: S608 - a number
                process.stdin.flush()
                if process.stdout.readline().strip() != str(number):
                    process.kill()
                    return
                self.kept.append(number)


@pytest.fixture
def writer(shop: Infra) -> Iterator[Writer]:
    """One that is at work."""
    sql(shop, "CREATE TABLE k (n INT PRIMARY KEY);")
    writing = Writer(shop)
    writing.start()
    until(lambda: len(writing.kept) > 20, "rows are written")
    yield writing
    writing.stop.set()
    writing.join()
    until(lambda: sql(shop, "DROP TABLE IF EXISTS k; SELECT 1;"), "the table is gone")


def test_kill_9_of_mariadb_under_writes_loses_no_committed_row(shop: Infra, writer: Writer) -> None:
    run(["docker", "kill", "--signal=KILL", mariadb_container()])
    goes_on(shop, writer)


def test_an_update_of_mariadbs_job_under_writes_loses_no_committed_row(shop: Infra, writer: Writer) -> None:
    before = mariadb_container()
    operator = parse_exports(shop.layout.operator_file)
    job = msgspec.json.decode(
        run([KOKIRIS, "job", "inspect", "-namespace", "platform", "mariadb"], env=operator).stdout
    )
    job["Job"]["TaskGroups"][0]["Tasks"][0]["Resources"]["CPU"] += 1
    run([KOKIRIS, "job", "run", "-json", "-"], env=operator, stdin=msgspec.json.encode(job).decode())
    assert mariadb_container() != before, "it is another container"
    goes_on(shop, writer)


def goes_on(infra: Infra, writer: Writer) -> None:
    """Rows are written again, and all that were acknowledged are there."""
    seen = len(writer.kept)
    until(lambda: len(writer.kept) > seen + 20, "rows are written again")
    writer.stop.set()
    writer.join()
    found = until(lambda: sql(infra, "SELECT n FROM k;"), "the rows are read")
    assert set(writer.kept) <= {int(line) for line in found.split()}


def test_data_survive_down_and_up(shop: Infra) -> None:
    sql(shop, "CREATE TABLE kept (n INT PRIMARY KEY); INSERT INTO kept VALUES (7);")
    run(["make", "down"])
    run(["scripts/up.sh", "demo", "rec1", *(["-store", "etcd"] if shop.store == "etcd" else [])])

    def back() -> bool:
        try:
            return sql(shop, "SELECT n FROM kept;").strip() == "7"
        except (AssertionError, StopIteration):
            return False

    until(back, "MariaDB is back with its rows")
    sql(shop, "DROP TABLE kept;")
