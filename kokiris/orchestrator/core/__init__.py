"""The orchestrator's core: commands in, commits out. See `core.Core`."""
