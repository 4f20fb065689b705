"""Runners that break hrdet on purpose, and count where it does not stand it.

``make faults`` runs all of them; ``python -m tests.faults.NAME --trials N --seed S`` runs one; ``--only I``
repeats trial I alone.  A trial is a function of the runner's name, the seed and its number.
"""
