"""The Content Security Policy of a site: in each page's head, and in the headers of whoever serves it."""

from __future__ import annotations

from collections.abc import Sequence


def site_policy(connect: Sequence[str] = (), images: Sequence[str] = ()) -> str:
    """Return the policy of a site that may fetch from its own origin and from ``connect``, the origins named.

    ``images`` are origins whose pictures it may show. Nothing goes to any other origin.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "worker-src 'self'",
            " ".join(("connect-src 'self'", *connect)),
            " ".join(("img-src 'self' blob: data:", *images)),
            "media-src 'self' blob:",
            "style-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def policy_origins(policy: str, directive: str) -> tuple[str, ...]:
    """The origins that a policy of `site_policy` names in a directive."""
    words = next((part.split()[1:] for part in policy.split("; ") if part.split()[:1] == [directive]), [])
    return tuple(word for word in words if "://" in word)


SITE_POLICY = site_policy()
"""The policy of a site that carries its model: nothing comes from, and nothing goes to, another origin."""

SPACE_HEADERS = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}
"""What a static Space sends with every file, as its README's ``custom_headers`` say; it can send no other header, the
policy above included. The first two make the page cross-origin isolated, without which WebAssembly has one thread."""
EVERY_HOST = {"x-content-type-options": "nosniff"}
"""What every host of ours sends besides."""
