"""The warden: one process beside the daemon, which holds what containers need of the network while the
daemon is away: the host's ports (and relays what the firewall does not forward), names, and the
verdicts on first packets that a foreign firewall would drop.

    daemon ⟷ `client.py` ⟷ EXEC-ROOT/network.sock ⟷ `server.py` ⟶ `holds.py` `relay.py` `names.py` `queue.py`

It is started by the first container that needs it, outlives the daemon as monitors do, is taken over by
the next one, and ends when it holds nothing and no daemon is connected. Standard library only, one
thread, no asyncio.
"""
