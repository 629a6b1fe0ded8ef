"""The pages, one row each: method, path, name in `node.web.pages.PAGES`, and what it costs (S52).

Pages are loaded with the first request for one, so a node that nobody looks at does not pay for them (E38).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Page(NamedTuple):
    """`open` pages need no session."""

    method: str
    path: str
    name: str
    weight: int
    open: bool = False


PAGES: Final = (
    Page("GET", "/", "home", 10),
    Page("GET", "/login", "login", 1, open=True),
    Page("POST", "/login", "login_with_token", 5, open=True),
    Page("GET", "/login/link/{code}", "login_link", 1, open=True),
    Page("POST", "/login/link/{code}", "login_with_link", 5, open=True),
    Page("POST", "/logout", "logout", 1, open=True),
    Page("POST", "/language", "language", 1, open=True),
    Page("GET", "/invoices", "invoices", 10),
    Page("GET", "/invoices/export.csv", "invoices_csv", 20),
    Page("GET", "/invoices/{invoice}", "invoice", 10),
    Page("GET", "/payments", "payments", 10),
    Page("GET", "/payments/{payment}", "payment", 10),
    Page("GET", "/books", "books", 20),
    Page("GET", "/books/journal", "journal", 20),
    Page("GET", "/books/ageing", "ageing", 20),
    Page("GET", "/network", "network", 2),
    Page("GET", "/blocks", "blocks", 5),
    Page("GET", "/blocks/{block}", "block", 2),
    Page("GET", "/transactions/{tx}", "transaction", 2),
    Page("GET", "/companies/{company}", "company", 10),
    Page("GET", "/search", "search", 20),
    Page("GET", "/proofs/state/{key}", "state_proof", 20),
    Page("GET", "/proofs/transactions/{tx}", "receipt_proof", 20),
    Page("GET", "/docs/problems", "problems", 1, open=True),
    Page("GET", "/live/{part}", "live", 2),
)
