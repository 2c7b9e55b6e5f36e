"""The orchestrator's core: commands in, commits out. `core.Core` is the whole; the parts:

* a **draft** (`draft`) is one commit in the making; **commits** (`commits`) writes it under its conditions, decides
  anew from fresh state when one fails, and returns once memory shows it;
* commands draft: `jobs`, `job_changes`, `versions`, `allocs`, `desires`, `nodes`, `deployments`, `settings`;
* whatever changes an allocation drafts the catalog's entries into the same commit: `registrations` says (purely) what
  they are, `instances` drafts the difference, `audit` looks again;
* the leader's work, each a loop around pure decisions of `scheduler`: `planning` (evaluations, ordered by `broker`,
  carried out by `plans`), `rollouts` (deployments), `liveness` (heartbeats), `drains`, `collection` (garbage);
* `derive` and `specification` are pure rules on jobs.
"""
