"""The compiled kernels: C++ behind a plain C ABI, found and called through ctypes. Knows arrays, not torch.

README.md beside this file is the tour.
"""
