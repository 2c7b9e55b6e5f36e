"""Ids, names, units, errors, clock, atomic files: nothing of ours is imported from here."""
