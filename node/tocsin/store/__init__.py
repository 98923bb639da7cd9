"""The store: what the node knows, in SQLite or PostgreSQL."""
