"""Describe the extension module `quplog._quplog` for cffi: what C declares, Python may call.

The declarations are the part of csrc/quplog.h between its two marker lines, so that nothing is
declared twice; and since the generated C includes that header too, the compiler compares the two.
The build runs this file through `python -m cffi.gen_src exec-python`, which takes `ffibuilder`.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HEADER = Path(__file__).resolve().parent / "csrc" / "quplog.h"
BEGIN = "/* cffi: begin */"
END = "/* cffi: end */"


def declarations(header: str) -> str:
    """Return what stands between the markers of `header`; ValueError if that is not one part."""
    for marker in (BEGIN, END):
        if header.count(marker) != 1:
            message = f"{HEADER.name} must have the line {marker} once, not {header.count(marker)}x"
            raise ValueError(message)
    before, _, rest = header.partition(BEGIN)
    part, _, _ = rest.partition(END)
    if END in before or not part.strip():
        message = f"{HEADER.name} has nothing between {BEGIN} and {END}"
        raise ValueError(message)
    return part


ffibuilder = FFI()
ffibuilder.cdef(declarations(HEADER.read_text(encoding="utf-8")))
ffibuilder.set_source("quplog._quplog", '#include "quplog.h"')
