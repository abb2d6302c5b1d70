"""How threads of one product wait for each other: asleep.

In: the environment. Out: the same, with OpenMP's waiting set. OpenMP runtimes read it when they are loaded, so before torch is; child
processes inherit it.
"""

from __future__ import annotations

from collections.abc import MutableMapping

WAIT_POLICY = "OMP_WAIT_POLICY"
"""OpenMP 5.2, 21.2.7. Of libgomp, which torch loads on Linux, PASSIVE makes the spin count 0; of LLVM's and Intel's runtime, the block time.
Both prefer their own variables (GOMP_SPINCOUNT, KMP_BLOCKTIME) where they are set."""


def wait_passively(environ: MutableMapping[str, str]) -> None:
    """By default a thread that waits for the others burns its core, and with it the time of the thread that it waits for, as soon as another
    process wants that core as well. What the user has set stays."""
    environ.setdefault(WAIT_POLICY, "PASSIVE")
