"""XML from strangers: no document types, no entities, bounded in size, depth and elements.

A document type is where XML keeps its weapons (entities that expand a billionfold or that fetch
files), and annotations need none, so one is refused before anything in it is looked at.
"""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from depthwise.errors import DataError

__all__ = ["parse_xml"]

MAX_XML_BYTES, MAX_DEPTH, MAX_ELEMENTS = 8 << 20, 32, 200_000


def parse_xml(data: bytes, where: str) -> Element:
    """The root element. Raises DataError for broken and for hostile files."""
    if len(data) > MAX_XML_BYTES:
        raise DataError(f"{where} is larger than {MAX_XML_BYTES >> 20} MiB; it is no annotation.")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    depth = count = 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise DataError(f"{where} is nested too deeply or too long to be an annotation.")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise DataError(f"{where} has a document type, which may hide entities; remove <!DOCTYPE>.")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is no sound XML ({error}).") from None
    return builder.close()
