"""Where backends of other packages found the types of events in version 0.1: kept for those that were written then.

`transcript` is all that they were told of (docs/design/backends.md).
"""
