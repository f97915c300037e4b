"""Run the common model tests of Transformers on our classes and on stock VideoMAE."""
