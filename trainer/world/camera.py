"""How the generated camera encodes: libx264 settings like those of real cameras.

In: a preset's name. Out: a frozen `CameraProfile` that yields encoder options.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from trainer.world.errors import CameraError


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraProfile:
    """One way to encode. Bit rates are for 640x360 at 10 pictures per second and scale with pixels and rate.

    - `crf`: constant quality, capped at `max_kbps`; or `kbps`: constant bit rate. One of the two is None.
    - `gop_s`: seconds between keyframes. `b_frames`: pictures between references. `tune`, `preset`: libx264's.
    - `buffer_s`: seconds of the rate that the buffer holds. `scene_cut`: libx264's threshold for a keyframe at a cut, 0 for none.
    - `intra_refresh`: a column of intra macroblocks that wanders through the picture once per `gop_s`, instead of keyframes.
    """

    name: str
    crf: float | None = None
    kbps: int | None = None
    max_kbps: int = 900
    gop_s: float = 4.0
    b_frames: int = 0
    preset: str = "veryfast"
    tune: str = "zerolatency"
    buffer_s: float = 1.0
    scene_cut: int = 0
    intra_refresh: bool = False

    def __post_init__(self) -> None:
        assert (self.crf is None) != (self.kbps is None), f"camera {self.name}: expected crf or kbps, one of the two"

    def options(self, *, width: int, height: int, fps: float) -> dict[str, str]:
        """libx264's options for a picture size and rate."""
        scale = (width * height / (640 * 360)) ** 0.75 * (fps / 10) ** 0.5
        gop = str(max(1, round(self.gop_s * fps)))
        options = {"preset": self.preset, "g": gop, "keyint_min": gop, "bf": str(self.b_frames)}
        options |= {"sc_threshold": str(self.scene_cut), "threads": "1"}
        if self.scene_cut:
            options["keyint_min"] = "1"
        if self.intra_refresh:
            options["intra-refresh"] = "1"
        if self.tune:
            options["tune"] = self.tune
        if self.crf is not None:
            cap = max(1, round(self.max_kbps * scale))
            return options | {"crf": str(self.crf), "maxrate": f"{cap}k", "bufsize": self._buffer(cap)}
        assert self.kbps is not None
        rate = max(1, round(self.kbps * scale))
        return options | {"b": f"{rate}k", "maxrate": f"{rate}k", "bufsize": self._buffer(rate), "nal-hrd": "cbr"}

    def _buffer(self, kbps: int) -> str:
        return f"{max(1, round(kbps * self.buffer_s))}k"


CAMERAS: dict[str, CameraProfile] = {
    profile.name: profile
    for profile in (
        CameraProfile(name="default", crf=26),
        CameraProfile(name="cbr", kbps=400),
        CameraProfile(name="bframes", crf=26, b_frames=2, tune="", preset="faster"),
        CameraProfile(name="smart", crf=27, gop_s=60.0),
        CameraProfile(name="night", crf=31, max_kbps=350, gop_s=2.0),
        CameraProfile(name="vbr", crf=25, max_kbps=400),
        CameraProfile(name="lowdelay", kbps=500, gop_s=10.0, preset="ultrafast", buffer_s=0.2),
        CameraProfile(name="refresh", crf=26, intra_refresh=True),
        CameraProfile(name="scenecut", crf=26, gop_s=20.0, scene_cut=70),
    )
}


def camera_profile(name: str) -> CameraProfile:
    """A preset by name. Raises CameraError, naming the nearest, for an unknown one."""
    if name in CAMERAS:
        return CAMERAS[name]
    near = difflib.get_close_matches(name, CAMERAS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise CameraError(f"camera: expected one of {', '.join(CAMERAS)}, got {name!r}{hint}")
