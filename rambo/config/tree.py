"""The root of the config tree, which checks what spans nodes."""

import html
import math
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field

from rambo import lineup
from rambo.config.complaints import explain
from rambo.config.method import AcquisitionConfig, ClassifierConfig, PlusConfig, RamboConfig
from rambo.config.node import STORED, Count, Node, Settings, StrategyName, flatten
from rambo.config.problem import ComputeConfig, DatasetConfig, EvaluationConfig
from rambo.config.rivals import RivalsConfig
from rambo.errors import ConfigError, shorten
from rambo.text import perhaps


class Config(Node):
    """One run: a dataset, a budget, the strategies to compare, and everything that decides the result."""

    dataset: DatasetConfig = DatasetConfig()
    k: Annotated[int, Field(ge=2, le=1_000_000)] = 200  # size of S_0, Section 5.1
    budget: Count = 500  # B, Section 5.1
    strategies: Annotated[tuple[StrategyName, ...], Field(min_length=1)] = (
        "rambo",
        *lineup.CONTROLS,
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # trial t runs with seed + t
    trials: Annotated[int, Field(ge=1, le=1000)] = 1
    # random sets of B whose best an oracle picks, to show what there is to gain
    oracle_draws: Annotated[int, Field(ge=0, le=1000)] = 0
    classifier: ClassifierConfig = ClassifierConfig()
    acquisition: AcquisitionConfig = AcquisitionConfig()
    rambo: RamboConfig = RamboConfig()
    plus: PlusConfig = PlusConfig()
    rivals: RivalsConfig = RivalsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compute: ComputeConfig = ComputeConfig()

    def __init__(self, *unnamed: Any, **settings: Any) -> None:
        """Check settings by name; what is nested may be dicts.

        Raises:
            ConfigError: everything that is wrong.
        """
        fields = type(self).model_fields
        takes = f"it takes {', '.join(fields)}"
        if unnamed:
            raise ConfigError(
                "takes no argument without a name",
                field="rambo.Config",
                hint=f"give settings as name=value, such as budget=500: {takes}",
            )
        for name in settings:
            if name not in fields:
                hint = f"{perhaps(name, fields)}{takes}"
                raise ConfigError("is no field of rambo.Config", field=name, hint=hint)
        try:
            super().__init__(**settings)
        except pydantic.ValidationError as error:
            parts = error.errors(include_url=False)
            raise ConfigError.join(explain(part) for part in parts) from None

    # `model_validate` tells what it finds itself, and goes past the above.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _draws_of_old_runs(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Let a run that was stored before there was a choice go on as it began."""
        if info.context == STORED and isinstance(value, Mapping) and "evaluation" not in value:
            rivals = value.get("rivals", {})
            llal = {"learns_on": False} | dict(rivals.get("llal", {}))
            return {
                **value,
                "evaluation": {"draws": "first"},
                "rivals": {**rivals, "llal": llal},
            }
        return value

    @property
    def initial_size(self) -> int:
        """k_1: how many labels the pretraining starts from."""
        value = self.rambo.initial_size
        return value if value is not None else max(2, self.k // 4)

    @property
    def slices(self) -> int:
        """tau_1 = ceil((k - k_1) / b); the last slice may be smaller."""
        return math.ceil((self.k - self.initial_size) / self.acquisition.batch_size)

    @property
    def greedy_steps(self) -> int:
        """tau_2 = ceil(B / b); the last batch may be smaller."""
        return math.ceil(self.budget / self.acquisition.batch_size)

    def _repr_html_(self) -> str:
        """Return a table of every setting, for a notebook."""
        rows = "".join(
            f"<tr><td>{path}</td><td>{html.escape(shorten(value, 200))}</td></tr>"
            for path, value in flatten(describe(self))
        )
        return f"<table><thead><tr><th>setting</th><th>value</th></tr></thead><tbody>{rows}</tbody></table>"

    @pydantic.model_validator(mode="after")
    def _parts_agree(self) -> "Config":
        """Refuse settings that contradict each other across nodes."""
        if self.initial_size > self.k:
            raise ValueError(
                ConfigError(
                    f"exceeds {{k}} {self.k}",
                    field="rambo.initial_size",
                    value=self.initial_size,
                    limit=self.k,
                    hint=f"lower it to at most {self.k}",
                    others=("k",),
                )
            )
        if self.compute.address is not None and self.compute.backend == "loky":
            raise ValueError(
                ConfigError(
                    "loky works on this machine",
                    field="compute.address",
                    value=self.compute.address,
                    hint="choose dask as {compute.backend}, or leave the address out",
                    others=("compute.backend",),
                )
            )
        if len(set(self.strategies)) < len(self.strategies):
            raise ValueError(
                ConfigError(
                    "names one twice",
                    field="strategies",
                    value=", ".join(self.strategies),
                    hint="name each once",
                )
            )
        return self


def describe(config: Config) -> Settings:
    """Return the config as nested JSON types, every default written out."""
    return config.model_dump(mode="json")
