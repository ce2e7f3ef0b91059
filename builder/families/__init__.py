"""Kinds of models, one file each; see _contract.py for what a family is and _registry.py for how one is found."""

from builder.families._contract import Encoder, Family, Language, Parts
from builder.families._registry import all_families, find_family

__all__ = ["Encoder", "Family", "Language", "Parts", "all_families", "find_family"]
