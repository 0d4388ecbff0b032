"""data_set: one stored data set, opened and walked for a rendition.

Takes      where it lies, in which file and transfer syntax
Gives      its elements, attributes and pixels while it is open
Holds      AsReceived in place of what codec and rewriting refuse: deflated, rewrite, the codec's
           codes. Malformed and OSError pass as they are
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.codec.errors import CodecError
from gateway.dicom.attributes import Attributes
from gateway.dicom.element import Element
from gateway.dicom.rewrite import Unrewritable
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax, syntax_of
from gateway.dicom.walk import walk
from gateway.prepare.as_received import AsReceived
from gateway.prepare.pixels import Pixels, read_pixels


@dataclass(frozen=True, slots=True)
class DataSetAt:
    """Where one data set lies."""

    path: str | os.PathLike[str]
    dataset_offset: int
    dataset_bytes: int
    transfer_syntax_uid: str  #: (0002,0010)


@dataclass(frozen=True, slots=True)
class DataSet:
    """An open data set."""

    source: Source
    syntax: Syntax
    elements: list[Element]
    attributes: Attributes

    def pixels(self) -> Pixels:
        """Return what its pixels are and where they lie. Raises AsReceived as `read_pixels`."""
        return read_pixels(self.source, self.syntax, self.attributes)


@contextmanager
def open_data_set(place: DataSetAt) -> Iterator[DataSet]:
    """Walk the data set and keep it open; within, refusals of codec and rewriting are AsReceived.

    Raises
    ------
    AsReceived
        deflated, rewrite, and the codes of `CodecError`.
    Malformed, OSError, EOFError
        The data set contradicts itself, or its file is not what it was.
    """
    syntax = syntax_of(place.transfer_syntax_uid)
    if syntax.deflated:
        raise AsReceived("deflated", syntax.uid)
    with Source(place.path, place.dataset_offset, place.dataset_bytes) as source:
        elements = walk(source, syntax)
        try:
            yield DataSet(source, syntax, elements, Attributes(source, syntax, elements))
        except CodecError as error:
            raise AsReceived(error.code, str(error)) from error
        except Unrewritable as error:
            raise AsReceived("rewrite", error.what) from error
