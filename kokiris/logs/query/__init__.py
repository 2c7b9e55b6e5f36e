"""Query languages: Elasticsearch DSL, KQL and Lucene, all into one tree; the tree into tantivy."""
