"""The tables of the page Learn, made from the shipped images: `python -m benchmarks.learn_tables [NAME ...]`.

Every table is real: choices come from the strategies, utilities from trainings, OT costs from the core. Each file in
`data/learn` carries the settings and the seed that it was made with. What was trained is kept in the workspace
(`RAMBO_HOME`, default `runs`), so a second call goes on where the first one ended.
"""
