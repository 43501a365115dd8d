"""The gallery in an SQL database: SQLite or PostgreSQL."""
