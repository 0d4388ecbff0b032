"""The processes of the product and the stages in each; a later version adds acquire and console."""

PROCESSES = {
    "intake": ("receive", "watch"),
    "work": ("prepare", "forward", "confirm", "retire", "tend"),
}
STAGES = tuple(stage for stages in PROCESSES.values() for stage in stages)

#: A process ends so when it found the database damaged (sysexits.h, EX_DATAERR).
EX_DAMAGED = 65
