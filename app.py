"""Home: what RAMBO is, the demo, and all runs."""

from rambo.ui import frame, home

with frame.page("app.py", pick=False):
    home.show_welcome()
    home.show_collections()
    home.show_runs()
