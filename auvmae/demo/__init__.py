"""Provide the web page to try a model, served locally or as a Space.

A recording passes through `limits` (is it a video, is it short enough), `analysis` (the detector, the overlay, the
table) and `timeline` (the interactive figure). `page` lays them out with Gradio, `serve` launches the page, and `space`
exports it as a Space.
"""
