"""Importers: records of other collections as incident documents. What a record does not say stays unknown."""
