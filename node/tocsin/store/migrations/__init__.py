"""Alembic migrations of the store; see README.md."""
