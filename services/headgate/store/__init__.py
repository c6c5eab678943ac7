"""State of record: documents with versions. Adapters keep facts; everything that has meaning stands above."""
