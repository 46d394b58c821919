"""Many classifiers side by side in one network, to keep a GPU busy.

Nobody has run this room on a GPU yet. On a CPU its arithmetic is tested against training one by one, and the recording
of CUDA graphs against a stand-in; `docs/where-it-ran.md` says what was run where.
"""
