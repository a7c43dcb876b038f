"""Serving: an opened copy becomes an HTTP server that batches, bounds its queue, and loses no request."""
