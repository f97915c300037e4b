"""Format events as tiers of ELAN, the annotation tool used by FACS coders.

The `.eaf` files follow the EAF format, version 3.0.
"""

import mimetypes
import os
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...knowledge.facs import AU_NAMES, au_column, au_number

if TYPE_CHECKING:
    import pandas

SCHEMA_URL = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
LINGUISTIC_TYPE = "action unit"


def format_eaf(
    events: "pandas.DataFrame", au_names: Sequence[str], media: str, per_face: bool = False, start: float = 0.0
) -> str:
    """Format events as an ELAN document.

    The document has a tier per action unit (and face), and an annotation per event.

    Args:
        events: Table from `events.find_events`.
        au_names: N names; an action unit without events has an empty tier.
        media: Path of the recording, absolute or relative to the folder of the document, with `/` between folders. ELAN
            opens the recording along with the document.
        per_face: Write a tier for each face and action unit. This is needed when several faces are visible at the same
            time, since the annotations of a tier must not overlap.
        start: Timestamp of the first frame in seconds. ELAN's players count from that frame.

    Returns:
        The document. Times are whole milliseconds from the first frame. A value such as "AU12 0.87" gives the mean
        probability.
    """
    # EAF requires a date; it is fixed, so that the same events give the same document
    root = Element("ANNOTATION_DOCUMENT", AUTHOR="auvmae", DATE="1970-01-01T00:00:00Z", FORMAT="3.0", VERSION="3.0")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:noNamespaceSchemaLocation", SCHEMA_URL)
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    url = Path(media).as_uri() if Path(media).is_absolute() else quote(os.fsencode(media))
    kind = mimetypes.guess_type(media)[0] or "video/mp4"
    SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=url, MIME_TYPE=kind, RELATIVE_MEDIA_URL=url)
    slots = SubElement(root, "TIME_ORDER")
    moments: list[tuple[int, Element, str]] = []
    for face in sorted(set(events["face_id"])) or [0] if per_face else [None]:
        for name in au_names:
            tier = SubElement(root, "TIER", LINGUISTIC_TYPE_REF=LINGUISTIC_TYPE, TIER_ID=_tier_name(name, face))
            chosen = events[(events["au"] == au_column(name)) & (face is None or events["face_id"] == face)]
            for event in chosen.to_dict("records"):
                annotation = SubElement(SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION")
                annotation.set("ANNOTATION_ID", f"a{len(moments) // 2 + 1}")
                value = SubElement(annotation, "ANNOTATION_VALUE")
                value.text = f"{au_column(name)} {event['mean_probability']:.2f}"
                onset = _milliseconds(event["onset"] - start)
                moments.append((onset, annotation, "TIME_SLOT_REF1"))
                moments.append((max(onset + 1, _milliseconds(event["offset"] - start)), annotation, "TIME_SLOT_REF2"))
    # no shared slots: moving the end of one annotation in ELAN must not move another annotation
    for number, (moment, annotation, end) in enumerate(sorted(moments, key=itemgetter(0)), start=1):
        annotation.set(end, f"ts{number}")
        SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(moment))
    SubElement(
        root,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID=LINGUISTIC_TYPE,
        TIME_ALIGNABLE="true",
        GRAPHIC_REFERENCES="false",
    )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _milliseconds(seconds: float) -> int:
    return max(0, round(1000 * seconds))


def _tier_name(name: str, face: int | None) -> str:
    title = AU_NAMES.get(au_number(name) or 0)
    return " ".join([au_column(name), *([title] if title else []), *([] if face is None else [f"(face {face})"])])
