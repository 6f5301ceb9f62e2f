"""Pascal VOC (Everingham et al. 2010): one XML file a picture.

    JPEGImages/7.jpg  Annotations/7.xml  ImageSets/Main/{train,val,test}.txt
    train/7.jpg       train/7.xml        likewise: XML beside the pictures, folders as the split

`<object>` holds a `<name>`, a `<bndbox>` in pixels and perhaps `<difficult>1`. The picture is the
one that `<filename>` names or that is called as the XML is. An XML without an object is a picture
with nothing in it; a picture without an XML has not been annotated and is left out.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.boxed import Annotated, assemble
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.split_lists import split_lists
from depthwise.data.readers.trees.texts import number, part_in, stem
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.data.readers.trees.xml_tree import parse_xml
from depthwise.errors import DataError

__all__ = ["has_annotations", "read"]

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_LOOKED_AT = 16
_DRAWN = ("segmentationclass", "segmentationobject")  # pictures that are answers


def has_annotations(tree: Tree) -> bool:
    """Whether there are pictures and, beside them, XML files that begin as annotations do."""
    return any(b"<annotation" in tree.head(name) for name in _xml_files(tree)[:_LOOKED_AT])


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for broken or hostile XML and for coordinates that are no numbers."""
    pictures = _Pictures(picture_names(tree))
    items, orphans = [], []
    for name in _xml_files(tree):
        root = parse_xml(tree.read(name), name)
        picture = pictures.of(name, (root.findtext("filename") or "").strip())
        if root.tag != "annotation" or picture is None:
            orphans.append(name)
        else:
            items.append(_annotated(root, name, picture))
    problems = _left_over(pictures.names, items, orphans)
    parts, found = split_lists(tree, [stem(item.where) for item in items])
    if parts is not None:
        items = [item for item in items if stem(item.where) in parts]
        for item in items:
            item.part = parts[stem(item.where)]
    size, channels = options.image_size, options.channels
    return assemble(
        tree, items, allocate, image_size=size, channels=channels, problems=[*problems, *found]
    )


class _Pictures:
    """Finds the picture of an annotation among all there are."""

    def __init__(self, names: Sequence[str]):
        self.names = [n for n in names if PurePosixPath(n).parent.name.lower() not in _DRAWN]
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            self._by_stem.setdefault(stem(name), []).append(name)

    def of(self, annotation: str, filename: str) -> str | None:
        """The one that lies nearest to the annotation, of those it names or that are named so."""
        filename = filename.replace("\\", "/").rpartition("/")[2]
        same = self._by_stem.get(stem(annotation)) or [
            n for n in self._by_stem.get(stem(filename), []) if n.endswith(filename)
        ]
        parents = PurePosixPath(annotation).parts[:-1]
        return max(same, key=lambda name: (_shared(parents, name), name), default=None)


def _shared(folders: Sequence[str], name: str) -> int:
    """How many folders, from the top, a name shares with these."""
    count = 0
    for mine, other in zip(folders, PurePosixPath(name).parts[:-1]):
        if mine != other:
            break
        count += 1
    return count


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
