"""Disclosure policy, pure: the language, its three-valued meaning, and what no policy can override (design 3 and 4)."""
