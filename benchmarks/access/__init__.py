"""Benchmarks of reading: latency, bytes, memory and samples per second."""
