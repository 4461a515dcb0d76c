"""Floor 1: from tidy tables to figures, text and pages. Nothing here imports torch or computes what it draws.

`style` is how things look, `curves`, `bars` and `heatmaps` are the figures, `sheet` what is laid out around them,
`text` and `page` the words.
"""
