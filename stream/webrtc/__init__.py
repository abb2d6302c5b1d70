"""WebRTC: cameras that publish to us (WHIP, RFC 9725), and a live view for browsers (WHEP)."""
