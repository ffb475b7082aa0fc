"""Experiments: runs that print what they found and leave a folder with figures."""
