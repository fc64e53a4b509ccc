"""The generations as containers, from this project's own docker-compose.yml.

    engine.py       the Docker engine, reached through its SDK, or refused in one line
    requirements.py what this machine must have, asked before a run
    images.py       what containers are made of, built and fetched before a run
    project.py      one trial's compose project: what docker-compose is told
    deployment.py   the deployment: ready or not, process ids, faults, logs, the end
    member.py       one node's container, and the node's own process in it
    network.py      cutting off and slowing the network of one container
    saying.py       what the engine saw and did, in the words of a node's log
    lifeline.py     the child that outlives a killed harness and removes its containers
    leftovers.py    what not even that child could remove

docker-compose reads the file and creates; all that comes after it goes through the engine's own interface.
"""
