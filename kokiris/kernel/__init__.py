"""Ids, names, units, errors, clock: no I/O, and nothing of ours is imported from here."""
