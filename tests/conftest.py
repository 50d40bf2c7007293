"""For all tests."""

import sys

# The SDK imports by name every module it finds on the stack when it is first imported. Under
# pytest-xdist one of them has a name that cannot be imported.
sys.modules.setdefault("__channelexec__", sys.modules["__main__"])
