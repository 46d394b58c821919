"""COCO's JSON: images, categories, and annotations that join them. What is used is which classes an image has.

Source: the format's description at cocodataset.org. Boxes, polygons and captions are not used: an image all of whose
annotations name one category is of that class.
"""

from collections.abc import Mapping
from typing import Any

from rambo.collection.readers.items import class_name
from rambo.storage.files import RefusedError

Tagged = list[tuple[str, list[str]]]


def is_coco(value: Mapping[str, Any]) -> bool:
    """Return whether a JSON object is of this form."""
    return all(_is_records(value.get(key)) for key in ("images", "annotations", "categories"))


def images(value: Mapping[str, Any]) -> tuple[Tagged, tuple[str, ...]]:
    """Return the file of each image with the classes of its annotations, and all classes that are declared.

    Choice: a category that only stands above others, and that no annotation names, is no class: Roboflow adds one.

    Raises:
        RefusedError: an image has no file name, or an annotation names what is not there.
    """
    names = {
        record.get("id"): class_name(str(record.get("name"))) for record in value["categories"]
    }
    classes: dict[Any, dict[str, None]] = {}
    for record in value["images"]:
        if not isinstance(record.get("file_name"), str) or "id" not in record:
            raise RefusedError("an image of it has no file_name or no id", "export it again")
        classes[_key(record["id"])] = {}
    for note in value["annotations"]:
        image, category = _key(note.get("image_id")), _key(note.get("category_id"))
        if image not in classes or category not in names:
            raise RefusedError(
                f"an annotation names image {image} and category {category}, which are not both there",
                "export it again",
            )
        classes[image][names[category]] = None
    used = {name for own in classes.values() for name in own}
    above = {class_name(str(record.get("supercategory"))) for record in value["categories"]}
    declared = [name for name in names.values() if name in used or name not in above]
    tagged = [
        (str(record["file_name"]), list(classes[_key(record["id"])])) for record in value["images"]
    ]
    return tagged, tuple(dict.fromkeys(declared))


def _is_records(value: Any) -> bool:
    """Return whether a value is a list of records."""
    return isinstance(value, list) and all(isinstance(record, dict) for record in value)


def _key(value: Any) -> Any:
    """Return an identifier that can be looked up, whatever a file holds."""
    return value if isinstance(value, int | str) else str(value)
