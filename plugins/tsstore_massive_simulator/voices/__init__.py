"""How each market speaks: its channels, events and REST rows. See `voice_of`."""

from __future__ import annotations

from tsstore_massive_simulator.voices import crypto, forex, futures, indices, options, stocks
from tsstore_massive_simulator.voices.voice import Voice

_VOICES = {
    each.market: each
    for each in (
        stocks.VOICE, options.VOICE, indices.VOICE, forex.VOICE, crypto.VOICE, futures.VOICE
    )
}  # fmt: skip

__all__ = ["Voice", "voice_of"]


def voice_of(market: str) -> Voice:
    """The voice of a market: stocks, options, indices, forex, crypto or futures."""
    return _VOICES[market]
