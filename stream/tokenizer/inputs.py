"""What reads a stream, by its settings: codec tokens, or whole frames. In: settings. Out: a tokenizer; both kinds offer the same."""

from __future__ import annotations

from stream.codec.codec import CATCH_UP_S
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.tokenizer.sampled_frames import SampledFrames
from stream.tokenizer.settings import TokenizerSettings
from stream.tokenizer.tokenizer import Tokenizer

AnyTokenizer = Tokenizer | SampledFrames


def new_tokenizer(
    settings: TokenizerSettings,
    *,
    name: str = "",
    max_picture_px: int = LARGEST_PICTURE_PX,
    catch_up_s: float = CATCH_UP_S,
) -> AnyTokenizer:
    """`max_picture_px`, `catch_up_s`: as in `Tokenizer`."""
    kind = SampledFrames if settings.input == "frames" else Tokenizer
    return kind(settings, name=name, max_picture_px=max_picture_px, catch_up_s=catch_up_s)
