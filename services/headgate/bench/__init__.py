"""The figures of the promise: measured on this machine, compared inside one run, never asserted as wall time.

`fair` is in virtual time and exact; `line` and `submit` are real time over a store of their own.
"""
