"""The load tool: how fast a server answers, and what becomes of it when it is asked too much."""
