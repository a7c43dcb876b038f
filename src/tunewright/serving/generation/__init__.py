"""Language models behind the server: requests in line, tokens out as they are written, text as it becomes certain."""
