"""The scheduler: state + evaluation + now → decision. No I/O, no clock, nothing mutated.

* `columns`: nodes as NumPy columns, kept up to date allocation by allocation;
* `constraints`, `feasibility`: which nodes may;
* `ranking`, `placement`: which node is best, for a whole group at once;
* `reconcile`, `system`: what is wanted against what is there;
* `schedule`: the one door;
* `deployments`, `drain`, `loss`, `garbage`: the other decisions of the orchestrator's leader.
"""
