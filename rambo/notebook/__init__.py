"""What the Python door hands out: choices, comparisons and runs that show themselves in a notebook. No streamlit."""
