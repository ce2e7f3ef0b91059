"""The Content Security Policy of a site: in each page's head, and in the headers of whoever serves it."""

from __future__ import annotations

from collections.abc import Sequence


def site_policy(connect: Sequence[str] = ()) -> str:
    """Return the policy of a site that may fetch from its own origin and from ``connect``, the origins named.

    Nothing goes to any other origin.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "worker-src 'self'",
            " ".join(("connect-src 'self'", *connect)),
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            "style-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


SITE_POLICY = site_policy()
"""The policy of a site that carries its model: nothing comes from, and nothing goes to, another origin."""
