"""A WHIP publisher made of GStreamer's webrtcbin, for the tests. Runs under Debian's Python: needs python3-gi, gir1.2-gst-plugins-bad-1.0,
gstreamer1.0-nice.

    gst_whip.py ENDPOINT [--profile high] [--key-every 30] [--no-repeat]    publishes a test picture until standard input closes
"""

from __future__ import annotations

import argparse
import sys
import threading
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PIPELINE = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 "
    "! x264enc name=encoder tune=zerolatency speed-preset=ultrafast bitrate=600 key-int-max={key_every} bframes={bframes} threads=1 "
    "! video/x-h264,profile={profile} ! rtph264pay config-interval={config} mtu=1200 "
    "! application/x-rtp,media=video,encoding-name=H264,payload=96 ! webrtcbin name=peer bundle-policy=max-bundle"
)


class Whip:
    """Offers when it may, posts when all candidates are there."""

    def __init__(self, endpoint: str, options: argparse.Namespace) -> None:
        self._endpoint = endpoint
        self.pipeline = Gst.parse_launch(
            PIPELINE.format(
                key_every=options.key_every,
                profile=options.profile,
                bframes=options.bframes,
                config=0 if options.no_repeat else -1,
            )
        )
        self._peer = self.pipeline.get_by_name("peer")
        self._peer.connect("on-negotiation-needed", self._offer)
        self._peer.connect("notify::ice-gathering-state", self._gathered)
        self._posted = False

    def _offer(self, peer: Gst.Element) -> None:
        peer.emit("get-transceiver", 0).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self._offered, None))

    def _offered(self, promise: Gst.Promise, data: None) -> None:
        reply = promise.get_reply()  # owns the offer, so it must live as long
        self._peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _gathered(self, peer: Gst.Element, state: object) -> None:
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self._posted:
            self._posted = True
            threading.Thread(target=self._post, daemon=True).start()

    def _post(self) -> None:
        offer = self._peer.get_property("local-description").sdp.as_text().encode()
        request = urllib.request.Request(self._endpoint, offer, {"Content-Type": "application/sdp"}, method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = response.read()
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(answer, message)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._peer.emit("set-remote-description", description, Gst.Promise.new())
        sys.stdout.write("answered\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--profile", default="constrained-baseline")
    parser.add_argument("--key-every", type=int, default=30)
    parser.add_argument("--bframes", type=int, default=0)
    parser.add_argument("--no-repeat", action="store_true", help="parameter sets in the offer alone")
    options = parser.parse_args()
    Gst.init(None)
    whip = Whip(options.endpoint, options)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    whip.pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    whip.pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
