"""An RTSP server made by others: GStreamer's, playing files. Run by the system's Python, which has `gi`.

    /usr/bin/python3 rtsp_server.py FILE [--user NAME --password WORD [--digest]] [--transport tcp|udp] [--tls CERTIFICATE]
                                         [--sets in-band|sdp|once] [--session-timeout SECONDS]

Prints `ready PORT` when it listens on 127.0.0.1, serves FILE (mp4, mkv or ts) at /cam, the same beside an audio track at /talking, MJPEG at
/jpeg and audio alone at /audio, prints `request METHOD` for every request that keeps a session alive, and runs until its standard input closes.
Plain RTSP and RTSP tunnelled through HTTP come in at the same port.
"""

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

DEMUXERS = {"mp4": "qtdemux", "mkv": "matroskademux", "ts": "tsdemux"}
INTERVALS = {"in-band": -1, "sdp": 0, "once": 0}
VIDEO = "filesrc location={file} ! {demuxer} ! {payloader} name=pay0 pt=96"
H264 = "h264parse ! rtph264pay config-interval={interval}"
MJPEG = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 ! jpegenc ! rtpjpegpay name=pay0 pt=26"
AUDIO = "audiotestsrc is-live=true ! alawenc ! rtppcmapay name={name} pt=8"
TRANSPORTS = {
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
    "udp": GstRtsp.RTSPLowerTrans.UDP,
    "any": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP,
}


def make_factory(launch: str, transport: str) -> "GstRtspServer.RTSPMediaFactory":
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {launch} )")
    factory.set_protocols(TRANSPORTS[transport])
    return factory


def make_auth(arguments: argparse.Namespace) -> "GstRtspServer.RTSPAuth":
    auth = GstRtspServer.RTSPAuth()
    if arguments.tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(arguments.tls))
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    if not arguments.user:
        auth.set_default_token(token)
    elif arguments.digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(arguments.user, arguments.password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(arguments.user, arguments.password), token)
    return auth


def watch(server: "GstRtspServer.RTSPServer", session_timeout_s: int) -> None:
    """Tell what keeps sessions alive; end sessions that nothing has kept alive."""

    def tell(client: object, context: object, method: str) -> None:
        print("request", method, flush=True)

    def connected(server: object, client: "GstRtspServer.RTSPClient") -> None:
        client.connect("options-request", tell, "OPTIONS")
        client.connect("get-parameter-request", tell, "GET_PARAMETER")
        if session_timeout_s:
            client.connect("new-session", opened)

    def opened(client: object, session: "GstRtspServer.RTSPSession") -> None:
        session.set_property("extra-timeout", 0)
        session.set_timeout(session_timeout_s)

    def clean() -> bool:
        server.get_session_pool().cleanup()
        return True

    server.connect("client-connected", connected)
    if session_timeout_s:
        GLib.timeout_add(200, clean)


def payloader(arguments: argparse.Namespace) -> str:
    return arguments.payloader or H264.format(interval=INTERVALS[arguments.sets])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--transport", choices=TRANSPORTS, default="any")
    parser.add_argument("--tls", help="PEM file with certificate and key")
    parser.add_argument("--sets", choices=INTERVALS, default="in-band")
    parser.add_argument("--payloader", help="elements from demuxer to RTP, for other codecs than H.264")
    parser.add_argument("--session-timeout", type=int, default=0)
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    mounts = server.get_mount_points()
    demuxer = DEMUXERS[arguments.file.rpartition(".")[2]]
    video = VIDEO.format(file=arguments.file, demuxer=demuxer, payloader=payloader(arguments))
    launches = {
        "/cam": video,
        "/talking": f"{video} {AUDIO.format(name='pay1')}",
        "/jpeg": MJPEG,
        "/audio": AUDIO.format(name="pay0"),
    }
    for path, launch in launches.items():
        factory = make_factory(launch, arguments.transport)
        if arguments.user or arguments.tls:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
            permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
            factory.set_permissions(permissions)
        mounts.add_factory(path, factory)
    if arguments.user or arguments.tls:
        server.set_auth(make_auth(arguments))
    watch(server, arguments.session_timeout)
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), GLib.idle_add(loop.quit)), daemon=True).start()
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
