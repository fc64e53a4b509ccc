"""How far one core of generator goes, and how truly it measures, beside the tools one would otherwise use.

`make benchmarks` runs all parts, `make benchmarks PART=throughput` one; docs/benchmarks.md says how to
read what they print. Nothing here is collected by pytest, but the unit tests of its own parts are.

    __main__.py     the command line             running.py   a pinned process, its CPU time and memory
    throughput.py   requests a second            nginx.py     the server of the throughput and memory parts
    accuracy.py     reported against true        scripted.py  the server whose latencies are known
    stall.py        the stall of wrk2's README   prosody.py   the server of the XMPP part
    memory.py       peak, and flat over time     tables.py    goals, the table, the CSV file
    hour.py         merging an hour              peers/       one tool a file
    xmpp.py         messages beside Tsung
"""
