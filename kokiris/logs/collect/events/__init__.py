"""What happens to jobs, deployments, allocations, checks and nodes, as log entries with `stream: "event"`.

`entry`, `tasks`, `allocations`, `deployments`, `jobs`, `nodes` and `checks` decide, without I/O, which entries the
state of an object stands for. `source` reads the Nomad and the Consul API, `follower` and `check_follower` ship.
"""
