"""Our rewards in the form that another trainer calls, a file a trainer: in this process, or by the URL of a server.

None of these modules imports its trainer before it is used by it.
"""
