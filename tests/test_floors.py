"""A file imports only from floors below its own, or from its own room; within a room there is no
circle, imports inside functions counted; and nobody imports from the package root."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "depthwise"

# a floor is a line, the lowest first; a name is a file at the root or a package. Those of one floor
# do not import each other, but for files at the root, which are one room, and cli with commands.
FLOORS = """
errors host scratch folder_lock moved
boxes layers losses scores settings task progress compute checkpoint journal text
data reshaping
runtimes training
models
families measuring
backbones
tasks
catalog
inference reporting exporting shrinking adapting inspecting explaining protecting
choosing serving
studying
commands cli
__main__ __init__
"""
LINES = FLOORS.strip().splitlines()
FLOOR = {name: floor for floor, line in enumerate(LINES) for name in line.split()}

# a task's folder imports from no other task's; tasks/*.py are what they share
TASK_BASES = "tasks"


def room_of(module: str) -> str:
    """What a module may import from on its own floor: its package, or the root's files together."""
    first, dot, _ = module.partition(".")
    if first == "cli":
        return "commands"
    return first if dot or (SOURCE / first).is_dir() else ""


def floor_of(module: str) -> int:
    first = module.split(".")[0]
    assert first in FLOOR, f"src/depthwise/{module} stands on no floor: add it to FLOORS"
    return FLOOR[first]


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {module_of(path) for path in FILES}


def imports_of(path: Path) -> list[str]:
    """Modules of ours that a file imports, without the leading "depthwise."; "" is the root."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [w if w.partition(".")[2] in MODULES else node.module for w in whole]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append("depthwise")  # relative: counted as the root, so that it is refused
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    ours = [name.partition(".")[2] for name in found if name.split(".")[0] == "depthwise"]
    return list(dict.fromkeys(ours))


IMPORTS = {module_of(path): imports_of(path) for path in FILES}


def is_allowed(module: str, imported: str) -> bool:
    """Whether the floors allow it; within a room all is allowed, but for circles."""
    if floor_of(imported) != floor_of(module) or room_of(imported) != room_of(module):
        return floor_of(imported) < floor_of(module)
    of, to = module.split("."), imported.split(".")
    return not (of[0] == to[0] == TASK_BASES and len(of) > 2 and len(to) > 2 and of[1] != to[1])


def circles(edges: dict[str, list[str]]) -> list[list[str]]:
    """The first circle found from each module that is on one, as a path back to its start."""
    found, done = [], set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for imported in edges.get(module, []):
                visit(imported, [*path, module])
            done.add(module)

    for module in edges:
        visit(module, [])
    return found


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_file_imports_only_from_floors_below(module: str) -> None:
    for imported in IMPORTS[module]:
        if not imported:
            assert module in ("cli", "__main__"), f"{module} imports from the package root"
        else:
            assert is_allowed(module, imported), f"{module} imports {imported}"


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not [" -> ".join(circle) for circle in circles(IMPORTS)]


def test_a_circle_is_found_wherever_it_starts() -> None:
    edges = {"a": ["b"], "b": ["c"], "c": ["d", "b"], "d": []}
    assert circles(edges) == [["b", "c", "b"]]
    assert not circles({"a": ["b", "c"], "b": ["c"], "c": []})
