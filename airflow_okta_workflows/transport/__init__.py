"""The two shells that send what the core asks for: with requests, and with aiohttp.

Both send a request exactly once, follow no redirect, keep no cookie, read no ``.netrc``, bound the answer in
size and time, and tell how far a failed request got. They differ in nothing that a caller could notice.
"""
