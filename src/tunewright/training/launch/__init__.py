"""Several processes that train one model: started, watched, and ended together."""
