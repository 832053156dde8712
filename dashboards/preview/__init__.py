"""Draws a dashboard from the answers of a Prometheus, as Grafana would, as far as ours need it (scripts/preview-dashboards)."""
