"""One task: its environment, its events, when it restarts, the loop that runs it."""
