"""H.264 header parser: reads frame numbers and recovery points from packets. No I/O.

Source: ITU-T H.264, 7.3 (syntax), D.2.8 (recovery point).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_START_CODE = b"\0\0\1"
_SLICE, _IDR, _SEI, _SPS = 1, 5, 6, 7
_PICTURES = range(1, 6)
"""Types of NAL units that hold a slice."""
_RECOVERY_POINT = 6
_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244}
"""Profiles whose sequence parameter sets have additional fields for the chroma format."""
_HEAD_BYTES = 256
"""Number of bytes of a parameter set or slice that are parsed. They hold all fields that are read, in all but rare
cases with the scaling lists."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Header of a packet's first slice."""

    is_idr: bool
    """Whether no later picture depends on an earlier one."""
    is_reference: bool
    """Whether later pictures depend on it."""
    frame_num: int | None
    """Count of reference pictures, modulo ``modulus``; None if it cannot be read, as before a parameter set arrives."""
    modulus: int
    gaps: bool
    """Whether the sender may skip values of ``frame_num``."""
    refresh: int | None
    """Number of further reference pictures after which the whole picture is refreshed; None if not in this packet."""


@dataclass(frozen=True, slots=True)
class _Parameters:
    """Fields of a sequence parameter set that are needed to read ``frame_num``."""

    bits: int
    planes: bool
    gaps: bool


class PictureReader:
    """Reads the packets of one stream. A parameter set applies to the packets after it."""

    def __init__(self, extradata: bytes) -> None:
        """Create a reader that knows the parameter sets of ``extradata``.

        Args:
            extradata: Extradata of the decoder. It may hold parameter sets, and shows how packets are divided into
                NAL units: by start codes or by lengths.
        """
        self._parameters: dict[int, _Parameters] = {}
        self._length_bytes = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 4 else 0
        sets = _iter_avcc_sets(extradata) if self._length_bytes else iter_nal_units(extradata)
        for unit in sets:
            self._read_parameter_set(unit)

    def read(self, packet: bytes) -> Picture | None:
        """Return the header of a packet's picture; None if it holds no picture, or one in data partitions."""
        refresh = None
        units = _iter_prefixed_units(packet, self._length_bytes) if self._length_bytes else iter_nal_units(packet)
        for unit in units:
            kind = unit[0] & 31
            if kind == _SPS:
                self._read_parameter_set(unit)
            elif kind == _SEI:
                refresh = _read_refresh(unit) if refresh is None else refresh
            elif kind in _PICTURES:
                return self._picture(unit, refresh) if kind in (_SLICE, _IDR) else None
        return None

    def _read_parameter_set(self, unit: bytes) -> None:
        if unit[0] & 31 != _SPS:
            return
        try:
            number, parameters = _parameters(_Bits(unit[1:]))
        except IndexError:
            return
        self._parameters[number] = parameters

    def _picture(self, unit: bytes, refresh: int | None) -> Picture:
        is_idr, is_reference = unit[0] & 31 == _IDR, bool(unit[0] & 0x60)
        # The picture parameter set, which is not read, selects among several: streams with more than one are skipped.
        parameters = next(iter(self._parameters.values())) if len(self._parameters) == 1 else None
        if parameters is None:
            return Picture(is_idr, is_reference, None, 1, gaps=True, refresh=refresh)
        frame_num = None
        try:
            bits = _Bits(unit[1:])
            for _ in range(3):  # first macroblock, kind of slice, picture parameter set
                bits.exp_golomb()
            bits.number(2 if parameters.planes else 0)
            frame_num = bits.number(parameters.bits)
        except IndexError:
            pass
        return Picture(is_idr, is_reference, frame_num, 1 << parameters.bits, parameters.gaps, refresh)


class _Bits:
    """Bit reader of a NAL unit without its emulation prevention bytes. Raises IndexError at the end of the bits."""

    def __init__(self, data: bytes) -> None:
        plain = bytes(data[:_HEAD_BYTES]).replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(plain), 8 * len(plain)

    def number(self, count: int) -> int:
        """Return an unsigned number of ``count`` bits."""
        if count > self._left:
            raise IndexError("the unit is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        """Return ue(v), an Exp-Golomb code: as many zeros as the number has bits after its first one bit."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + self.number(zeros)


def _parameters(bits: _Bits) -> tuple[int, _Parameters]:
    """Return the id of a sequence parameter set and the fields that are needed."""
    profile, planes = bits.number(8), False
    bits.number(16)
    number = bits.exp_golomb()
    if profile in _HIGH_PROFILES:
        chroma = bits.exp_golomb()
        planes = chroma == 3 and bool(bits.number(1))
        bits.exp_golomb()
        bits.exp_golomb()
        bits.number(1)
        if bits.number(1):
            for index in range(12 if chroma == 3 else 8):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.exp_golomb() + 4
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.number(1)
        bits.exp_golomb()
        bits.exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.exp_golomb()
    bits.exp_golomb()
    return number, _Parameters(frame_num_bits, planes, bool(bits.number(1)))


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    if not bits.number(1):
        return
    last = 8
    for _ in range(size):
        code = bits.exp_golomb()
        last = (last + (code + 1) // 2 * (1 if code & 1 else -1)) % 256
        if last == 0:
            return


def _read_refresh(unit: bytes) -> int | None:
    """Return ``recovery_frame_cnt`` of a SEI unit; None if it holds none."""
    data, at = bytes(unit[1:]).replace(b"\0\0\3", b"\0\0"), 0
    while at + 2 < len(data):  # the trailing bits take a byte of their own
        header = [0, 0]
        for part in range(2):
            while at < len(data) and data[at] == 0xFF:
                header[part], at = header[part] + 255, at + 1
            if at >= len(data):
                return None
            header[part], at = header[part] + data[at], at + 1
        kind, size = header
        if kind == _RECOVERY_POINT:
            try:
                return _Bits(data[at : at + size]).exp_golomb()
            except IndexError:
                return None
        at += size
    return None


def iter_nal_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of H.264 or H.265 data with start codes (Annex B), without their start codes.

    A unit may end with zero bytes, which are padding. Empty units, as in damaged data, are left out.
    """
    at = data.find(_START_CODE)
    while at >= 0:
        begin = at + len(_START_CODE)
        at = data.find(_START_CODE, begin)
        unit = data[begin : at if at >= 0 else len(data)]
        if unit:
            yield unit


def _iter_prefixed_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes < len(data):
        size = int.from_bytes(data[at : at + length_bytes])
        at += length_bytes
        if size:
            yield data[at : at + size]
        at += size


def _iter_avcc_sets(extradata: bytes) -> Iterator[bytes]:
    """Yield the sequence parameter sets of an ``avcC`` box."""
    at = 6
    for _ in range(extradata[5] & 31 if len(extradata) > 5 else 0):
        size = int.from_bytes(extradata[at : at + 2])
        if size and at + 2 + size <= len(extradata):
            yield extradata[at + 2 : at + 2 + size]
        at += 2 + size
