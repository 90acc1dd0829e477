"""What others watch the product by: metrics, rules, dashboards, logs and traces."""
