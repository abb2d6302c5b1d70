"""The Triton kernels, for CUDA tensors. Import these modules where a kernel runs: they import triton, which a CPU machine may lack."""
