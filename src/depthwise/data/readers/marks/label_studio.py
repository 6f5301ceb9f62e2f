"""Label Studio's JSON and JSON-MIN: one list of tasks, shapes in per cent of the original size.

    [{"data": {"image": "/data/upload/1/0f6142fb-7.jpg"},
      "annotations": [{"was_cancelled": false, "result": [
         {"type": "rectanglelabels", "original_width": 600, "original_height": 400,
          "value": {"x": 10, "y": 20, "width": 30, "height": -5, "rotation": 15,
                    "rectanglelabels": ["cat"]}}]}],
      "predictions": [...]}]
    [{"image": ..., "label": [{"x", "y", "width", "height", "rectanglelabels", ...}]}]    JSON-MIN

Boxes turn clockwise about their first corner; negative sides are those of a box that was dragged
upwards. Of several annotators the one marked as ground truth counts, else the last; cancelled
tasks and predictions do not. Choices are classes of whole pictures. Brushes and keypoints are left
out and told. The prefix of an uploaded picture ("0f6142fb-") is looked past.
"""

import re
from typing import Any
from urllib.parse import unquote

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw
from depthwise.data.readers.marks.drawn import in_masks
from depthwise.data.readers.marks.marked import (
    Marked,
    Points,
    Shape,
    classified,
    corners_of,
    in_boxes,
    placed_marks,
)
from depthwise.data.readers.trees.path_finder import Asked
from depthwise.data.readers.trees.small_texts import json_of, number
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["has_tasks", "read", "read_outlines"]

_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_TASK = re.compile(rb'"(annotations|rectanglelabels|polygonlabels|choice|completions)"')
_PICTURE = re.compile(r"\.(jpe?g|png|gif|bmp|webp|tiff?|avif|heic|jp2)$", re.IGNORECASE)
Found = tuple[list[Marked], list[Problem]]


def has_tasks(tree: Tree) -> bool:
    """Whether a JSON is a list of Label Studio's tasks."""
    return bool(_files(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Boxes round the shapes, or the classes that were chosen. Raises DataError where a file is
    broken."""
    items, problems = _placed(tree)
    if not any(item.shapes for item in items) and any(item.words for item in items):
        return classified(tree, items, allocate, options, problems)
    return in_boxes(tree, items, allocate, options, "labelstudio", problems)


def read_outlines(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Masks of the shapes."""
    items, problems = _placed(tree)
    return in_masks(tree, items, allocate, options, problems)


def _files(tree: Tree) -> list[str]:
    return [
        name
        for name in tree.sizes
        if name.lower().endswith(".json")
        and tree.head(name).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[")
        and _TASK.search(tree.read(name))
    ]


def _placed(tree: Tree) -> Found:
    items: list[Marked] = []
    problems: list[Problem] = []
    for name in _files(tree):
        marked, more = _marked(json_of(tree, name), name)
        items += marked
        problems += more
    kept, more = placed_marks(tree, items, _without_prefix)
    return kept, [*problems, *more]


def _without_prefix(said: str) -> str | None:
    folder, slash, last = said.rpartition("/")
    plain = _PREFIX.sub("", last)
    return None if plain == last else folder + slash + plain


def _marked(tasks: Any, name: str) -> Found:
    items, several, undone = [], [], []
    for k, task in enumerate(tasks):
        what = f"{name}, task {task.get('id', k) if isinstance(task, dict) else k}"
        if not isinstance(task, dict):
            raise DataError(f"{what} is no record.")
        item = Marked(Asked(_picture(task, what), name), what)
        results, annotators = _results(task)
        if annotators > 1:
            several.append(what)
        if results is None:
            undone.append(what)
            continue
        for result in results:
            _add(item, result, what)
        items.append(item)
    detail = "has several annotations; the ground truth or else the last was taken"
    return items, [
        *left_out("several annotators", several, detail),
        *left_out("task without annotation", undone, "cancelled, skipped or not done; left out"),
    ]


def _picture(task: dict[str, Any], what: str) -> str:
    """The picture's path of a task, without what the server puts round it."""
    given = task.get("data")
    data = given if isinstance(given, dict) else task
    paths = [v for v in data.values() if isinstance(v, str) and _PICTURE.search(v.split("&")[0])]
    if not paths:
        raise DataError(f"{what} names no picture.")
    return unquote(re.sub(r"^.*\?d=|^\w+://[^/]*/", "", paths[0]))


def _results(task: dict[str, Any]) -> tuple[list[Any] | None, int]:
    """The results of the annotation to use (None without one) and the number of annotations; of
    JSON-MIN the results are fields of the task itself."""
    given = task.get("annotations", task.get("completions"))
    if isinstance(given, list) and all(isinstance(one, dict) for one in given):
        done = [one for one in given if not one.get("was_cancelled")]
        best = [one for one in done if one.get("ground_truth")] or done
        return (list(best[-1].get("result") or []) if best else None), len(done)
    found: list[Any] = []
    for key, value in task.items():
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            found += [{"value": v, **v} for v in value]
        elif key in ("choice", "choices") and isinstance(value, str):
            found.append({"value": {"choices": [value]}})
    return (found or None), 1


def _add(item: Marked, result: Any, what: str) -> None:
    """One result: a shape, a choice, or what is no area."""
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        raise DataError(f"{what}: a result without a value.")
    if choices := value.get("choices"):
        item.words += map(str, choices)
        return
    labels = next((v for k, v in value.items() if k.endswith("labels") and v), None)
    if labels is None:
        return
    width, height = (result.get(f"original_{side}") for side in ("width", "height"))
    outline = _outline(value, what)
    if outline is None or not width or not height:
        item.passed.append(str(result.get("type") or "mark"))
        return
    item.size = int(height), int(width)
    points = [(x * width / 100, y * height / 100) for x, y in outline[0]]
    if turn := number(value.get("rotation") or 0, what):
        points = _turned(points, turn)
    upright = outline[1] and turn % 90 == 0
    for label in labels:
        item.shapes.append(Shape(str(label).strip(), [points], is_box=upright))


def _outline(value: dict[str, Any], what: str) -> tuple[Points, bool] | None:
    """Corners in per cent, the first that about which a box turns, and whether it is a box."""
    if {"x", "y", "width", "height"} <= set(value):
        x, y, w, h = (number(value[key], what) for key in ("x", "y", "width", "height"))
        return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)], True
    if isinstance(value.get("points"), list) and len(value["points"]) > 2:
        return [(number(x, what), number(y, what)) for x, y in value["points"]], False
    if {"x", "y", "radiusX", "radiusY"} <= set(value):
        x, y, rx, ry = (number(value[key], what) for key in ("x", "y", "radiusX", "radiusY"))
        return corners_of((x - rx, y - ry, x + rx, y + ry), 0, (0, 0)), False
    return None


def _turned(points: Points, degrees: float) -> Points:
    """Turned clockwise about the first, in pixels."""
    x0, y0 = points[0]
    return [corners_of((x, y, x, y), degrees, (x0, y0))[0] for x, y in points]
