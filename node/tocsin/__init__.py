"""Tocsin: the bell that carries an alarm from town to town, for AI incidents."""

__version__ = "0.1.0"
