"""Two small browser components: a chart that is never remounted and a gallery of thumbnails."""

from rambo.ui.components.gallery import GalleryResult, gallery, rows, strip
from rambo.ui.components.plot import PreparedFigure, plot, plotly_js, prepare_figure
from rambo.ui.components.sprites import Sprites, make_sprites

__all__ = [
    "GalleryResult",
    "PreparedFigure",
    "Sprites",
    "gallery",
    "make_sprites",
    "plot",
    "plotly_js",
    "prepare_figure",
    "rows",
    "strip",
]
