"""One self-contained page with everything that was measured: lines (plain values), page (HTML)."""
