"""RAMBO: ranking-based active learning via multi-task bilevel optimisation.

Read `rambo.algorithm` first: one function per algorithm box of the paper. Data flows one way:
dataset -> pools -> utility samples -> utility model -> acquisition -> reveal and evaluate -> run directory -> pages.
Importing this package imports neither torch nor streamlit.
"""

__version__ = "0.2.0"
