"""Debian's rsyslog and syslog-ng, each taking lines on a TCP port of loopback and shipping them to an Elasticsearch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines.daemon import Daemon, running
from tests.engines.ports import free_ports
from tests.engines.tls_front import TlsFront

DEADLINE_S = 60.0
UNPACKED = Path(__file__).parents[2] / ".venv/debian/syslog-ng"

RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imptcp")
module(load="omelasticsearch")
template(name="id" type="string" string="%$.id%")
template(name="document" type="list") {{
  constant(value="{{\\"@timestamp\\":\\"") property(name="timereported" dateFormat="rfc3339")
  constant(value="\\",") property(outname="host" name="hostname" format="jsonf")
  constant(value=",") property(outname="level" name="syslogseverity-text" format="jsonf")
  constant(value=",") property(outname="program" name="programname" format="jsonf")
  constant(value=",") property(outname="message" name="msg" format="jsonf") constant(value="}}")
}}
template(name="raw" type="string" string="%msg:2:$%")
ruleset(name="again") {{
  if ($.omes!status == 409) then {{ stop }}
  if ($.omes!status >= 400 and $.omes!status < 500 and $.omes!status != 429) then {{
    action(type="omfile" file="{folder}/refused" template="RSYSLOG_DebugFormat")
    stop
  }}
  set $.id = $.omes!_id;
  call ship
}}
ruleset(name="take") {{
  set $.id = $uuid;
  call ship
}}
ruleset(name="ship") {{
  action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" usehttps="on" tls.cacert="{ca}"
         uid="rsyslog" pwd="{token}" searchIndex="syslog" searchType="" template="{template}"
         bulkmode="on" maxbytes="1m" errorfile="{folder}/errors"
         bulkid="id" dynbulkid="on" writeoperation="create" retryfailures="on" retryruleset="again"
         queue.type="linkedlist" queue.size="20000" queue.dequeuebatchsize="300"
         action.resumeretrycount="-1" action.resumeinterval="1")
}}
input(type="imptcp" address="127.0.0.1" port="{listen}" ruleset="take")
"""

SYSLOG_NG = """@version: 3.38
@define scl-root "{scl}"
@include "{scl}/elasticsearch/elastic-http.conf"
options {{ time-reopen(1); keep-hostname(yes); stats-freq(0); }};
source lines {{ network(ip("127.0.0.1") port({listen}) transport("tcp")); }};
destination search {{
  elasticsearch-http(
    url("{url}/_bulk") index("syslog") type("") user("syslog-ng") password("{token}")
    tls(ca-file("{ca}") peer-verify(yes)) batch-lines(100) batch-timeout(100) workers(1) time-reopen(1)
  );
}};
log {{ source(lines); destination(search); flags(flow-control); }};
"""


@dataclass
class SyslogDaemon:
    """`send` writes lines to it as a program would."""

    port: int
    daemon: Daemon
    folder: Path

    def written(self, name: str) -> str:
        """What it wrote to a file of its folder; "" without one."""
        file = self.folder / name
        return file.read_text(errors="replace") if file.exists() else ""

    async def send(self, lines: Sequence[str]) -> None:
        """Over one connection. Waits until the daemon listens."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    break
                except OSError:
                    self.daemon.assert_runs()
                    await asyncio.sleep(0.02)
        writer.writelines(line.encode() + b"\n" for line in lines)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def rsyslog(
    folder: Path, front: TlsFront, token: str, *, template: str = "document"
) -> AsyncIterator[SyslogDaemon]:
    """Template "raw" ships a line's text as the document itself."""
    (listen,) = free_ports(1)
    configuration = _configured(
        folder,
        RSYSLOG.format(folder=folder, port=front.ports[0], ca=front.ca, token=token, listen=listen, template=template),
    )
    command = ["rsyslogd", "-n", "-f", str(configuration), "-i", str(folder / "pid")]
    async with running(command, folder / "log") as daemon:
        yield SyslogDaemon(listen, daemon, folder)


@contextlib.asynccontextmanager
async def syslog_ng(folder: Path, front: TlsFront, token: str) -> AsyncIterator[SyslogDaemon]:
    """Debian's package excludes rsyslog's, so it is not installed but unpacked (scripts/install.sh)."""
    (listen,) = free_ports(1)
    scl = UNPACKED / "usr/share/syslog-ng/include/scl"
    configuration = _configured(
        folder, SYSLOG_NG.format(listen=listen, url=front.url(), ca=front.ca, token=token, scl=scl)
    )
    command = [
        str(UNPACKED / "usr/sbin/syslog-ng"), "--foreground", "--no-caps", "--stderr",
        f"--cfgfile={configuration}", f"--module-path={UNPACKED / 'usr/lib/syslog-ng/3.38'}",
        f"--persist-file={folder / 'persist'}", f"--pidfile={folder / 'pid'}", f"--control={folder / 'control'}",
    ]  # fmt: skip
    environment = {"LD_LIBRARY_PATH": str(UNPACKED / "usr/lib/syslog-ng"), "PATH": "/usr/bin:/bin"}
    async with running(command, folder / "log", env=environment) as daemon:
        yield SyslogDaemon(listen, daemon, folder)


def _configured(folder: Path, text: str) -> Path:
    """The file, which holds the token, readable by its owner only."""
    folder.mkdir()
    configuration = folder / "configuration"
    configuration.touch(mode=0o600)
    configuration.write_text(text)
    return configuration
