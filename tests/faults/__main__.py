"""All runners, one after another, and one table: ``python -m tests.faults``, which is ``make faults``."""

from tests.faults import corruption, fuzz, kills, saves, signals
from tests.faults.trials import run_and_exit

RUNNERS = {
    "kills": kills.kills,
    "saves": saves.saves,
    "corruption": corruption.corruption,
    "signals": signals.signals,
    **fuzz.RUNNERS,
}
NUM_TRIALS = {
    "kills": kills.NUM_TRIALS,
    "saves": saves.NUM_TRIALS,
    "corruption": corruption.NUM_TRIALS,
    "signals": signals.NUM_TRIALS,
    **dict.fromkeys(fuzz.RUNNERS, fuzz.NUM_TRIALS),
}

if __name__ == "__main__":
    run_and_exit(RUNNERS, num_trials=NUM_TRIALS)
