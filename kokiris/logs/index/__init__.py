"""The index: a journal, one tantivy index per day, retention."""
