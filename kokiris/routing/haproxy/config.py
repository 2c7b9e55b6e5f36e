"""HAProxy's static configuration: what only a reload can change. Pure text."""

from __future__ import annotations

from dataclasses import dataclass

from kokiris.kernel.names import Addresses
from kokiris.logs.model import ACCESS_CLIENT, ACCESS_LINE_BYTES, ACCESS_LOG_FORMAT, ACCESS_RING, ACCESS_RING_BYTES
from kokiris.routing.compiler import PATHS
from kokiris.routing.gate import COOKIE, DOOR
from kokiris.routing.haproxy.files import HaproxyFiles

NOT_FOUND_TEXT = "404 page not found"
UNAVAILABLE_TEXT = (
    "503 service unavailable: this address is known, but no healthy instance of its service answers right now. "
    "Try again in a few seconds."
)
RETRY_AFTER_S = 5

REDIRECT = "redirect"
"""Map value: answer 308 to the same address under https."""
NOWHERE = "nowhere"
"""Map value: a hole, cut by a negation, in a wider prefix: 404."""

SENT = "capture.req.hdr(0)"
"""The Host header as it was sent: captured for the access line, so that no rule has to look for it again."""
HOST_BYTES = 300
"""Of a Host header that rules and access lines see: more than a name (253 characters) and a port can have."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the entry points listen, as HAProxy writes it: "10.0.0.1:80", or "fd@3" for a socket handed down."""

    web: str
    websecure: str


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """All that `static_config` depends on. `threads` 0 is HAProxy's own choice."""

    listeners: Listeners
    addresses: Addresses
    door_address: str
    nomad_port: int
    consul_port: int
    panel_port: int
    registry_port: int
    logs_port: int
    http_port: int
    https_port: int
    threads: int = 0


def static_config(config: StaticConfig, files: HaproxyFiles) -> str:
    """The text of `haproxy.cfg`; slots follow in files of their own."""
    return "\n".join(
        (
            _global(config, files),
            _ring(),
            _defaults(),
            _frontend("web", f"bind {config.listeners.web}", config, files),
            _frontend(
                "websecure",
                f"bind {config.listeners.websecure} ssl crt-list {files.certificate_list} alpn h2,http/1.1",
                config,
                files,
            ),
            _platform(config),
        )
    )


def _global(config: StaticConfig, files: HaproxyFiles) -> str:
    threads = f"  nbthread {config.threads}\n" if config.threads else ""
    return f"""global
  stats socket {files.socket} mode 600 level admin expose-fd listeners
  # Who reads access lines hears nothing for as long as nobody asks for anything.
  stats timeout 24h
{threads}  # An old worker lives as long as its last websocket; after this, it is told to go.
  hard-stop-after 30m
  fd-hard-limit 100000
  # The cache of slow matches: lists are looked up in it for every request, and what we match is found in trees.
  tune.pattern.cache-size 0
  # normalize-uri: routes are chosen on the path a server would see, not on one of its many spellings.
  expose-experimental-directives
  ssl-default-bind-options ssl-min-ver TLSv1.2
  # How far an upload over HTTP/2 may run ahead: with the default, 64 kB, it has a third of the speed of HTTP/1.1.
  tune.h2.initial-window-size 1048576
  ssl-server-verify none
"""


def _ring() -> str:
    return f"""# A line a request, kept in memory for the log search (kokiris/routing/haproxy/ring.py).
ring {ACCESS_RING}
  format raw
  maxlen {ACCESS_LINE_BYTES}
  size {ACCESS_RING_BYTES}
"""


def _defaults() -> str:
    return f"""defaults
  mode http
  timeout connect 3s
  timeout http-request 10s
  timeout http-keep-alive 75s
  # Longer than the longest blocking query (10 minutes and a sixteenth).
  timeout client 660s
  timeout server 660s
  timeout queue 10s
  timeout tunnel 24h
  timeout client-fin 30s
  timeout server-fin 30s
  option idle-close-on-response
  option http-keep-alive
  http-reuse safe
  # An instance that does not take the request: ask the next one at once.
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
  http-error status 503 content-type "text/plain; charset=utf-8" string "{UNAVAILABLE_TEXT}\\n" hdr Retry-After {RETRY_AFTER_S} hdr X-Content-Type-Options nosniff
"""  # noqa: E501 - one directive of HAProxy


def _frontend(name: str, bind: str, config: StaticConfig, files: HaproxyFiles) -> str:
    host, wild, exact, prefix = (files.map(name, kind) for kind in ("host", "wild", "exact", "prefix"))
    proto, port = ("https", config.https_port) if name == "websecure" else ("http", config.http_port)
    port_suffix = "" if config.https_port == 443 else f":{config.https_port}"
    return f"""frontend {name}
  {bind}
  log ring@{ACCESS_RING} len {ACCESS_LINE_BYTES} format raw local0
  capture request header Host len {HOST_BYTES}
  log-format '{ACCESS_LOG_FORMAT}'
  # Written out once a connection, not three times a request.
  tcp-request session set-var({ACCESS_CLIENT}) src,concat()
  # Only a request that may be repeated is repeated once it was sent.
  http-request disable-l7-retry unless METH_GET or METH_HEAD or METH_OPTIONS
  # What a client may not claim goes first, by few searches; setting headers would search for each.
  http-request del-header Forwarded
  http-request del-header X-Real-Ip
  http-request del-header X-Forwarded- -m beg
  http-request add-header X-Forwarded-For %[var({ACCESS_CLIENT})]
  http-request add-header X-Real-Ip %[var({ACCESS_CLIENT})]
  http-request add-header X-Forwarded-Proto {proto}
  http-request add-header X-Forwarded-Port {port}
  http-request add-header X-Forwarded-Host %[{SENT}]
  # Nearly every request: the host as it is sent has one answer. What is found so cannot be forged: keys are names.
  # No target but a slot begins with "s". Few requests need the rules below; asking each of them costs microseconds.
  http-request set-var(txn.to) {SENT},map_str({host})
  acl in_slot var(txn.to) -m beg s
  acl odd path -m sub % // /.
  acl maybe_gated {SENT} -m beg -i pma.
  http-request allow if in_slot !odd !maybe_gated
{_gate(config, files, port_suffix)}  acl known var(txn.to) -m found
  # Else its canonical form (names are ASCII on the wire), its wildcard, and routers that match any host.
  http-request deny deny_status 400 content-type "text/plain; charset=utf-8" string "400 bad request: invalid Host header\\n" if !known {{ {SENT} -m reg [^A-Za-z0-9._:\\[\\]-] }} or {{ {SENT},length ge {HOST_BYTES} }}
  http-request set-var(txn.to) {SENT},field(1,:),lower,rtrim(.),map_str({host}) if !known
  http-request set-var(txn.to) "{SENT},field(1,:),lower,rtrim(.),regsub(^[^.]*,*),map_str({wild})" if !known
  http-request set-var(txn.to) "str(*),map_str({wild},{NOWHERE})" if !known
  # The path as a server would see it, whatever its spelling. Without "strict", HAProxy 2.6 takes a percent-…
  # normalizer that has a condition for path-merge-slashes; with it, a broken escape is answered 400, as it should.
  http-request set-var(txn.odd) bool(true) if odd
  acl respell var(txn.odd) -m found
  http-request normalize-uri percent-to-uppercase strict if respell
  http-request normalize-uri percent-decode-unreserved strict if respell
  http-request normalize-uri path-strip-dot if respell
  http-request normalize-uri path-merge-slashes if respell
  http-request normalize-uri path-strip-dotdot full if respell
  # Where paths matter: the whole path, then the longest beginning.
  acl paths var(txn.to) -m beg {PATHS}
  http-request set-var(txn.path) path if paths
  http-request set-var(txn.key) var(txn.to),concat(|,txn.path) if paths
  http-request set-var(txn.to) var(txn.key),map_str({exact}) if paths
  http-request set-var(txn.to) "var(txn.key),map_beg({prefix},{NOWHERE})" if paths
  http-request return status 404 content-type "text/plain; charset=utf-8" string "{NOT_FOUND_TEXT}\\n" hdr X-Content-Type-Options nosniff if {{ var(txn.to) -m str {NOWHERE} }}
  http-request redirect location https://%[{SENT},field(1,:)]{port_suffix}%[pathq] code 308 if {{ var(txn.to) -m str {REDIRECT} }}
  use_backend panel if maybe_gated gated at_door
  use_backend %[var(txn.to)]
"""  # noqa: E501 - directives of HAProxy are lines


def _gate(config: StaticConfig, files: HaproxyFiles, port_suffix: str) -> str:
    """phpMyAdmin opens to who has signed in to the infra, by TLS only."""
    host = config.addresses.pma
    return f"""  # phpMyAdmin's address: a session of the infra first (kokiris/routing/gate.py).
  acl gated {SENT},field(1,:),lower,rtrim(.) -m str {host}
  acl at_door path -m beg {DOOR}
  http-request set-var(txn.now) date() if maybe_gated gated
  http-request set-var(txn.left) req.cook({COOKIE}),sha2(256),hex,lower,map_str_int({files.gate},0),sub(txn.now) if maybe_gated gated
  acl signed_in var(txn.left) -m int gt 0
  http-request redirect location https://{host}{port_suffix}%[pathq] code 308 if maybe_gated gated !{{ ssl_fc }}
  http-request redirect location {DOOR}sign-in?to=%[pathq,url_enc] code 303 if maybe_gated gated !at_door !signed_in METH_GET
  http-request redirect location {DOOR}sign-in code 303 if maybe_gated gated !at_door !signed_in
  http-request allow if maybe_gated gated at_door
"""  # noqa: E501 - directives of HAProxy are lines


def _platform(config: StaticConfig) -> str:
    name = config.addresses.name
    # A server that restarts is away for a second or two: the connection is tried again, once a second.
    hold = "retries 15\n  timeout connect 3s"
    door = config.door_address
    return f"""backend nomad
  {hold}
  server nomad {door}:{config.nomad_port}

backend consul
  {hold}
  server consul {door}:{config.consul_port}

backend panel
  {hold}
  http-request redirect location /dashboard/ code 302 if {{ path / /dashboard }}
  server panel {door}:{config.panel_port}

backend logs
  {hold}
  server logs {door}:{config.logs_port}

backend registry
  {hold}
  server registry {door}:{config.registry_port}

backend vip
  http-request return status 200 content-type "text/plain; charset=utf-8" string "This is the VIP of infra {name.infra} of client {name.client}. Point your domain names here.\\n"

backend addon
  http-request return status 503 content-type "text/plain; charset=utf-8" string "503 service unavailable: this add-on is not enabled on infra {name.infra} of client {name.client} yet.\\n" hdr Retry-After 60
"""  # noqa: E501 - directives of HAProxy are lines
