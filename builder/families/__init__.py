"""Kinds of models, one file each; see _contract.py for what a family is."""

from builder.families._contract import Encoder, Family, Language, Parts, all_families, find_family

__all__ = ["Encoder", "Family", "Language", "Parts", "all_families", "find_family"]
