"""A file imports only from floors below its own, or from its own floor's side rooms; and never
from the package root, which is what keeps import cycles away."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "depthwise"

# the first entry that matches a module's path from the left says its floor
FLOORS: list[tuple[str, float]] = [
    ("deferred", 0),
    ("errors", 0),
    ("host", 0),
    ("boxes", 1),
    ("compute", 1),
    ("pacing", 1.1),
    ("layers", 1),
    ("progress", 1),
    ("schedules", 1),
    ("settings", 1),
    ("text", 1),
    ("text_files", 1),
    ("text_words", 1),
    ("data", 2),
    ("folding", 1.9),
    ("reshaping_storage", 1.95),
    ("quantised", 2),
    ("losses", 2),
    ("scores", 2),
    ("regression_scores", 2),
    ("class_scores", 2),
    ("class_intervals", 2.1),
    ("custom_scores", 2.1),
    ("thresholds", 2.1),
    ("reshaping_widths", 2.4),
    ("reshaping_rank", 2.4),
    ("reshaping_exits", 2.4),
    ("reshaping", 2.5),
    ("tracing", 2.6),
    ("quantising", 2.7),
    ("runtimes", 2.8),
    ("running", 3),
    ("checkpoint", 3),
    ("inputs", 3),
    ("updates", 3),
    ("graphs", 3.1),
    ("training", 3.1),
    ("modelfile", 3.1),
    ("gpu_answers", 3.1),
    ("base", 3.2),
    ("estimator", 3.3),
    ("stages", 3.4),
    ("networks", 3.5),
    ("generative", 3.5),
    ("families", 4),
    ("backbones", 4.1),
    ("tasks", 4.2),
    ("catalog", 4.5),
    ("measuring", 5),
    ("ship", 5.5),
    ("exporting", 5.6),
    ("shrinking", 6.1),
    ("choosing", 6),
    ("tables", 7),
    ("commands", 7.05),
    ("cli", 7.1),
    ("__main__", 8),
    ("__init__", 8),
]


def floor_of(module: str) -> float:
    first = module.split(".")[0]
    found = [floor for name, floor in FLOORS if name == first]
    assert found, f"src/depthwise/{module} stands on no floor: add it to FLOORS"
    return found[0]


def imports_of(path: Path) -> list[str]:
    """Modules of ours that a file imports, without the leading "depthwise."."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append("depthwise")  # relative: counted as the root, so that it is refused
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name.partition(".")[2] for name in found if name.split(".")[0] == "depthwise"]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_only_from_floors_below(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path):
        if not imported:
            assert module in ("cli", "__main__"), f"{module} imports from the package root"
            continue
        if imported.split(".")[0] != module.split(".")[0]:
            assert floor_of(imported) < floor_of(module), f"{module} imports {imported}"
