"""CVAT's XML 1.1, for images and for video.

    <image name="7.jpg" width="600" height="400">
      <box label="cat" xtl="1" ytl="2" xbr="30" ybr="40" rotation="15" occluded="0"/>
      <polygon label="dog" points="1,2;3,4;5,6"/>  <ellipse .../>  <tag label="indoors"/>
    <track label="cat"> <box frame="0" outside="0" .../> <box frame="10" outside="1" .../>

Boxes turn clockwise about their middle. Tracks have key frames only: between two of them, of which
the first is not outside, boxes are interpolated; the last one stays to the end of the video. The
picture of a frame is the one whose name ends in its number. Lines and points are left out and told;
where nothing is drawn anywhere a tag is the class of its picture.
"""

import re
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.boxed import Box
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
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.path_finder import Asked
from depthwise.data.readers.trees.small_texts import number, stem
from depthwise.data.readers.trees.tree import Tree
from depthwise.data.readers.trees.xml_tree import parse_xml
from depthwise.errors import DataError

__all__ = ["has_images", "read", "read_outlines"]

_ROOT = re.compile(rb"<annotations[\s>]")
_EDGES = ("xtl", "ytl", "xbr", "ybr")
_MOST_FRAMES = 1_000_000


def has_images(tree: Tree) -> bool:
    """Whether an XML is one of CVAT's."""
    return bool(_files(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Boxes round the shapes, or the classes that tags say. Raises DataError for broken files."""
    items, problems = placed_marks(tree, _marked(tree))
    if not any(item.shapes for item in items) and any(item.words for item in items):
        return classified(tree, items, allocate, options, problems)
    return in_boxes(tree, items, allocate, options, "cvat", problems)


def read_outlines(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Masks of the shapes."""
    items, problems = placed_marks(tree, _marked(tree))
    return in_masks(tree, items, allocate, options, problems)


def _files(tree: Tree) -> list[str]:
    files = [name for name in tree.sizes if name.lower().endswith(".xml")]
    return [name for name in files if _ROOT.search(tree.head(name))]


def _marked(tree: Tree) -> list[Marked]:
    found = []
    for name in _files(tree):
        root = parse_xml(tree.read(name), name)
        found += [_image(image, name) for image in root.iterfind("image")]
        found += _frames(root, name, tree)
    return found


def _image(image: Element, name: str) -> Marked:
    said = image.get("name") or ""
    what = f"{name}: {said}"
    height, width = (int(number(image.get(side) or 0, what)) for side in ("height", "width"))
    item = Marked(Asked(said, name), what, (height, width) if height and width else None)
    for mark in image:
        label = (mark.get("label") or "").strip()
        if mark.tag == "tag":
            item.words.append(label)
        elif not label:
            continue
        elif shape := _shape(mark, label, what):
            item.shapes.append(shape)
        else:
            item.passed.append(f"{mark.tag} {label!r}")
    return item


def _shape(mark: Element, label: str, what: str) -> Shape | None:
    """A box, an outline or an ellipse (by the box round it); None of what has no area."""
    if mark.tag == "box":
        turn = number(mark.get("rotation") or 0, what)
        return Shape(label, [_corners(_edges(mark, what), turn)], is_box=turn % 90 == 0)
    if mark.tag == "ellipse":
        x, y, rx, ry = (number(mark.get(key), what) for key in ("cx", "cy", "rx", "ry"))
        turn = number(mark.get("rotation") or 0, what)
        return Shape(label, [_corners((x - rx, y - ry, x + rx, y + ry), turn)])
    if mark.tag == "polygon":
        pairs = [pair.split(",") for pair in (mark.get("points") or "").split(";") if pair]
        if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
            raise DataError(f"{what}: a polygon needs three points x,y or more.")
        return Shape(label, [[(number(x, what), number(y, what)) for x, y in pairs]])
    return None


def _edges(mark: Element, what: str) -> Box:
    left, top, right, bottom = (number(mark.get(edge), f"{what}: {edge}") for edge in _EDGES)
    return left, top, right, bottom


def _corners(box: Box, degrees: float) -> Points:
    """Of a box that is turned about its middle."""
    left, top, right, bottom = box
    return corners_of(box, degrees, ((left + right) / 2, (top + bottom) / 2))


# -- tracks ---------------------------------------------------------------------------------------


def _frames(root: Element, name: str, tree: Tree) -> list[Marked]:
    """The frames that the tracks of a file mark."""
    if root.find("track") is None:
        return []
    pictures = _by_number(tree)
    last = int(number(root.findtext("meta/task/size") or 0, name)) - 1
    found: dict[int, Marked] = {}
    for track in root.iterfind("track"):
        label = (track.get("label") or "").strip()
        for frame, box, turn in _track(track, last, f"{name}: track {track.get('id')}"):
            said = pictures.get(frame, f"frame {frame}")
            item = found.setdefault(frame, Marked(Asked(said, name), f"{name}: frame {frame}"))
            item.shapes.append(Shape(label, [_corners(box, turn)], is_box=turn % 90 == 0))
    for frame, picture in pictures.items():  # in which nothing is
        if frame <= last:
            found.setdefault(frame, Marked(Asked(picture, name), f"{name}: frame {frame}"))
    return [found[frame] for frame in sorted(found)]


def _by_number(tree: Tree) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for name in picture_names(tree):
        if digits := re.search(r"(\d+)$", stem(name)):
            other = found.setdefault(int(digits[1]), name)
            if other != name:
                raise DataError(
                    f"{other} and {name} both may be frame {int(digits[1])}; give the frames of "
                    "one video at a time."
                )
    return found


def _track(track: Element, last: int, what: str) -> Iterator[tuple[int, Box, float]]:
    """Frame, box and rotation of each frame in which it is seen."""
    keys = []
    for mark in track.iterfind("box"):
        frame = int(number(mark.get("frame"), f"{what}: frame"))
        turn = number(mark.get("rotation") or 0, what)
        keys.append((frame, mark.get("outside") == "1", _edges(mark, what), turn))
    keys.sort(key=lambda key: key[0])
    for k, (frame, outside, box, turn) in enumerate(keys):
        after = keys[k + 1] if k + 1 < len(keys) else None
        end = max(last + 1, frame + 1) if after is None else after[0]
        if end - frame > _MOST_FRAMES:
            raise DataError(f"{what}: {end - frame:,} frames from one key frame to the next.")
        for at in range(frame, end if not outside else frame):
            share = 0.0 if after is None or after[1] else (at - frame) / (end - frame)
            target = box if after is None else after[2]
            a, b, c, d = (x + share * (y - x) for x, y in zip(box, target))
            yield at, (a, b, c, d), turn + share * ((after[3] if after else turn) - turn)
