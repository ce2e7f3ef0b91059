"""Scripts and styles of a page as a visitor gets them: without their comments, which are a third of what is sent.

Nothing else changes, and every line stays on its line, so that an error in a browser names the line of the source.
"""

from __future__ import annotations


def without_comments(code: str) -> str:
    """Empty the lines of JavaScript or CSS that hold nothing but a comment, and take comments off the start of others.

    Comments after code stay where they are: to tell them from a string takes a parser. So does what stands in a
    template literal, however much it looks like a comment; backticks are counted for that.
    """
    lines = code.split("\n")
    in_comment = in_literal = False
    for number, line in enumerate(lines):
        rest = line.lstrip()
        if not in_literal:
            while in_comment or rest.startswith("/*"):
                inside = rest if in_comment else rest[2:]
                _, end, after = inside.partition("*/")
                in_comment = not end
                rest = after.lstrip()
                if in_comment:
                    break
            if in_comment or rest.startswith("//"):
                rest = ""
            if rest != line.lstrip():
                line = line[: len(line) - len(line.lstrip())] + rest if rest else ""
        lines[number] = line
        in_literal ^= line.replace("\\`", "").count("`") % 2 == 1
    return "\n".join(lines)
