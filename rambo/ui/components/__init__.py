"""Three browser components: a chart that is never remounted, a gallery of thumbnails, and labels by keyboard."""

from rambo.figures.prepared import PreparedFigure, prepare_figure
from rambo.figures.sprites import Sprites, make_sprites
from rambo.ui.components.gallery import GalleryResult, ImageRow, gallery, rows, strip
from rambo.ui.components.plot import plot, plotly_js

__all__ = [
    "GalleryResult",
    "ImageRow",
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
