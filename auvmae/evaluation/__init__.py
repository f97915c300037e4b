"""Turn probabilities into the tables of the paper."""
