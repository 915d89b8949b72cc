"""What the benchmarks compare with, and our side of it where the product has no program for it.

No part of the product; what they need beside its dependencies is installed into the cache folder.
"""
