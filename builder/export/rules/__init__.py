"""The contract of transformers.js as rules: one module per theme, found by discovery.

Start with `_contract.py` (what a rule is) and `_model.py` (what a rule sees). `transformersjs.json` holds the names
that transformers.js knows, with the version they were read from; `_tables.py` reads it.
"""
