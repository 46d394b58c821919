"""The part of the config tree that the rivals read."""

from typing import Annotated, Literal

from pydantic import Field

from rambo.config.node import Node, Rate, Weight


class GlisterConfig(Node):
    """GLISTER-ONLINE (Killamsetty et al. 2021)."""

    learning_rate: Rate | None = None  # eta; Choice: the classifier's where it is not given


class LlalConfig(Node):
    """Learning loss for active learning (Yoo and Kweon 2019)."""

    weight: Weight = 1.0  # lambda of the original
    margin: Rate = 1.0  # xi of the original
    width: Annotated[int, Field(ge=1, le=4096)] = 128  # units a tap, of the original
    # share of the epochs; 120 of 200 in the original
    detached_from: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.6
    # Choice: f stops at 99 %, after about a tenth of its epochs; the module has all of them, detached
    learns_on: bool = True


class DuloConfig(Node):
    """Data utility learning by regression (Wang et al. 2023)."""

    # Choice: as many utility samples as RAMBO; B.3 speaks of thousands
    sample_factor: Annotated[int, Field(ge=1, le=20)] = 1
    # Choice: CORDS' constant of stochastic greedy
    epsilon: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.01


class TypiclustConfig(Node):
    """TypiClust (Hacohen et al. 2022)."""

    max_clusters: Annotated[int, Field(ge=2, le=10_000)] = 500  # of the original
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 20  # of the original
    smallest_cluster: Annotated[int, Field(ge=1, le=1000)] = 6  # of the original: 5 and less go


class ProbcoverConfig(Node):
    """ProbCover (Yehuda et al. 2022)."""

    radius: Rate | None = None  # delta; Choice: the largest of 0.2, 0.4 .. 2.0 that is pure enough
    purity: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.95  # alpha


class ActiveftConfig(Node):
    """Active Finetuning (Xie et al. 2023)."""

    temperature: Rate = 0.07  # tau of the original
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 300  # of the original
    learning_rate: Rate = 1e-3  # of the original
    diversity: Weight = 1.0  # lambda of the original


class RivalsConfig(Node):
    """What the rivals need beside problem, budget and f."""

    # of TypiClust, ProbCover, ActiveFT; auto: frozen features where u_hat reads them
    space: Literal["auto", "features", "embedding"] = "auto"
    glister: GlisterConfig = GlisterConfig()
    llal: LlalConfig = LlalConfig()
    dulo: DuloConfig = DuloConfig()
    typiclust: TypiclustConfig = TypiclustConfig()
    probcover: ProbcoverConfig = ProbcoverConfig()
    activeft: ActiveftConfig = ActiveftConfig()
