"""A real service among real cameras into which faults are injected: what `ov2 bench chaos` and `ov2 bench cameras` are made of.

Cameras: GStreamer's RTSP server and PyAV publishers, each a process. Between them and the service stands a `Relay` of ours, which can
stall, slow down, cut, refuse, lose packets and move clocks. The service is `ov2 serve`, known by its HTTP answers, its log and /proc.
"""
