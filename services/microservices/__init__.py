"""The 2020 generation: small services on a replicated log.

    client ── gateway ──► message ──► sequence          a send: numbered, appended, acknowledged
                 ▲ └────► group ──┬─► sequence          one to a group: appended, acknowledged, then copied
                 │                └─► log (JetStream)
                 └── inbox ◄────────────┘               a delivery: folded from the log, pushed

    gateway.py   lane.py syncs.py session.py frames.py  people's WebSockets
    auth.py      tokens.py                              passwords and tokens
    message.py   peers.py batches.py                    validates and appends batches of sends
    group.py     groups.py fan_out.py                   the same for groups, and the copies for members
    sequence.py  lease.py allocation.py                 numbers by section, under a lease
    inbox.py     mailbox.py feed.py follower.py         everybody's messages, and what gateways are pushed
    supervisor.py child.py backoff.py                   starts the nodes, and starts them again
    bus.py log.py metrics.py                            NATS, the log's rules, what is counted

Why nothing acknowledged is lost: an acknowledgement follows the log's receipt, which a quorum of three
servers stands behind. Whatever dies before it leaves the batch unanswered, and the gateway, or the
client when the gateway died, sends it again; whatever dies after it can be rebuilt from the log: mailboxes by
a fold of it, copies for a group's members by copying again from behind what is known to be done. Why nothing
comes twice: the fold leaves out what it has seen, and each client says up to where it has received.
"""
