"""What pydantic finds wrong, in our words."""

from typing import Any

from rambo.errors import ConfigError

# What pydantic finds -> what is wrong, where the hint does not say it, and the way out.
_WAYS_OUT = {
    "greater_than_equal": ("is too small", "use at least {ge}"),
    "greater_than": ("is too small", "use more than {gt}"),
    "less_than_equal": ("is too large", "use at most {le}"),
    "less_than": ("is too large", "use less than {lt}"),
    "literal_error": ("", "choose one of: {expected}"),
    "extra_forbidden": ("there is no such field", "leave it out"),
    "finite_number": ("", "use a finite number"),
    "int_parsing": ("", "use a whole number"),
    "int_from_float": ("", "use a whole number"),
    "int_parsing_size": ("is too large", "use a smaller whole number"),
    "int_type": ("", "use a whole number"),
    "float_parsing": ("", "use a number"),
    "float_type": ("", "use a number"),
    "bool_parsing": ("", "use true or false"),
    "bool_type": ("", "use true or false"),
    "string_type": ("", "use text"),
    "tuple_type": ("", "use a list"),
    "model_type": ("this is a group of fields", "set one of them"),
    "too_short": ("", "choose at least one"),
}


def explain(part: Any) -> ConfigError:
    """Return one complaint of a failed validation."""
    context = part.get("ctx", {})
    for own in getattr(context.get("error"), "args", ()):
        if isinstance(own, ConfigError):  # of a check below, in a `ValueError` as pydantic wants it
            return own
    path = ".".join(str(name) for name in part["loc"] if isinstance(name, str))
    fallback = ("", part["msg"][:1].lower() + part["msg"][1:])
    problem, hint = _WAYS_OUT.get(part["type"], fallback)
    bounds = [context[name] for name in ("ge", "gt", "le", "lt") if name in context]
    return ConfigError(
        problem,
        field=path or "config",
        value=part["input"],
        limit=bounds[0] if bounds else None,
        hint=hint.format(**context).replace("'", ""),
    )
