"""The model side: OV-2, its prompt, and the rolling session over it. Needs torch, transformers, safetensors and numpy alone.

Start at `ov2.model.OV2Model` and `ov2.session.Session`; `ov2.canvas.CanvasGroup` is what comes in.
"""
