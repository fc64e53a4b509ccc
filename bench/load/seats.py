"""What a master and its workers say to each other, as custom messages of Locust's own protocol.

    worker → master   threegen_hello      here, with my clock's name and my host's
    master → worker   threegen_seat       the plan, the assignment, which of how many you are
    worker → master   threegen_clock      what time is it there?        (answered in kind, a few times)
    worker → master   threegen_seated     ready for people, with the offset of the clocks
    (Locust spawns the users)
    worker → master   threegen_state      four times a second: how far I am, and what arrived here of others'
    worker → master   stats               Locust's own report, with the bins that have settled
    master → worker   threegen_arrivals   what arrived elsewhere of yours
    master → worker   threegen_begin      the origin, on your clock
    master → worker   threegen_drop       end everybody's connection
    worker → master   threegen_dropped    how many had one
    master → worker   threegen_cease      ask for nothing more
    master → worker   threegen_finish     all is over
    worker → master   threegen_audit      the audit of what I attempted, and my last bins

Each is one dict; times are ns of CLOCK_MONOTONIC.
"""

HELLO, SEAT, CLOCK, SEATED = "threegen_hello", "threegen_seat", "threegen_clock", "threegen_seated"
STATE, ARRIVALS, BEGIN = "threegen_state", "threegen_arrivals", "threegen_begin"
DROP, DROPPED = "threegen_drop", "threegen_dropped"
CEASE, FINISH, AUDIT = "threegen_cease", "threegen_finish", "threegen_audit"
BINS, SETTLED_UNTIL = "threegen_bins", "threegen_settled_until"
"""Keys in Locust's own report."""
STATE_EVERY_S = 0.25
