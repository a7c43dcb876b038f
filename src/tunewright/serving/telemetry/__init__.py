"""What is told of each request to those who watch: log lines on standard error, traces over OTLP."""
