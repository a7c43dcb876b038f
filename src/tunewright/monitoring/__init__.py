"""What was asked and answered, and what people said of it: the records that drift and alerts are read from."""
