"""What each version of the provider stores, as files, so that every later version is tested against them.

The folders bear the version that first wrote in that form. A released folder never changes.
"""
