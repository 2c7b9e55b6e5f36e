"""The nursery: one process that has loaded what the roles share, and forks each of them on demand."""
