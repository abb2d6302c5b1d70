"""`ov2 eval alerts`: twelve watches over generated cameras, live through RTSP and a real Mosquitto, against the truth."""
