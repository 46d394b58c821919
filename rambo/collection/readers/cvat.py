"""CVAT's export "CVAT for images 1.1": one `image` with its name, and in it a `tag` with the class.

Source: the format's description in CVAT's documentation. Shapes, tracks and attributes are not used.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from rambo.collection.readers.items import class_name, display
from rambo.storage.files import RefusedError


def images(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each image and the classes of its tags.

    Raises:
        RefusedError: this is other XML, is not whole, or declares entities.
    """
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text):
        raise RefusedError("it declares entities, which no export of CVAT does", "export it again")
    plain = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)  # it is text by now, whatever encoding it says
    try:
        root = ET.fromstring(plain)
    except ET.ParseError as error:
        raise RefusedError(
            f"it is no whole XML (line {error.position[0]})", "export it again"
        ) from None
    entries = list(root.iter("image"))
    if root.tag != "annotations" or not entries:
        raise RefusedError(
            f"it is XML ({display(root.tag)[:40]}) but no export of CVAT for images",
            "export as CVAT for images 1.1",
        )
    for image in entries:
        tags = (tag.get("label", "") for tag in image.iter("tag"))
        yield image.get("name", ""), list(dict.fromkeys(filter(None, map(class_name, tags))))
