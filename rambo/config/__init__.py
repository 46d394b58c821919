"""The frozen config tree: each node checks itself, the root checks what spans nodes; afterwards it is trusted.

Defaults are the paper's where it states one (section in the comment); `Choice:` marks the rest. What depends on the
dataset (k and the budget against the pool) is checked by `rambo.checks.check`.
"""

from rambo.config.method import (
    AcquisitionConfig,
    BilevelConfig,
    ClassifierConfig,
    GateConfig,
    LogisticConfig,
    OfflineConfig,
    PlusConfig,
    RamboConfig,
    RoundsConfig,
    TransportConfig,
    UtilityModelConfig,
)
from rambo.config.node import Node, Settings, flatten
from rambo.config.problem import (
    ComputeConfig,
    CorruptionConfig,
    DatasetConfig,
    EvaluationConfig,
    check_offered,
)
from rambo.config.rivals import (
    ActiveftConfig,
    DuloConfig,
    GlisterConfig,
    LlalConfig,
    ProbcoverConfig,
    RivalsConfig,
    TypiclustConfig,
)
from rambo.config.settings import assign, build, check_names, restore, review
from rambo.config.tree import Config, describe

__all__ = [
    "AcquisitionConfig",
    "ActiveftConfig",
    "BilevelConfig",
    "ClassifierConfig",
    "ComputeConfig",
    "Config",
    "CorruptionConfig",
    "DatasetConfig",
    "DuloConfig",
    "EvaluationConfig",
    "GateConfig",
    "GlisterConfig",
    "LlalConfig",
    "LogisticConfig",
    "Node",
    "OfflineConfig",
    "PlusConfig",
    "ProbcoverConfig",
    "RamboConfig",
    "RivalsConfig",
    "RoundsConfig",
    "Settings",
    "TransportConfig",
    "TypiclustConfig",
    "UtilityModelConfig",
    "assign",
    "build",
    "check_names",
    "check_offered",
    "describe",
    "flatten",
    "restore",
    "review",
]
