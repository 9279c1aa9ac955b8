"""What operators watch: access log, metrics, tracing, health checks and load shedding."""
