"""The model side: OV-2, its prompt, and the rolling session over it. Needs torch, transformers, safetensors and numpy alone.

Start at `ov2.model.OV2Model` and `ov2.session.Session`; `ov2.canvas.CanvasGroup` is what comes in.
"""

import logging

for _name in (
    "torchao",
    "torch.utils._pytree",
):  # transformers imports torchao where it is installed, which tells what it cannot load
    logging.getLogger(_name).setLevel(logging.ERROR)
