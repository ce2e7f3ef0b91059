"""Who may do what on the Hub on loopback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is behind a token. ``writes`` are the owners that a fine-grained token may write for (None: all its own).

    ``paid`` is a plan that includes Gradio Spaces on cpu-basic, ``zero_spaces`` how many are allowed on ZeroGPU.
    """

    name: str
    orgs: tuple[str, ...] = ()
    paid: bool = False
    zero_spaces: int = 2
    writes: frozenset[str] | None = None

    def may_write(self, owner: str) -> bool:
        return owner in (self.name, *self.orgs) and (self.writes is None or owner in self.writes)

    def json(self) -> dict[str, object]:
        return {
            "type": "user",
            "name": self.name,
            "fullname": self.name,
            "isPro": self.paid,
            "orgs": [{"name": name, "type": "org"} for name in self.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": "fineGrained"}},
        }
