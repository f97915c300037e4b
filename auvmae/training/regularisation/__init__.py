"""Keep a model from overfitting.

Its layers are dropped, trained slowly or not at all, or averaged over the steps.
"""
