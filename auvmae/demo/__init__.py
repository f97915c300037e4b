"""The page to try a model: `auvmae demo`, and the same as a Space.

A recording goes through `limits` (is it one, is it short enough), `analysis` (the detector, the overlay, the table) and
`timeline` (the interactive picture); `page` lays them out with Gradio, `serve` shows it, `space` makes a Space of it.
"""
