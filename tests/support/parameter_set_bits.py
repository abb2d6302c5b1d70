"""Parameter sets of H.264, bit by bit. No test in here."""

from __future__ import annotations


def sps_of(width: int, height: int) -> bytes:
    """Baseline, order type 2 (H.264 7.3.2.1.1)."""
    codes = [0, 0, 2, 1]  # id, frame numbers, order type, reference frames
    sizes = [width // 16 - 1, height // 16 - 1]
    bits = "".join(map(_ue, codes)) + "0" + "".join(map(_ue, sizes)) + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    return b"\x67\x42\x00\x3e" + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _ue(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def set_of(kind: int, number: int) -> bytes:
    bits = _ue(number) + "0" * 16 + "1"
    bits += "0" * (-len(bits) % 8)
    return bytes([0x60 | kind]) + int(bits, 2).to_bytes(len(bits) // 8, "big") + b"\x80"
