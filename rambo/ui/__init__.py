"""Everything that draws: the pages are thin scripts over these modules. Imports no torch."""
