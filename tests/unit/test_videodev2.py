"""Every structure and request number is the kernel header's, here and on aarch64."""

import ctypes
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from capture import videodev2
from capture.video_requests import REQUESTS, STRUCTURES

#: Where our field bears another name than the header's, or lies in its union.
IN_HEADER = {
    ("v4l2_frmsizeenum", "size"): "discrete",
    ("v4l2_frmivalenum", "interval"): "discrete",
    ("v4l2_enum_dv_timings", "timings"): "timings",
    ("v4l2_dv_timings", "timings"): "bt",
    ("v4l2_dv_timings_cap", "cap"): "bt",
}
COMPILERS = {"x86-64": "gcc", "aarch64": "aarch64-linux-gnu-gcc"}


def facts() -> list[tuple[str, int]]:
    """Return (C expression, our value) for each size, offset and request number."""
    found = [(f"VIDIOC_{name}", number) for name, number in REQUESTS.items()]
    for ours, header in STRUCTURES.items():
        found.append((f"sizeof(struct {header})", ctypes.sizeof(ours)))
        for name, *_ in ours._fields_:
            field = IN_HEADER.get((header, name), name)
            if name != "reserved2" or header != "v4l2_buffer":
                offset = getattr(ours, name).offset
                found.append((f"offsetof(struct {header}, {field})", offset))
    return found


@pytest.mark.parametrize("machine", COMPILERS)
def test_sizes_offsets_and_request_numbers_are_those_of_the_header(
    machine: str, tmp_path: Path
) -> None:
    compiler = shutil.which(COMPILERS[machine])
    assert compiler, f"{COMPILERS[machine]} is missing: install gcc, gcc-aarch64-linux-gnu"
    wanted = facts()
    # The object file is read, never run: so another machine's layout can be asked for as well.
    values = ",".join(f"(unsigned long long)({expression})" for expression, _ in wanted)
    (tmp_path / "facts.c").write_text(
        "#include <stddef.h>\n#include <sys/time.h>\n#include <linux/videodev2.h>\n"
        f'__attribute__((section("facts"))) const unsigned long long told[] = {{{values}}};\n'
    )
    subprocess.run([compiler, "-c", "-o", "facts.o", "facts.c"], cwd=tmp_path, check=True)
    dump = ["objcopy", "-I", "elf64-little", "-O", "binary", "-j", "facts", "facts.o", "facts.bin"]
    subprocess.run(dump, cwd=tmp_path, check=True)
    said = [value for (value,) in struct.iter_unpack("<Q", (tmp_path / "facts.bin").read_bytes())]
    told = dict(zip((expression for expression, _ in wanted), said, strict=True))
    assert told == dict(wanted)


def test_a_second_reading_of_the_header_agrees() -> None:
    other = pytest.importorskip("videodev2", reason="the second oracle is a test dependency")
    for name, number in REQUESTS.items():
        theirs = getattr(other, f"VIDIOC_{name}", None)
        assert theirs is None or int(theirs) & 0xFFFFFFFF == number, name


def test_constants_are_those_of_the_header() -> None:
    header = Path("/usr/include/linux/videodev2.h").read_text()
    enums = dict(re.findall(r"^\s+(V4L2_FIELD_\w+)\s+= (\d+),", header, re.M))
    assert {f"V4L2_FIELD_{one.name}": str(int(one)) for one in videodev2.Field} == enums


@pytest.mark.parametrize(("code", "number"), [("YUYV", 0x56595559), ("Y16", 0x20363159)])
def test_a_format_is_named_by_its_four_characters(code: str, number: int) -> None:
    assert videodev2.fourcc(code) == number
    assert videodev2.code_of(number) == code
    assert videodev2.code_of(number | 1 << 31) == f"{code}-BE"
