"""The 2015 generation: a stateless application tier over MariaDB, sharded by user and replicated.

    api.py          the application tier's node         failover.py   the node that gives out roles
    http.py         HTTP/1.1 on httptools               shard.py      the life of one shard: watch, promote
    accounts.py     passwords and tokens                server.py     what is asked of one database server
    routing.py      user → shard, and the shard map     rebuild.py    a primary's data to a diverged server
    shard_map.py    how api nodes follow the map        state.py      what failover must not forget
    database.py     one connection to one database           schema.py     the tables
    writer.py       many sends, one commit
    reader.py       long polls, one query for many
    hints.py        api → api: "these people have messages"

An acknowledged message is committed on the primary and received by its replica (semi-synchronous,
AFTER_SYNC). While a shard has lost its second server by a promotion, it is committed on the one left,
and no promotion happens until there are two again.
"""
