"""The index in PostgreSQL: pgvector proposes the candidates of a large gallery."""
