"""Serves pushed models on this machine: a model server a version, a router in front, a supervisor that keeps both so.

Desired is what stands in the served folder (versions, and `rollout.json` beside them). The supervisor compares it with
what it sees, and does what is missing (`reconciling`): nobody tells it anything else.
"""
