"""The store of one node: one SQLite file, one process, one writer thread with group commit."""
