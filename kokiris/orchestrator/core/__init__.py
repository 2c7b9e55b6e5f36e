"""The orchestrator's core: commands in, commits out. Pure parts: `derive`, `registrations`, `specification`, `drafts`."""
