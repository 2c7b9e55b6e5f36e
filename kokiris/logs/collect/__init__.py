"""The collector: from log files and router lines to the index."""
