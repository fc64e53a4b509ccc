"""The stubs: three generations of messaging system, and `noop`, in miniature but real.

Every node is one process with one entry point, `python -m services NODE --config FILE`. Nothing here
knows the harness: the wire, the configuration file and the admin endpoints are the whole contract.
"""
