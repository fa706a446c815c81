"""Follows a page literally: its Python blocks run in order, in one namespace, in the current folder. What a block prints must be the
`text` block right after it."""

import contextlib
import io
import sys


def blocks(page):
    """The fenced blocks as (kind, first line number, text)."""
    kind, start, lines = None, 0, []
    for number, line in enumerate(page, 1):
        if not line.startswith("```"):
            lines.append(line)
        elif kind is None:
            kind, start, lines = line[3:].strip(), number + 1, []
        else:
            yield kind, start, "".join(lines)
            kind = None


def main(path):
    with open(path, encoding="utf-8") as page:
        found = list(blocks(page))
    namespace, count = {"__name__": "__main__"}, 0
    for (kind, start, text), after in zip(found, found[1:] + [("", 0, "")]):
        if kind != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (start - 1) + text, path, "exec"), namespace)
        wanted = after[2] if after[0] == "text" else ""
        if out.getvalue() != wanted:
            sys.exit("%s, block at line %d printed\n%s\ninstead of\n%s" % (path, start, out.getvalue(), wanted))
        count += 1
    print("%s: %d blocks followed" % (path, count))


main(sys.argv[1])
