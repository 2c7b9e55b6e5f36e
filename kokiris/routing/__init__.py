"""Routing: what the catalog's tags ask for, compiled into tables that HAProxy serves.

Tags of instances (`tags`) become routers and services (`model`); rules (`rules`) are evaluated once per class of hosts
and paths (`compiler`), which gives tables that HAProxy's maps answer exactly. All of that is pure. `haproxy` carries
the result out over the runtime API, `feed` watches the Consul API, `edge` is the loop between them, `api` the panel.
"""
