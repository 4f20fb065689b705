"""The kinds of heads: what each predicts, learns and selects."""
