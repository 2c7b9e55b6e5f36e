"""Databases from the outside: `kokiris db`, a job that uses one, phpMyAdmin in a real browser, kill -9, down and up."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.scenarios.infra import Infra, run, site_image, until

USER = """
job "@JOB@" {
  meta { database = "shop" }
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image   = "@IMAGE@"
        command = "/bin/sh"
        args    = ["-c", "sleep 3600"]
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
        memory = 16
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
        infra.kokiris("addon", "disable", add_on)


def password(infra: Infra) -> str:
    return infra.kokiris("var", "get", "-item", "password", "kokiris/db/shop").stdout.strip()


def mariadb_container() -> str:
    shown = run(["docker", "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]).stdout
    return next(line.split()[0] for line in shown.splitlines() if " mariadb-" in line)


def sql(infra: Infra, statements: str) -> str:
    """As the database's account, by TCP."""
    address, port = next(iter(infra.instances("mariadb")))
    done = subprocess.run(
        ["mariadb", "--no-defaults", f"--host={address}", f"--port={port}", "--user=shop", "--batch", "-N", "shop"],
        input=statements, env={"MYSQL_PWD": password(infra), "PATH": "/usr/bin:/bin"},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_job_gets_the_account_of_the_database_it_names(shop: Infra, job: str) -> None:
    text = USER.replace("@JOB@", job).replace("@IMAGE@", site_image()).replace("@DATABASE@", "shop")
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


def test_phpmyadmin_in_a_browser(shop: Infra, browser: webdriver.Chrome) -> None:
    """Sign in to the infra, log in with the account, create a table, insert a row, log out of both."""
    deep = f"https://{shop.config.addresses.pma}/index.php?route=/database/structure&db=shop"
    browser.get(deep)
    assert "/.kokiris/sign-in" in browser.current_url
    browser.find_element(By.NAME, "token").send_keys(shop.token)
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: browser.current_url == deep, "the page that was asked for")
    browser.find_element(By.ID, "input_username").send_keys("root")
    browser.find_element(By.ID, "input_password").send_keys("x")
    browser.find_element(By.ID, "input_go").click()
    until(lambda: "Access denied" in browser.page_source, "root is refused", 60.0)
    browser.find_element(By.ID, "input_username").clear()
    browser.find_element(By.ID, "input_username").send_keys("shop")
    browser.find_element(By.ID, "input_password").send_keys(password(shop))
    browser.find_element(By.ID, "input_go").click()
    browser.find_element(By.ID, "pma_navigation")
    cookies = {one["name"]: one for one in browser.get_cookies()}
    assert {"kokiris_gate", "pmaAuth-1_https"} <= cookies.keys()
    for cookie in cookies.values():
        assert cookie["secure"], cookie
        assert cookie["httpOnly"], cookie
        assert cookie["sameSite"] in {"Lax", "Strict"}, cookie

    browser.get(f"https://{shop.config.addresses.pma}/index.php?route=/database/structure&db=shop")
    browser.find_element(By.CSS_SELECTOR, "#createTableMinimalForm input[name=table]").send_keys("notes")
    fields = browser.find_element(By.CSS_SELECTOR, "#createTableMinimalForm input[name=num_fields]")
    fields.clear()
    fields.send_keys("1")
    browser.find_element(By.CSS_SELECTOR, "#createTableMinimalForm input[type=submit]").click()
    browser.find_element(By.NAME, "field_name[0]").send_keys("text")
    Select(browser.find_element(By.NAME, "field_type[0]")).select_by_visible_text("VARCHAR")
    browser.find_element(By.NAME, "field_length[0]").send_keys("100")
    browser.find_element(By.NAME, "do_save_data").click()
    until(lambda: "notes" in sql(shop, "SHOW TABLES;"), "the table is there")

    browser.get(f"https://{shop.config.addresses.pma}/index.php?route=/table/change&db=shop&table=notes")
    browser.find_element(By.CSS_SELECTOR, "[name^='fields[multi_edit][0]']").send_keys("from the browser")
    browser.find_element(By.ID, "buttonYes").click()
    until(lambda: "from the browser" in sql(shop, "SELECT * FROM notes;"), "the row is there")
    browser.execute_script("document.querySelector('a[href*=logout]').click()")
    until(lambda: "/.kokiris/sign-out" in browser.current_url, "logging out leads to the infra's own sign-out")
    assert "pmaAuth-1_https" not in {one["name"] for one in browser.get_cookies()}
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: "/.kokiris/sign-in" in browser.current_url, "signed out")
    browser.get(deep)
    assert "/.kokiris/sign-in" in browser.current_url
    sql(shop, "DROP TABLE notes;")


def test_kill_9_of_mariadb_loses_no_committed_row(shop: Infra) -> None:
    sql(shop, "CREATE TABLE k (n INT PRIMARY KEY); INSERT INTO k VALUES (1), (2);")
    run(["docker", "kill", "--signal=KILL", mariadb_container()])

    def back() -> bool:
        try:
            return sql(shop, "SELECT COUNT(*) FROM k;").strip() == "2"
        except (AssertionError, StopIteration):
            return False

    until(back, "MariaDB is back with its rows")
    sql(shop, "DROP TABLE k;")


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
