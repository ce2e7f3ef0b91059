"""Chat templates of models, rendered as Transformers and transformers.js do, without either of them."""

from __future__ import annotations

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from builder.errors import ModelError


class _Generation(Extension):
    """Takes ``{% generation %}`` for its contents: training masks what stands in it, answering has no use for it."""

    tags = {"generation"}  # noqa: RUF012 (declared so by jinja2)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def read_template(source: str, *, where: str) -> Template:
    """Return the template of a tokenizer_config.json, which comes from whoever made the checkpoint: in a sandbox.

    Raises:
        ModelError: it is no template; ``where`` is the file to name.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ModelError(f"the chat template in {where} cannot be read: {error}", hint="export it again") from error
