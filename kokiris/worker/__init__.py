"""The worker: fingerprints its node, runs allocations through task drivers, checks them, keeps their logs."""
