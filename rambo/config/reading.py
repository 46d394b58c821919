"""Settings out of the bytes of JSON that anybody may have sent: a file, or standard input."""

import json

from rambo.config import Settings
from rambo.errors import ConfigError

LARGEST = 64_000  # bytes; a whole config has two thousand
_DEPTH = 6  # levels; the tree itself is four deep


def read(content: bytes, field: str, way_out: str) -> Settings:
    """Return nested settings, whose fields nobody has checked yet.

    Args:
        content: one byte over `LARGEST` is enough to refuse what is too long.
        field: what to call the whole in an error, such as `file`.
        way_out: where to see how such settings look.

    Raises:
        ConfigError: they are none.
    """
    if len(content) > LARGEST:
        raise ConfigError(f"has over {LARGEST:,} bytes", field=field, limit=LARGEST, hint=way_out)
    try:
        settings = json.loads(content.decode("utf-8-sig"))
        json.dumps(settings, ensure_ascii=False).encode()  # half a surrogate pair ends here
    except (ValueError, RecursionError):
        raise ConfigError("is not JSON", field=field, hint=way_out) from None
    if not isinstance(settings, dict):
        raise ConfigError("holds no group of settings", field=field, hint=way_out)
    if _deeper(settings, _DEPTH):
        raise ConfigError(f"is nested over {_DEPTH} deep", field=field, limit=_DEPTH, hint=way_out)
    return settings


def _deeper(node: object, levels: int) -> bool:
    """Return whether something is nested deeper than so many levels."""
    if not isinstance(node, dict | list):
        return False
    parts = node.values() if isinstance(node, dict) else node
    return levels == 0 or any(_deeper(part, levels - 1) for part in parts)
