"""One self-contained page with all rows and measurements: lines (plain values), page (HTML)."""
