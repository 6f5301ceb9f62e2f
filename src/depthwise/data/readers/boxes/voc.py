"""Pascal VOC (Everingham et al. 2010): one XML file a picture.

    JPEGImages/7.jpg  Annotations/7.xml  ImageSets/Main/{train,val,test}.txt
    train/7.jpg       train/7.xml        likewise: XML beside the pictures, folders as the split

`<object>` holds a `<name>`, a `<bndbox>` in pixels and perhaps `<difficult>1`. The picture is the
one that `<filename>` names or that is called as the XML is. An XML without an object is a picture
with nothing in it; a picture without an XML has not been annotated and is left out.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.boxed import Annotated, assemble
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import number, part_in, stem
from depthwise.data.readers.trees.split_lists import split_lists
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.data.readers.trees.xml_tree import parse_xml
from depthwise.errors import DataError

__all__ = ["has_annotations", "read"]

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_LOOKED_AT = 16
_ROOT = re.compile(rb"<annotation[\s>]")
_DRAWN = ("segmentationclass", "segmentationobject")  # pictures that are answers


def has_annotations(tree: Tree) -> bool:
    """Whether there are pictures and, beside them, XML files that begin as annotations do."""
    return any(_ROOT.search(tree.head(name)) for name in _xml_files(tree)[:_LOOKED_AT])


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for broken or hostile XML and for coordinates that are no numbers."""
    pictures = [
        name
        for name in picture_names(tree)
        if PurePosixPath(name).parent.name.lower() not in _DRAWN
    ]
    roots = {name: parse_xml(tree.read(name), name) for name in _xml_files(tree)}
    orphans = [name for name, root in roots.items() if root.tag != "annotation"]
    found = _pictures_of({n: r for n, r in roots.items() if n not in orphans}, pictures)
    orphans += [name for name, picture in found.items() if picture is None]
    items = [_annotated(roots[name], name, picture) for name, picture in found.items() if picture]
    problems = _left_over(pictures, items, orphans)
    parts, more = split_lists(tree, [item.picture for item in items])
    if parts is not None:
        items = [item for item in items if item.picture in parts]
        for item in items:
            item.part = parts[item.picture]
    return assemble(tree, items, allocate, options, "voc", problems=[*problems, *more])


def _pictures_of(roots: Mapping[str, Element], pictures: Sequence[str]) -> dict[str, str | None]:
    """The picture of each annotation: the one that is called as it is, else the one it names."""
    finder = PathFinder(pictures)
    asked = {name: Asked(stem(name), name, like=name) for name in roots}
    by_stem = finder.find(asked.values())
    found = {name: by_stem[one] for name, one in asked.items()}
    left = {name: root for name, root in roots.items() if found[name] is None}
    named = {name: _named(root, name) for name, root in left.items() if root.findtext("filename")}
    by_name = finder.find(named.values())
    taken = set(found.values())
    for name, one in named.items():
        found[name] = by_name[one] if by_name[one] not in taken else None
    return found


def _named(root: Element, name: str) -> Asked:
    said = (root.findtext("filename") or "").strip().replace("\\", "/")
    return Asked(said.rpartition("/")[2], name, like=name)


def _xml_files(tree: Tree) -> list[str]:
    return [name for name in tree.sizes if name.lower().endswith(".xml")]


def _annotated(root: Element, where: str, picture: str) -> Annotated:
    item = Annotated(picture, where, part_in(where), _size(root, where))
    for thing in root.iterfind("object"):
        name, box = (thing.findtext("name") or "").strip(), thing.find("bndbox")
        if not name or box is None:
            raise DataError(f"{where}: an object without a name or a bndbox; mend or remove it.")
        edges = [number((box.findtext(edge) or "").strip(), f"{where}: {edge}") for edge in _EDGES]
        difficult = (thing.findtext("difficult") or "").strip() == "1"
        item.add((edges[0], edges[1], edges[2], edges[3]), name, difficult)
    return item


def _size(root: Element, where: str) -> tuple[int, int] | None:
    """The (H, W) that the file promises; many write 0 where they do not know."""
    texts = (root.findtext("size/height"), root.findtext("size/width"))
    height, width = (number((text or "0").strip() or "0", f"{where}: size") for text in texts)
    return (int(height), int(width)) if height > 0 and width > 0 else None


def _left_over(
    pictures: Sequence[str], items: Sequence[Annotated], orphans: list[str]
) -> list[Problem]:
    bare = sorted(set(pictures) - {item.picture for item in items})
    no_picture = "has no picture, or is no annotation; left out"
    return [
        *left_out("picture without annotation", bare, "has no annotation, left out"),
        *left_out("annotation without picture", orphans, no_picture),
    ]
