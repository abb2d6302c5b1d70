"""Packets to pictures and to evidence of where their encoder spent effort."""
