"""What the Hub says to a README.md before it takes it."""

from __future__ import annotations

import re

import yaml

FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
HEADERS = {"cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy"}
LONGEST_DESCRIPTION = 60


def problems(content: str, kind: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about a card's front matter."""
    found = FRONT_MATTER.match(content)
    if found is None:
        return (
            ([], ["empty or missing yaml metadata in repo card"])
            if kind == "model"
            else (["Missing configuration in README"], [])
        )
    try:
        fields = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"], []
    if not isinstance(fields, dict):
        return ["the front matter must be an object"], []
    errors = []
    licence = fields.get("license")
    if licence is not None and not re.fullmatch(r"[a-z0-9.-]+", str(licence)):
        errors.append('"license" must be one of the known licences')
    if kind != "space":
        return errors, []
    if fields.get("sdk") not in ("gradio", "docker", "static"):
        errors.append('"sdk" must be one of [gradio, docker, static]')
    errors += [
        f'"{name}" must be one of [{", ".join(sorted(COLORS))}]'
        for name in ("colorFrom", "colorTo")
        if name in fields and fields[name] not in COLORS
    ]
    if len(str(fields.get("short_description", ""))) > LONGEST_DESCRIPTION:
        errors.append(f'"short_description" length must be less than or equal to {LONGEST_DESCRIPTION} characters long')
    unknown = set(fields.get("custom_headers") or {}) - HEADERS
    errors += [f'"custom_headers.{name}" is not allowed' for name in sorted(unknown)]
    return errors, []
