"""The Content Security Policy of a site: in each page's head, and in the headers of whoever serves it."""

SITE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""Nothing comes from, and nothing goes to, another origin."""
