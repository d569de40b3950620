"""At which sizes each model is checked: the constants that it is given."""

from __future__ import annotations

SMALL = {
    "append": [
        "APPENDS=2 KILLS=1",
        "APPENDS=1 KILLS=2",
        "APPENDS=1 KILLS=1 ERRORS=1",
        "APPENDS=1 KILLS=1 READS=1",
        "APPENDS=1 KILLS=1 SHARING=2",
        "APPENDS=2 KILLS=1 THREADS=1 WORKERS=1",
    ],
    "sync": [
        "PER=1 ERRORS=1",
        "SHARING=2 ERRORS=1",
        "KILLS=1",
    ],
    "compact": [
        "KILLS=1",
        "JOBS=3 KILLS=0",
        "CUTS=0 LOOKS=2 KILLS=0",
    ],
}
"""Sizes of which every state is seen, in some seconds for all."""

LARGE = {
    "append": [
        "APPENDS=2 KILLS=2",
        "APPENDS=2 KILLS=1 ERRORS=1",
        "APPENDS=1 KILLS=1 WORKERS=1",
        "APPENDS=2 KILLS=1 READS=2",
        "APPENDS=1 KILLS=1 THREADS=3 SHARING=2",
    ],
    "sync": [
        "KILLS=1 ERRORS=1",
        "APPENDS=2",
    ],
    "compact": [
        "LAPS=3 FRAMES=12 KILLS=2",
        "CUTS=0 LOOKS=2 FRAMES=10",
        "LOOKS=1",
    ],
}
"""Sizes for a night: minutes, and some gigabytes of memory.

Three threads that sync are too many for 3 GB: faults are looked for among them, no more.
"""

FAULTS = {
    "append": [
        "FAULT_CHECK_FIRST APPENDS=1 READS=1",
        "FAULT_CLEAN_BEFORE_PUBLISH",
        "FAULT_DIRTY_LATE",
        "FAULT_IDS_LATE",
        "FAULT_LOOK_THEN_READ APPENDS=1 WORKERS=1",
        "FAULT_NO_DIRTY",
        "FAULT_NO_GATE SHARING=2",
        "FAULT_NO_REPAIR",
        "FAULT_NO_ZEROING",
        "FAULT_PUBLISH_BEFORE_WRITE",
        "FAULT_SEEN_LATE APPENDS=1",
        "FAULT_UNLOCK_BEFORE_PUBLISH",
        "FAULT_WAKE_LATE APPENDS=1 WORKERS=1",
    ],
    "sync": [
        "FAULT_CHECK_FIRST KILLS=1",
        "FAULT_FAILED_SYNC_IS_REPEATED ERRORS=1",
        "FAULT_FIRST_FILE_ONLY PER=1",
        "FAULT_MUTEX_HIDES_THE_END SHARING=2 THREADS=3 PER=4",
        "FAULT_NEXT_NOT_WOKEN THREADS=3",
        "FAULT_NO_DIRECTORY PER=1",
        "FAULT_NO_LOCK",
        "FAULT_POISON_NOT_SEEN ERRORS=1",
        "FAULT_PUBLISH_BEFORE_SYNC",
        "FAULT_SEEN_LATE",
        "FAULT_TAIL_AFTER_SYNC",
        "FAULT_WAKE_THEN_UNLOCK",
    ],
    "compact": [
        "FAULT_COPY_NOT_CHECKED KILLS=0",
        "FAULT_GONE_IS_PASSED_OVER CUTS=0 LOOKS=2 KILLS=0",
        "FAULT_NAME_NOT_SYNCED KILLS=0",
        "FAULT_NOT_ASKED_WHETHER_WHOLE CUTS=0 LOOKS=2 KILLS=0",
        "FAULT_TRIM_NOT_SYNCED",
        "FAULT_UNLINK_BEFORE_TRIM",
    ],
}
"""Each fault, and the size at which it is found soonest."""
