"""rtnetlink by our own codec: bytes in `codec.py` and `messages.py`, the socket in `rtnl.py`."""

from sampan.linux.netlink.messages import Address, IPAddress, IPNetwork, Link, Route
from sampan.linux.netlink.rtnl import Rtnl

__all__ = ["Address", "IPAddress", "IPNetwork", "Link", "Route", "Rtnl"]
