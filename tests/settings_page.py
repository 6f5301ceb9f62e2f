"""docs/settings.md, written from what the families and tasks say of their settings:

python tests/settings_page.py       prints the page as it should be
python tests/settings_page.py FILE  writes it there
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from depthwise.catalog import FAMILIES, TASKS
from depthwise.settings import Setting, settings_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
EVERY = {**FAMILIES, **TASKS}

TOP = """# Settings

Every setting of every family and task: its default, the values that it takes and what it is. They
are given to the constructor, `CNN(epochs=20)`, or at the command line, `--set epochs=20`. What is
out of its range is refused by `fit` and by `--set`, with the name, the value and what it must be.
"Usually" is where good values lie. `python tests/settings_page.py docs/settings.md` writes this
page from the code.
"""


def page() -> str:
    """The whole page: what most have first, then of each what is its own."""
    shared = _shared()
    parts = [TOP, "## In most of them\n", *_table(shared.values(), with_default=False)]
    for name, maker in EVERY.items():
        own = [
            s for s in settings_of(maker).values() if _meaning(s) != _meaning(shared.get(s.name))
        ]
        rest = [s for s in settings_of(maker).values() if s not in own]
        parts += [f"\n## `{name}`: {maker.__name__}\n", *(_table(own) if own else [])]
        if rest:
            parts += ["", "And: " + ", ".join(f"`{s.name}={s.default!r}`" for s in rest) + "."]
    return "\n".join(parts) + "\n"


def _shared() -> dict[str, Setting]:
    """Settings that six or more have with the same meaning and range."""
    found: dict[tuple[str, str, str], list[Setting]] = {}
    for maker in EVERY.values():
        for about in settings_of(maker).values():
            found.setdefault(_meaning(about), []).append(about)
    return {alike[0].name: alike[0] for alike in found.values() if len(alike) >= 6}


def _meaning(about: Setting | None) -> tuple[str, str, str]:
    return ("", "", "") if about is None else (about.name, str(about.range), about.doc)


def _table(rows: object, with_default: bool = True) -> Iterator[str]:
    yield "| setting | default | values | what it is |" if with_default else _HEAD
    yield "| --- | --- | --- | --- |" if with_default else "| --- | --- | --- |"
    for about in rows:  # type: ignore[attr-defined]
        default = f" `{about.default!r}` |" if with_default else ""
        values = str(about.range or "").replace("|", "\\|")
        yield f"| `{about.name}` |{default} {values} | {about.doc} |"


_HEAD = "| setting | values | what it is |"


if __name__ == "__main__":
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
