"""The report as one HTML file: `document.py` puts it together of page.html, page.css and page.js."""
