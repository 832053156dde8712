"""The dashboards, written as a program: what they ask and how they look. scripts/make-dashboards writes them down."""
