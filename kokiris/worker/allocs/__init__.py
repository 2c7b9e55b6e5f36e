"""One allocation: its folder, its status and health, the order of its tasks, the loop that runs it."""
