"""A rule matches what it says: texts in any character set, of any element, absent or there."""

import dataclasses
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.config.model import Route
from gateway.config.wildcards import matches
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.facts import open_facts
from gateway.prepare.routes import NO_DESTINATION, NO_ROUTE, UNCLEAR, asks_inside, route
from gateway.prepare.rules import Truth, answers, judge
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, Form, Value
from tests.fakes.data_sets import Sequence as Items
from tests.fakes.routed import arrived, facts_of, settings_of, text, when

MODALITY, STATION, STUDY = 0x00080060, 0x00081010, 0x00081030
CHARSET, NAME, ROWS = 0x00080005, 0x00100010, 0x00280010
REQUESTS, STEP_ID = 0x00400275, 0x00400009

Table = dict[str, object]


def holds(folder: Path, table: Table, values: Sequence[Value | Items], **how: object) -> Truth:
    with facts_of(folder, values, **how) as facts:  # type: ignore[arg-type]
        return judge(when(table).tree, facts)


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT, BIG], ids=["explicit", "implicit", "big"])
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"modality": "US"}, True),
        ({"modality": "us"}, True),
        ({"modality": ["CT", "U?"]}, True),
        ({"modality": "U"}, False),
        ({"(0008,0060)": "US", "station": "ROOM-*"}, True),
        ({"station": "room-1"}, True),
        ({"Rows": 512}, True),
        ({"Rows": "0512"}, True),
        ({"Rows": "51?"}, True),
        ({"Rows": 5}, False),
        ({"ImageType": "PRIMARY"}, True),
        ({"ImageType": "ORIGINAL\\PRIMARY"}, False),
        ({"StudyID": {"absent": True}}, True),
        ({"AccessionNumber": {"absent": True}}, True),
        ({"AccessionNumber": {"absent": False}}, False),
        ({"StudyID": "*"}, False),
        ({"RequestAttributesSequence.ScheduledProcedureStepID": "B2"}, True),
        ({"RequestAttributesSequence.ScheduledProcedureStepID": "B3"}, False),
        ({"RequestAttributesSequence": {"absent": False}}, True),
        ({"PixelData": {"absent": True}}, True),
        ({"ae": "US1", "door": "ae:*", "address": "192.0.2.0/24"}, True),
        ({"ae": "us1"}, False),
        ({"address": "192.0.3.0/24"}, False),
        ({"sop_class": "UltrasoundImageStorage"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.6.*"}, True),
        ({"not": {"modality": "US"}}, False),
        ({"not": {"modality": "US", "station": "other"}}, True),
        ({"not": [{"modality": "CT"}, {"modality": "MR"}]}, True),
        ({"not": [{"modality": "CT"}, {"modality": "US"}]}, False),
        ({"any": [{"modality": "CT"}, {"station": "ROOM-1"}]}, True),
        ({"any": [{"modality": "CT"}, {"modality": "MR"}]}, False),
        ({"all": [{"modality": "US"}, {"any": [{"ae": "X"}, {"ae": "US1"}]}]}, True),
    ],
)
def test_a_condition_holds_in_every_encoding_or_in_none(
    tmp_path: Path, table: Table, expected: bool, form: Form
) -> None:
    values = (
        text(0x00080008, "CS", b"ORIGINAL\\PRIMARY"),
        text(MODALITY, "CS", b"US"),
        text(0x00080050, "SH", b""),
        text(STATION, "SH", b"ROOM-1"),
        Value(ROWS, "US", struct.pack("<H", 512)),
        Items(
            REQUESTS,
            ((text(STEP_ID, "SH", b"A1"),), (), (text(STEP_ID, "SH", b"B2"),)),
            undefined=False,
        ),
    )
    found = holds(tmp_path, table, values, form=form)
    assert found is (Truth.YES if expected else Truth.NO)


@pytest.mark.parametrize(
    ("charset", "value", "wanted", "how"),
    [
        (b"ISO_IR 192", "张三丰".encode(), "张*", ""),
        (b"GB18030", "张三丰".encode("gb18030"), "张三丰", ""),
        (b"ISO_IR 100", "张三丰".encode("gbk"), "张三丰", "guess"),
        (b"", "张三丰".encode("gbk"), "张三丰", "guess"),
        (b"ISO_IR 100", "Müller^Jörg".encode("latin-1"), "MÜLLER^*", "guess"),
        (b"ISO_IR 192", b"A\xff\xffB", "Aÿ?B", "bytes"),
        (b"ISO_IR 192", "Zhang^San=张^三".encode(), "张^三", ""),
        (b"ISO_IR 192", b"Smith^John^^^=", "smith^john", ""),
        (b"ISO_IR 192", "Mu\u0308ller".encode(), "Müller", ""),
    ],
)
def test_names_are_compared_as_text(
    tmp_path: Path, charset: bytes, value: bytes, wanted: str, how: str
) -> None:
    values = (text(CHARSET, "CS", charset), text(NAME, "PN", value))
    with facts_of(tmp_path, values) as facts:
        [answer] = answers(when({"PatientName": wanted}).tree, facts)
    assert (answer.truth, answer.how) == (Truth.YES, how)


def test_a_backslash_inside_a_chinese_character_parts_no_values(tmp_path: Path) -> None:
    values = (text(CHARSET, "CS", b"GB18030"), text(STUDY, "LO", "乗客\\胸".encode("gb18030")))
    assert b"\\" in "乗".encode("gb18030")
    assert holds(tmp_path, {"StudyDescription": "乗客"}, values) is Truth.YES
    assert holds(tmp_path, {"StudyDescription": "胸"}, values) is Truth.YES


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT, BIG], ids=["explicit", "implicit", "big"])
def test_a_sequence_of_any_form_is_read_and_what_is_none_has_no_items(
    tmp_path: Path, form: Form
) -> None:
    table = {"RequestAttributesSequence.ScheduledProcedureStepID": "胸*"}
    items = ((text(CHARSET, "CS", b"GB18030"), text(STEP_ID, "SH", "胸部".encode("gb18030"))), ())
    for undefined in (False, True):
        assert holds(tmp_path, table, (Items(REQUESTS, items, undefined),), form=form) is Truth.YES
    outer = (text(CHARSET, "CS", b"GB18030"), Items(REQUESTS, (items[0][1:],), undefined=True))
    assert holds(tmp_path, table, outer, form=form) is Truth.YES
    if form.explicit and form.order == "<":
        hidden = Items(REQUESTS, items, undefined=True, private=True)
        assert holds(tmp_path, table, (hidden,)) is Truth.YES
        assert holds(tmp_path, table, (text(REQUESTS, "LO", b"no sequence"),)) is Truth.NO
    assert holds(tmp_path, table, (Items(REQUESTS, (), undefined=False),), form=form) is Truth.NO


def test_a_private_element_is_compared_as_text(tmp_path: Path) -> None:
    values = (text(0x00190010, "LO", b"VENDOR"), Value(0x00191001, "UN", b"OB-1"))
    assert holds(tmp_path, {"(0019,1001)": "ob-*"}, values) is Truth.YES


def test_what_did_not_come_by_an_association_has_no_title_and_no_address(tmp_path: Path) -> None:
    comes = arrived("folder:export", "")
    for table in ({"ae": {"absent": True}}, {"address": {"absent": True}}, {"not": {"ae": "*"}}):
        assert holds(tmp_path, table, (), arrival=comes) is Truth.YES


def test_an_address_of_the_old_kind_inside_one_of_the_new_kind_is_itself(tmp_path: Path) -> None:
    comes = arrived(address="::ffff:192.0.2.7")
    assert holds(tmp_path, {"address": "192.0.2.0/24"}, (), arrival=comes) is Truth.YES


def test_of_a_data_set_that_cannot_be_read_nothing_is_absent(tmp_path: Path) -> None:
    file = tmp_path / "data-set"
    file.write_bytes(b"\x08\0\x60\0CS\xff\0US")
    place = DataSetAt(file, 0, file.stat().st_size, "1.2.840.10008.1.2.1")
    with open_facts(arrived(), place) as facts:
        for table, truth in (
            ({"modality": "US"}, Truth.UNCLEAR),
            ({"modality": {"absent": True}}, Truth.UNCLEAR),
            ({"not": {"modality": "US"}}, Truth.UNCLEAR),
            ({"modality": "US", "ae": "other"}, Truth.NO),
            ({"any": [{"modality": "US"}, {"ae": "US1"}]}, Truth.YES),
        ):
            assert judge(when(table).tree, facts) is truth


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("*", "", True),
        ("", "", True),
        ("a", "", False),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("ab*bc", "abc", False),
        ("a**c", "abbc", True),
        ("?", "", False),
        ("?b?", "abc", True),
        ("*?", "", False),
        ("a*b*a", "aba", True),
        ("a*b*a", "abab", False),
        ("[ab]", "a", False),
        ("a.c", "abc", False),
        ("a*\n", "a\n", True),
    ],
)
def test_wildcards(pattern: str, value: str, *, expected: bool) -> None:
    assert matches(pattern, value) is expected


def test_no_pattern_makes_a_hostile_value_slow() -> None:
    began = time.perf_counter()
    assert not matches("*a" * 30 + "*b", "a" * 65536)
    assert time.perf_counter() - began < 0.5


def test_all_rules_that_match_count_and_stop_ends_the_search(tmp_path: Path) -> None:
    us = when({"modality": "US"})
    routes = (
        Route(to=("a",), when=us),
        Route(to=("c",), from_=("folder",)),
        Route(to=("b", "a"), from_=("ae",), stop=True),
        Route(to=("c",)),
    )
    with facts_of(tmp_path, (text(MODALITY, "CS", b"US"),)) as facts:
        found = route(settings_of(routes), facts)
    assert [one.destination for one in found.wanted] == ["a", "b"]
    assert [one.truth for one in found.tried] == [Truth.YES, Truth.NO, Truth.YES]
    assert [one.nearly for one in found.tried] == [False, True, False]


def test_without_rules_it_goes_everywhere_and_without_a_match_to_the_default(
    tmp_path: Path,
) -> None:
    none = (Route(to=("a",), from_=("folder",)),)
    with facts_of(tmp_path, ()) as facts:
        assert [one.destination for one in route(settings_of(()), facts).wanted] == ["a", "b", "c"]
        assert route(settings_of(none), facts).code == NO_ROUTE
        assert route(settings_of((), ()), facts).code == NO_DESTINATION
        settings = settings_of(none)
        taking = dataclasses.replace(settings.destination[1], default=True)
        settings = dataclasses.replace(settings, destination=(settings.destination[0], taking))
        found = route(settings, facts)
        assert (found.by, [one.destination for one in found.wanted]) == ("default", ["b"])


def test_a_rule_that_cannot_be_judged_holds_until_a_person_waives_it(tmp_path: Path) -> None:
    file = tmp_path / "data-set"
    file.write_bytes(b"\x01\x02 not to be walked")
    place = DataSetAt(file, 0, file.stat().st_size, "1.2.840.10008.1.2.1")
    settings = settings_of((Route(to=("a",), when=when({"modality": "US"})), Route(to=("b",))))
    with open_facts(arrived(), place) as facts:
        assert (route(settings, facts).code, route(settings, facts).detail) == (UNCLEAR, "route[1]")
        found = route(settings, facts, {UNCLEAR})
    assert [one.destination for one in found.wanted] == ["b"]


def test_the_first_rule_for_a_destination_says_how_it_is_packed(tmp_path: Path) -> None:
    routes = (
        Route(to=("a", "b")),
        Route(to=("a",), transfer_syntax="jpeg2000", ratio=10),
        Route(to=("a", "c"), transfer_syntax="none"),
    )
    settings = settings_of(routes)
    second = dataclasses.replace(settings.destination[1], transfer_syntax="htj2k-lossless")
    settings = dataclasses.replace(
        settings, destination=(settings.destination[0], second, settings.destination[2])
    )
    with facts_of(tmp_path, ()) as facts:
        found = route(settings, facts)
    assert [(one.transfer_syntax, one.ratio, one.said_by) for one in found.wanted] == [
        ("jpeg2000", 10, "route[2]"),
        ("htj2k-lossless", None, "destination[2]"),
        ("none", None, "route[3]"),
    ]


def test_a_file_is_opened_only_when_a_rule_asks_for_its_inside() -> None:
    assert not asks_inside(settings_of((Route(to=("a",), when=when({"ae": "A"})),)))
    assert asks_inside(settings_of((Route(to=("a",), when=when({"not": {"modality": "A"}})),)))
