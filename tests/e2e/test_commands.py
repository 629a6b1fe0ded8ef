"""The whole life of documents and payments on four real nodes, by commands only: figures, exit codes, JSON (U18, AU1 ff).

Commands run inside this process, as `hansa` would: parsing, signing, HTTP and output are the real ones. A few run in a
shell of their own, for what only a shell has.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import run
from cli.exit_codes import Exit
from tests.e2e.conftest import ROOT, Cluster

pytestmark = pytest.mark.e2e

SAMPLES = ROOT / "cli" / "samples"
COMPANIES = ("lifeng", "falkenberg", "qiming", "chenghu")


@dataclass(frozen=True, slots=True)
class Done:
    """One command that ended; `problem` is the last line of stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err.splitlines()[-1])


class Desk:
    """The command line of one company."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.home = cluster.nodes[name].home

    def try_(self, *arguments: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run([*arguments, "--profile", f"demo-{self.name}"])
        return Done(code, out.getvalue(), err.getvalue())

    def do(self, *arguments: str) -> Any:
        """Return the JSON of a command that must succeed."""
        done = self.try_(*arguments, "-o", "json")
        assert done.code == 0, f"{self.name}: {arguments}\n{done.err}"
        found = done.json
        assert re.fullmatch(r"hansa\.[a-z-]+/1", found["schema"]), arguments  # U11
        return found

    def refused(self, *arguments: str) -> tuple[int, Any]:
        """Return exit code and problem of a command that must fail; stdout stays empty."""
        done = self.try_(*arguments, "-o", "json")
        assert done.code != 0 and done.out == "", f"{self.name}: {arguments}\n{done.out}"
        problem = done.problem
        assert problem["schema"] == "hansa.problem/1" and problem["exit"] == done.code and problem["next"]
        return done.code, problem

    def invoice(self, invoice_id: str) -> Any:
        return self.do("invoice", "show", invoice_id)

    def open(self, invoice_id: str) -> str:
        found = self.invoice(invoice_id)["open"]
        return f"{found['amount']} {found['currency']}"


@dataclass(frozen=True, slots=True)
class Trade:
    """Four desks, and what two of them have issued."""

    desks: dict[str, Desk]
    machine: str
    parts: str
    spares: str

    def __getitem__(self, name: str) -> Desk:
        return self.desks[name]


@pytest.fixture(scope="module")
def desks(cluster: Cluster) -> Iterator[dict[str, Desk]]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HANSA_HOME", "HANSA_PROFILE", "HANSA_API", "HANSA_TOKEN", "HANSA_KEY_FILE"):
            patch.delenv(name, raising=False)
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
            patch.setenv(name, cluster.environment[name])
        patch.setenv("XDG_DATA_HOME", str(cluster.directory / "xdg-data"))
        patch.setenv("HANSA_LANG", "en")
        yield {name: Desk(cluster, name) for name in COMPANIES}


def imported(desk: Desk, file: str) -> str:
    found = desk.do("invoice", "import", str(SAMPLES / file))
    assert (found["schema"], found["imported"], found["refused"]) == ("hansa.import/1", 1, 0)
    return str(found["items"][0]["object_id"])


@pytest.fixture(scope="module")
def trade(desks: dict[str, Desk]) -> Trade:
    machine = imported(desks["lifeng"], "04-lifeng-invoice-cii.xml")
    parts = imported(desks["falkenberg"], "01-falkenberg-invoice-ubl.xml")
    spares = imported(desks["falkenberg"], "02-falkenberg-invoice-prepaid-ubl.xml")
    for desk, name in ((desks["falkenberg"], machine), (desks["lifeng"], parts), (desks["lifeng"], spares)):
        found = desk.do("invoice", "receive", name)
        assert found["schema"] == "hansa.act/1" and found["transaction"]["outcome"] == "ok"
    return Trade(desks, machine, parts, spares)


def test_import_takes_own_documents_once_and_names_the_field_of_every_refusal(trade: Trade) -> None:
    files = [str(SAMPLES / name) for name in ("04-lifeng-invoice-cii.xml", "01-falkenberg-invoice-ubl.xml")]
    done = trade["lifeng"].try_("invoice", "import", *files, str(SAMPLES / "refused"), "-o", "json")
    assert done.code == Exit.REJECTED
    found = {item["file"]: item for item in done.json["items"]}
    assert done.json["imported"] == 0 and done.json["refused"] == len(found) == 5
    assert "F30" in found["04-lifeng-invoice-cii.xml"]["reason"], "the number is taken"
    assert "another company" in found["01-falkenberg-invoice-ubl.xml"]["reason"]
    assert "BR-CO-16" in found["wrong-total-ubl.xml"]["reason"]
    assert all(item["field"] and not item["object_id"] for item in found.values())
    ids = trade["lifeng"].try_("invoice", "list", "--side", "sold", "-q")
    assert (ids.code, ids.out, ids.err) == (0, trade.machine + "\n", "")


def test_a_limit_is_checked_when_the_buyer_accepts_and_the_rule_is_named(trade: Trade) -> None:
    seller, buyer = trade["lifeng"], trade["falkenberg"]
    code, problem = seller.refused("limit", "set", "Falkenberg", "1500 EUR", "--review-by", "2030-01-01")
    assert code == Exit.USAGE and "Falkenberg Beispielteile GmbH" in problem["next"], "a near name is proposed"
    done = seller.try_("limit", "set", "Falkenberg Beispielteile GmbH", "1500 EUR", "--review-by", "2030-01-01")
    assert done.code == 0 and "may owe up to 1,500.00 EUR until 2030-01-01" in done.out
    assert "risk (maker), manager (checker)" in done.err
    code, problem = buyer.refused("invoice", "accept", trade.machine)
    assert code == Exit.REJECTED and "rule RK1" in problem["detail"] and "2023.00" in problem["detail"]
    assert problem["code"] == "failed" and problem["transaction"]["outcome"] == "failed"
    code, problem = seller.refused("invoice", "accept", trade.machine)
    assert code == Exit.REJECTED and "deny.scope" in problem["detail"], "the seller cannot accept for the buyer"
    assert buyer.refused("invoice", "accept", trade.machine, "--as", "nobody")[0] == Exit.USAGE
    assert buyer.refused("invoice", "accept", trade.machine, "--as", "clerk", "--home", "/nowhere")[0] == Exit.USAGE
    seller.do("limit", "set", "Falkenberg Beispielteile GmbH", "EUR 50000.00", "--review-by", "2030-01-01")
    done = buyer.try_("invoice", "accept", trade.machine)
    assert done.code == 0 and done.out.startswith(f"{trade.machine} is accepted (height ")
    code, problem = buyer.refused("invoice", "accept", trade.machine)
    assert code == Exit.REJECTED and "wrong_state" in problem["detail"] and "cannot be accepted" in problem["detail"]
    limits = seller.do("limit", "list")["items"]
    assert [(item["amount"]["amount"], item["used"]["amount"]) for item in limits] == [("50000.00", "2023.00")]


def test_a_payment_goes_from_proposal_over_release_to_confirmation(trade: Trade, tmp_path: Path) -> None:
    payer, bank = trade["falkenberg"], trade["chenghu"]
    evidence = tmp_path / "statement.txt"
    evidence.write_text("2026-04-20 1.023,00 EUR\n", encoding="utf-8")
    assert payer.refused("invoice", "pay", trade.machine, "1023")[0] == Exit.USAGE, "an amount has a currency"
    assert payer.refused("invoice", "pay", trade.machine, "1.005 EUR")[0] == Exit.USAGE
    code, problem = payer.refused("invoice", "pay", "inv-nothing", "1.00 EUR")
    assert code == Exit.NOT_FOUND and "'inv-nothing'" in problem["detail"]
    code, problem = payer.refused("invoice", "pay", trade.machine, "5000.00 EUR")
    assert code == Exit.REJECTED and "rule " in problem["detail"], "more than is open"
    done = payer.try_("invoice", "pay", trade.machine, "1023 EUR", "-q")
    assert (done.code, done.err) == (0, "")
    payment = done.out.strip()
    assert payment.startswith("pay-")
    confirm = ("payment", "confirm", payment, "--value-on", "2026-04-20", "--evidence", str(evidence))
    assert bank.refused(*confirm)[0] == Exit.REJECTED, "not released yet"
    assert payer.refused("payment", "release", payment, "--as", "clerk")[0] in (Exit.NOT_ALLOWED, Exit.REJECTED)
    payer.do("payment", "release", payment)
    assert bank.refused(*confirm[:4], "20.04.2026", *confirm[5:])[0] == Exit.USAGE
    assert payer.refused(*confirm)[0] == Exit.REJECTED, "only the bank confirms"
    done = bank.try_(*confirm, "--wait", "final")
    assert done.code == 0 and f"{payment} is confirmed, 1,023.00 EUR allocated" in done.out
    shown = payer.do("payment", "show", payment)
    assert (shown["phase"], shown["allocated"]["amount"], shown["value_on"]) == ("confirmed", "1023.00", "2026-04-20")
    assert trade["qiming"].refused("payment", "show", payment)[0] == Exit.NOT_FOUND, "strangers see nothing"
    assert trade["lifeng"].open(trade.machine) == "1000.00 EUR"
    assert payer.do("payment", "list", "--phase", "confirmed")["items"][0]["id"] == payment


def test_ageing_is_as_of_a_date_and_the_figures_are_proven(trade: Trade) -> None:
    seller = trade["lifeng"]
    before = seller.do("ledger", "ageing", "--as-of", "2026-04-15")
    after = seller.do("ledger", "ageing", "--as-of", "2026-05-05", "--verify")
    assert after["proven_at"] == after["height"]
    index = after["buckets"].index("1-30")
    assert [bucket["amount"] for bucket in before["totals"][0]["buckets"]][index] == "2023.00", "before the payment"
    assert [bucket["amount"] for bucket in after["totals"][0]["buckets"]][index] == "1000.00"
    rows = seller.try_("ledger", "ageing", "--as-of", "2026-05-05").out.splitlines()
    assert rows[0].split("\t")[:3] == ["Falkenberg Beispielteile GmbH", "0.00 EUR", "1,000.00 EUR"]
    assert rows[-1].split("\t")[0] == "total" and rows[-1].split("\t")[-1] == "1,000.00 EUR"
    for desk in trade.desks.values():
        balance = desk.do("ledger", "trial-balance", "--verify")
        for total in balance["totals"]:
            assert total["debit"] == total["credit"]
    csv = seller.try_("ledger", "journal", "-o", "csv").out.splitlines()
    assert csv[0].startswith("voucher,date,") and len(csv) == 1 + 3 + 2, "an invoice has three lines, a payment two"
    assert seller.refused("ledger", "balance", "--as-of", "yesterday")[0] == Exit.USAGE


def test_a_dispute_a_credit_note_and_a_set_off_change_what_is_open(trade: Trade, tmp_path: Path) -> None:
    seller, buyer = trade["falkenberg"], trade["lifeng"]
    buyer.do("invoice", "accept", trade.parts)
    buyer.do("invoice", "accept", trade.spares)
    assert buyer.refused("invoice", "dispute", trade.parts, "1.00 EUR", "--reason", "WHY")[0] == Exit.REJECTED
    done = buyer.try_("invoice", "dispute", trade.parts, "3245.21 EUR", "--reason", "QUA")
    assert done.code == 0 and f"3,245.21 EUR of {trade.parts} is disputed as dsp-" in done.out
    dispute = next(word for word in done.out.split() if word.startswith("dsp-"))
    note = seller.do("invoice", "import", str(SAMPLES / "03-falkenberg-credit-note-ubl.xml"))["items"][0]["object_id"]
    assert seller.open(trade.parts) == "3245.21 EUR", "nothing is free to be credited while all is disputed"
    buyer.do("invoice", "drop-dispute", dispute)
    assert seller.refused("invoice", "credit", note, trade.spares, "297.51 EUR")[0] == Exit.REJECTED
    done = seller.try_("invoice", "credit", note, trade.spares, "297.50 EUR")
    assert done.code == 0 and f"297.50 EUR of {note} is applied to {trade.spares}" in done.out
    assert seller.open(trade.spares) == "3109.90 EUR"
    set_off = ("invoice", "set-off", trade.machine, trade.spares, "500.00 EUR")
    assert buyer.refused(*set_off)[0] == Exit.USAGE, "both companies sign"
    done = buyer.try_(*set_off, "--other-home", str(seller.home))
    assert done.code == 0 and "500.00 EUR of" in done.out
    assert buyer.open(trade.machine) == "500.00 EUR" and buyer.open(trade.spares) == "2609.90 EUR"
    people = {item["label"]: item["user"] for item in seller.do("user", "list")["items"]}
    assert buyer.refused(*set_off, "--other-person", people["clerk"])[0] == Exit.USAGE, "two people, and a file"
    file = str(tmp_path / "set-off.tx")
    apart = ("--other-person", people["clerk"], "--other-person", people["manager"], "--generate-only", file)
    buyer.do(*set_off[:-1], "100.00 EUR", *apart)
    for desk, left in ((buyer, 2), (seller, 0)):
        sign = ("tx", "sign", file, "--as", "clerk", "--as", "manager", "--home", str(desk.home), "-o", "json")
        assert len(_plain(*sign).json["missing"]) == left, "each company signs on its own machine"
    assert seller.do("tx", "submit", file)["transaction"]["outcome"] == "ok"
    assert buyer.open(trade.machine) == "400.00 EUR" and seller.open(trade.spares) == "2509.90 EUR"
    timeline = [moment["event"] for moment in buyer.invoice(trade.spares)["timeline"]]
    assert timeline[:3] == ["invoices.Issued", "invoices.Received", "invoices.Accepted"]
    assert buyer.refused("invoice", "reject", trade.parts)[0] == Exit.REJECTED, "accepted is accepted"


def test_au3_a_dispute_ends_with_a_credit_note_that_three_people_sign(trade: Trade, tmp_path: Path) -> None:
    seller, buyer = trade["falkenberg"], trade["lifeng"]
    sample = (SAMPLES / "03-falkenberg-credit-note-ubl.xml").read_text(encoding="utf-8")
    notes = []
    for number in ("FB-2026-G007", "FB-2026-G008"):
        notes.append(tmp_path / f"{number}.xml")
        notes[-1].write_text(sample.replace("FB-2026-G004", number), encoding="utf-8")
    whole = seller.invoice(trade.parts)["open"]["amount"]
    assert whole == "3245.21"
    disputes = [
        buyer.do("invoice", "dispute", trade.parts, amount, "--reason", "QUA")["transaction"]["receipt"]["result"]
        for amount in ("300.00 EUR", "297.50 EUR")
    ]
    resolve = ("invoice", "resolve", disputes[0], str(notes[0]))
    code, problem = seller.refused(*resolve)
    assert code == Exit.USAGE and "--other-person once (approver)" in problem["next"], "the buyer signs too"
    home = ("--other-home", str(buyer.home))
    code, problem = seller.refused(*resolve[:2], "dsp-nothing", resolve[3], *home)
    assert code == Exit.NOT_FOUND and trade.parts in problem["detail"]
    code, problem = seller.refused(*resolve[:3], str(SAMPLES / "01-falkenberg-invoice-ubl.xml"), *home)
    assert code == Exit.REJECTED and "holds invoice" in problem["detail"]
    code, problem = seller.refused(*resolve[:3], str(SAMPLES / "refused" / "half-file-ubl.xml"), *home)
    assert code == Exit.REJECTED and "X42" in problem["detail"]
    assert buyer.refused(*resolve, *home)[0] == Exit.REJECTED, "the seller's node seals the seller's document"

    people = {item["label"]: item["user"] for item in buyer.do("user", "list")["items"]}
    file = str(tmp_path / "resolve.tx")
    seller.do(*resolve, "--other-person", people["manager"], "--generate-only", file)
    for desk, names, left in ((seller, ("clerk", "manager"), 1), (buyer, ("manager",), 0)):
        signs = [word for name in names for word in ("--as", name)]
        done = _plain("tx", "sign", file, *signs, "--home", str(desk.home), "-o", "json")
        assert len(done.json["missing"]) == left, "each company signs on its own machine"
    assert buyer.do("tx", "submit", file)["transaction"]["outcome"] == "ok"
    assert seller.open(trade.parts) == "2947.71 EUR"

    done = seller.try_("invoice", "resolve", disputes[1], str(notes[1]), *home)
    said = f"{disputes[1]} of {trade.parts} ends with 297.50 EUR credited, as crn-"
    assert done.code == 0 and done.out.startswith(said)
    shown = seller.invoice(trade.parts)
    assert (shown["open"]["amount"], shown["disputed"]["amount"]) == ("2650.21", "0.00")
    assert {line["id"]: line["state"] for line in shown["disputes"]} | dict(
        zip(disputes, ("settled", "upheld"), strict=True)
    ) == {line["id"]: line["state"] for line in shown["disputes"]}, "a part was credited, and all of it"
    code, problem = seller.refused("invoice", "resolve", disputes[1], str(notes[1]), *home)
    assert code == Exit.REJECTED and problem["next"], "ended is ended"


def test_u13_a_dry_run_shows_changes_postings_and_refusals_and_does_nothing(trade: Trade, tmp_path: Path) -> None:
    seller = trade["falkenberg"]
    before = seller.invoice(trade.spares)
    sums = seller.do("invoice", "write-off", trade.spares, "0.40 EUR", "--dry-run")
    assert (sums["schema"], sums["outcome"], sums["abort"]) == ("hansa.rehearsal/1", "ok", None)
    assert sums["gas_used"] <= sums["gas_limit"] and sums["writes"] and sums["postings"]
    lines = seller.try_("invoice", "write-off", trade.spares, "0.40 EUR", "--dry-run").out.splitlines()
    assert any(line.startswith("posts") and "0.40 EUR" in line for line in lines)
    done = seller.try_("invoice", "write-off", trade.spares, "9999999.00 EUR", "--dry-run", "-o", "json")
    assert done.code == Exit.REJECTED and done.json["outcome"] == "failed", "it would be refused"
    assert done.problem["next"] and "F23" in done.problem["detail"]
    read = ("tx", "call", "credit_risk", "freeze", "borrower=Falkenberg Beispielteile GmbH", "unit=EUR", "--dry-run")
    done = seller.try_(*read)
    assert done.code == Exit.REJECTED
    for said in (done.out, done.err):
        assert "no limit is agreed with Falkenberg Beispielteile GmbH in EUR" in said, "people read names, not ids"
    text = seller.try_(*read, "-o", "json").json["abort"]["text"]
    assert text.startswith("no limit is agreed with c") and "Falkenberg" not in text, "and scripts read ids"
    call = ("tx", "call", "invoices", "write_off", trade.spares, "0.40 EUR", "OTH", "--dry-run")
    plain = seller.do(*call)
    assert [(found["outcome"], found["gas_used"], len(found["writes"])) for found in (plain, sums)] == [
        ("ok", sums["gas_used"], len(sums["writes"]))
    ] * 2, "the same call in its plain form"
    after = seller.invoice(trade.spares)
    assert {name: after[name] for name in after if name != "height"} == {
        name: before[name] for name in before if name != "height"
    }
    file = str(tmp_path / "x.tx")
    code, _ = seller.refused("invoice", "receive", trade.spares, "--dry-run", "--generate-only", file)
    assert code == Exit.USAGE and not Path(file).exists()


def test_u29_a_write_under_a_key_counts_once_however_often_it_is_repeated(trade: Trade) -> None:
    seller = trade["falkenberg"]
    whole = seller.open(trade.spares)
    act = ("invoice", "write-off", trade.spares, "0.40 EUR", "--idempotency-key", "write-off 17")
    first, again = seller.do(*act), seller.do(*act)
    assert first["transaction"]["id"] == again["transaction"]["id"]
    assert seller.open(trade.spares) != whole
    assert seller.invoice(trade.spares)["written_off"]["amount"] == "0.40", "once"
    code, problem = seller.refused(*act[:3], "0.50 EUR", *act[4:])
    assert code == Exit.CONFLICT and first["transaction"]["id"] in problem["next"]


def test_u12_the_past_is_asked_by_height_as_long_as_the_node_holds_it(trade: Trade) -> None:
    seller = trade["falkenberg"]
    head = seller.do("invoice", "list")["height"]
    done = seller.do("invoice", "write-off", trade.spares, "0.10 EUR")
    assert done["transaction"]["height"] > head
    now = seller.invoice(trade.spares)
    past = seller.do("invoice", "show", trade.spares, "--at-height", str(head))
    assert (past["height"], past["written_off"]["amount"]) == (head, "0.40")
    assert now["written_off"]["amount"] == "0.50"
    old, new = (
        {(item["account"], item["balance"]["currency"]): item["balance"]["amount"] for item in found["items"]}
        for found in (
            seller.do("ledger", "balance", "--at-height", str(head)),
            seller.do("ledger", "balance"),
        )
    )
    moved = {key: (old.get(key, "0.00"), new[key]) for key in new if old.get(key, "0.00") != new[key]}
    assert len(moved) == 2 and all(currency == "EUR" for _, currency in moved), "receivables and an expense"
    key = f"invoices.Invoice/{trade.spares}"
    proven = seller.do("state", "get", key, "--at-height", str(head))
    assert proven["proof"]["height"] == head and proven["value"]["written_off"]["amount"] == "0.40"
    listed = seller.try_("invoice", "list", "--at-height", str(head), "--filter", f"id={trade.spares}").out
    assert past["open"]["amount"] in listed.replace(",", "")
    code, problem = seller.refused("ledger", "trial-balance", "--at-height", "999999")
    assert code == Exit.CONFLICT and "State is held for heights" in problem["detail"] and "--as-of" in problem["next"]
    assert seller.refused("ledger", "balance", "--verify", "--at-height", str(head))[0] == Exit.USAGE


def test_u12_lists_show_the_columns_and_lines_that_were_asked_for(trade: Trade) -> None:
    seller = trade["falkenberg"]
    done = seller.try_("invoice", "list", "--columns", "id,due,open", "--filter", f"id={trade.parts}")
    (line,) = done.out.splitlines()
    assert line.split("\t")[0] == trade.parts and line.endswith(" EUR") and line.count("\t") == 2
    code, problem = seller.refused("invoice", "list", "--columns", "id,colour")
    assert code == Exit.USAGE and "'colour'" in problem["detail"]
    assert seller.refused("invoice", "list", "--filter", "id")[0] == Exit.USAGE
    done = seller.try_("company", "list", "--columns", "name,vote", "--filter", "vote=this company")
    assert done.out == "Falkenberg Beispielteile GmbH\tthis company\n"
    done = seller.try_(
        "contract", "list", "--columns", "name,version,code_id", "--filter", "name=payments", "-o", "csv"
    )
    head, line = done.out.splitlines()
    assert head == "name,version,code_id" and re.fullmatch("payments,1,[0-9a-f]{64}", line)
    height = seller.do("company", "list")["height"]
    for noun in ("company", "contract"):
        found = seller.do(noun, "list", "--at-height", str(height))
        assert found["height"] == height and found["items"]
        assert seller.refused(noun, "list", "--at-height", "999999")[0] == Exit.CONFLICT
    items = seller.do("ledger", "open-items", "--side", "receivable")["items"]
    assert {item["id"] for item in items} >= {trade.parts, trade.spares}
    blocks = seller.do("block", "list", "--limit", "2")
    assert [item["height"] for item in blocks["items"]] == [blocks["height"], blocks["height"] - 1]


def test_u31_search_finds_a_document_by_number_and_amount_and_says_when_there_is_none(trade: Trade) -> None:
    seller = trade["falkenberg"]
    total = seller.invoice(trade.parts)["total"]["amount"]
    for text in (trade.parts, total):
        assert trade.parts in seller.try_("search", text, "-q").out.splitlines()
    done = seller.try_("search", "no such thing anywhere", "-o", "json")
    assert done.code == Exit.NOT_FOUND and done.json["items"] == [] and done.problem["next"]


def test_u36_events_are_listed_and_followed_from_a_cursor_without_loss_or_repetition(trade: Trade) -> None:
    seller = trade["falkenberg"]
    items = seller.do("event", "list", "--type", "invoices")["items"]
    assert {item["type"].partition(".")[0] for item in items} == {"invoices"}
    cursors = seller.try_("event", "list", "--type", "invoices", "-q").out.split()
    assert cursors == [item["id"] for item in items] and len(set(cursors)) == len(cursors)
    tail = seller.try_("event", "tail", "--type", "invoices", "--from", cursors[0], "--limit", "3", "-o", "jsonl")
    assert tail.code == 0 and [json.loads(line)["id"] for line in tail.out.splitlines()] == cursors[1:4]
    only = seller.do("event", "list", "--type", "invoices.WrittenOff", "--company", "Falkenberg Beispielteile GmbH")
    assert only["items"] and {item["fields"]["id"] for item in only["items"]} == {trade.spares}
    assert seller.refused("event", "list", "--from", "nonsense")[0] != 0


def test_u9_verbose_tells_what_was_asked_and_never_the_token(trade: Trade) -> None:
    done = trade["falkenberg"].try_("invoice", "list", "-v")
    assert re.search(r"^GET /v1/invoices\?.*: 200, \d+ bytes, height \d+, \d+ ms$", done.err, re.M)
    assert "hansa_" not in done.err and "Bearer" not in done.err, "U7"


def test_s90_an_exported_document_is_the_one_on_the_ledger_and_imports_no_second_time(
    trade: Trade, tmp_path: Path
) -> None:
    seller, buyer = trade["falkenberg"], trade["lifeng"]
    folder = tmp_path / "for the buyer"
    found = seller.do("invoice", "export", trade.parts, str(folder))
    file, seed = Path(found["file"]), Path(found["seed"])
    assert file.read_bytes() == (SAMPLES / "01-falkenberg-invoice-ubl.xml").read_bytes()
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600, "the seed opens single fields to whoever has it"
    again = seller.try_("invoice", "import", str(file), "-o", "json")
    assert again.code == Exit.REJECTED and "F30" in again.json["items"][0]["reason"]
    checked = buyer.do("invoice", "check", trade.parts, str(file), str(seed))
    assert checked["root"] == found["root"] and checked["number"] == "FB-2026-0117"
    file.write_bytes(file.read_bytes().replace(b"3245.21", b"3245.22"))
    code, problem = buyer.refused("invoice", "check", trade.parts, str(file), str(seed))
    assert code == Exit.FINDINGS and "do not accept" in problem["next"]
    code, problem = buyer.refused("invoice", "export", trade.parts, str(folder))
    assert code == Exit.NOT_FOUND and "Falkenberg" in problem["next"], "the file lies at the seller's node"
    (tmp_path / "file").write_text("x")
    assert seller.refused("invoice", "export", trade.parts, str(tmp_path / "file" / "x"))[0] == Exit.FAILED


def test_u13_people_sign_apart_from_the_node_and_nothing_is_taken_twice(trade: Trade, tmp_path: Path) -> None:
    seller = trade["lifeng"]
    buyer = trade["qiming"]
    invoice = imported(seller, "07-lifeng-fapiao.xml")
    first, second = str(tmp_path / "receive.tx"), str(tmp_path / "receive-again.tx")
    call = ("tx", "call", "invoices", "receive", f"id={invoice}", "--generate-only")
    unsigned = buyer.do(*call, first)["transaction"]
    buyer.do(*call[:3], "start", *call[4:], second)
    code, problem = buyer.refused("tx", "submit", first)
    assert code == Exit.REJECTED and "is missing" in problem["detail"]
    sign = ("tx", "sign", first, "--home", str(buyer.home), "-o", "json")
    assert _plain(*sign, "--as", "manager").code == Exit.NOT_ALLOWED
    assert _plain("tx", "sign", first, "--as", "clerk", "--home", str(seller.home)).code == Exit.NOT_ALLOWED
    signed = _plain(*sign, "--as", "clerk")
    tx_id = signed.json["id"]
    assert unsigned["id"] is None and len(tx_id) == 64 and signed.json["missing"] == []
    decoded = _plain("tx", "decode", first, "-o", "json").json
    assert (decoded["id"], decoded["digest"]) == (tx_id, unsigned["digest"]), "its id is known when all have signed"
    assert decoded["args"] == [invoice] and [signer["signed"] for signer in decoded["signers"]] == [True]
    assert buyer.do("tx", "submit", first, "--wait", "submitted")["transaction"]["id"] == tx_id
    final = buyer.do("tx", "wait", tx_id, "--until", "final")["transaction"]
    assert (final["state"], final["outcome"]) == ("final", "ok")
    again = buyer.do("tx", "submit", first)["transaction"]
    assert again["height"] == final["height"], "the same transaction again is the same transaction"
    assert _plain("tx", "sign", second, "--home", str(buyer.home), "--as", "clerk").code == 0
    code, problem = buyer.refused("tx", "submit", second)
    assert code == Exit.CONFLICT and problem["code"] == "bad_nonce", "its number is used"
    assert buyer.refused("tx", "wait", "00" * 32, "--timeout", "0")[0] == Exit.NOT_FOUND
    assert buyer.refused("tx", "show", "8d1f")[0] == Exit.USAGE
    code, problem = buyer.refused("tx", "call", "invoices", "recieve", invoice)
    assert code == Exit.NOT_FOUND and "receive" in problem["next"]
    code, problem = buyer.refused("tx", "call", "invoice", "receive", invoice)
    assert code == Exit.NOT_FOUND and "invoices" in problem["next"]


def test_s3_a_transaction_for_another_chain_is_neither_signed_nor_taken(trade: Trade, tmp_path: Path) -> None:
    desk = trade["lifeng"]
    path = tmp_path / "foreign.tx"
    desk.do("tx", "call", "invoices", "withdraw", trade.machine, "--generate-only", str(path))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"chain_id": "11" * 32}))
    sign = ("tx", "sign", str(path), "--home", str(desk.home), "--as", "clerk", "--as", "manager", "-o", "json")
    done = _plain(*sign)
    assert done.code == Exit.REJECTED and "chain 1111" in done.problem["detail"]
    elsewhere = tmp_path / "home"
    shutil.copytree(desk.home, elsewhere, ignore=shutil.ignore_patterns("data", "genesis.hansa", "keystore", "*.log"))
    sign = ("tx", "sign", str(path), "--home", str(elsewhere), "--as", "clerk", "--as", "manager")
    assert _plain(*sign).code == 0, "somebody without a genesis file signs for that chain"
    code, problem = desk.refused("tx", "submit", str(path))
    assert code == Exit.REJECTED and problem["code"] == "bad_signature", "and the network does not take it"


def test_u25_a_value_comes_with_a_proof_that_needs_no_node(trade: Trade, tmp_path: Path) -> None:
    desk, other = trade["lifeng"], trade["qiming"]
    key, file = f"invoices.Invoice/{trade.parts}", tmp_path / "parts.proof"
    found = desk.do("state", "get", key, "--save", str(file))
    assert found["present"] and found["kind"] == "invoices.Invoice" and len(found["proof"]["signers"]) >= 3
    assert found["value"]["total"] == {"amount": "3245.21", "currency": "EUR"}
    assert _plain("verify", str(file), "--genesis", str(other.home / "genesis.hansa")).code == 0
    absent = desk.try_("state", "get", "invoices.Invoice/inv-none", "-o", "json")
    assert absent.code == Exit.NOT_FOUND and absent.json["present"] is False and absent.json["proof"]["members"] == 4
    content = json.loads(file.read_text())
    for place in (40, len(content["bytes"]) // 2, len(content["bytes"]) - 40):
        swapped = "A" if content["bytes"][place] != "A" else "B"
        file.write_text(
            json.dumps(content | {"bytes": content["bytes"][:place] + swapped + content["bytes"][place + 1 :]})
        )
        done = _plain("verify", str(file), "--genesis", str(desk.home / "genesis.hansa"), "-o", "json")
        assert done.code == Exit.FINDINGS and done.problem["code"] == "findings" and not done.out
    assert desk.refused("state", "get", "invoices.Invoic/x")[0] == Exit.NOT_FOUND
    assert desk.refused("state", "get", "nothing like a key")[0] == Exit.USAGE


def test_s45_a_token_reads_until_it_is_revoked_and_never_does_more_than_its_scopes(
    trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = trade["lifeng"]
    boss = ("--offline",)
    token = desk.do("token", "create", "--as", "admin", "--scope", "read", "--scope", "admin", *boss)["token"]
    monkeypatch.setenv("HANSA_TOKEN", token)
    assert desk.do("whoami")["person"] == "admin"
    reader = desk.do("token", "create", "--as", "books", "--scope", "read", "--label", "erp", "--days", "7")
    assert [item["label"] for item in desk.do("token", "list")["items"] if item["id"] == reader["id"]] == ["erp"]
    assert reader["token"] not in desk.try_("token", "list", "-o", "json").out, "secrets are shown once"
    monkeypatch.setenv("HANSA_TOKEN", reader["token"])
    assert desk.do("invoice", "list")["items"]
    assert desk.refused("token", "list")[0] == Exit.NOT_ALLOWED
    code, problem = desk.refused("invoice", "withdraw", trade.machine)
    assert code == Exit.NOT_ALLOWED, problem
    monkeypatch.setenv("HANSA_TOKEN", token)
    assert desk.do("token", "revoke", reader["id"])["revoked"]
    assert desk.refused("token", "revoke", "no-such-token")[0] == Exit.NOT_FOUND
    monkeypatch.setenv("HANSA_TOKEN", reader["token"])
    code, problem = desk.refused("invoice", "list")
    assert code == Exit.NOT_ALLOWED and problem["code"] == "unauthenticated"


def test_f78_the_packs_of_all_four_verify_alone_and_a_flipped_byte_is_named(trade: Trade, tmp_path: Path) -> None:
    genesis = str(trade["qiming"].home / "genesis.hansa")
    packs = {name: tmp_path / f"{name}.hansapack" for name in COMPANIES}
    for name, pack in packs.items():
        found = trade[name].do("audit", "export", str(pack))
        assert found["bytes"] == pack.stat().st_size
        done = _plain("audit", "verify", str(pack), "--genesis", genesis, "-o", "json")
        assert done.code == 0, done.err
        assert done.json["network"] == "demo" and done.json["members"] == 4
    whole = packs["lifeng"].read_bytes()
    for place in (len(whole) // 3, len(whole) // 2, len(whole) - 100):
        broken = bytearray(whole)
        broken[place] ^= 1
        packs["lifeng"].write_bytes(bytes(broken))
        done = _plain("audit", "verify", str(packs["lifeng"]), "--genesis", genesis)
        assert done.code == Exit.FINDINGS, f"byte {place}"
        assert len((done.out + done.err).strip()) > 20, "what is wrong is said"
    assert trade["lifeng"].refused("audit", "export", str(tmp_path))[0] != 0


def test_a_shell_sees_tabs_on_a_pipe_and_data_alone_on_stdout(trade: Trade, cluster: Cluster) -> None:
    done = cluster.hansa("invoice", "list", "--profile", "demo-falkenberg", "--side", "sold")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0 and {row[0] for row in rows} == {trade.parts, trade.spares}
    assert all(len(row) == 8 and row[4].endswith(" EUR") for row in rows) and "\x1b" not in done.stdout
    assert "sold: open" in done.stderr and "height" in done.stderr
    page = trade["falkenberg"].do("invoice", "list", "--side", "sold", "--limit", "1")
    following = trade["falkenberg"].do("invoice", "list", "--side", "sold", "--limit", "1", "--cursor", page["next"])
    assert page["count"] == 2 and page["items"][0]["id"] != following["items"][0]["id"] and "next" not in following
    done = cluster.hansa("doctor", "--home", str(trade["falkenberg"].home), "-o", "json")
    assert done.returncode == 0 and json.loads(done.stdout)["findings"] == 0, done.stdout


def test_without_a_quorum_the_outcome_is_open_and_a_stopped_node_is_unavailable(trade: Trade) -> None:
    desk = trade["lifeng"]
    for name in ("qiming", "chenghu"):
        done = _plain("cluster", "stop", name)
        assert done.code == 0 and " of 4 members" in done.out, "the quorum sentence follows (C18)"
    assert "2 of 4" in done.out and "3 are needed" in done.out
    code, problem = trade["qiming"].refused("invoice", "list")
    assert code == Exit.UNAVAILABLE and "connection refused" in problem["detail"] and problem["retryable"]
    status = desk.try_("node", "status")
    assert status.code == 0 and "no_quorum" in status.out and "hansa node why" in status.err
    code, problem = desk.refused("limit", "set", "Falkenberg Beispielteile GmbH", "60000 EUR", "--review-by",
                                 "2030-01-01", "--timeout", "1")  # fmt: skip
    assert code == Exit.NO_QUORUM and problem["transaction"]["state"] == "pending" and problem["retryable"]
    assert desk.do("invoice", "list")["items"], "reads go on"
    assert _plain("cluster", "kill", "qimin").code == Exit.NOT_FOUND
    for name in ("qiming", "chenghu"):
        assert _plain("cluster", "start", name).code == 0
    found = desk.do("tx", "wait", problem["tx_id"], "--timeout", "60")["transaction"]
    assert found["outcome"] == "ok", "it was never lost (U19)"
    assert desk.do("limit", "list")["items"][0]["amount"]["amount"] == "60000.00"


def _plain(*arguments: str) -> Done:
    """Run a command that takes no profile, or the current one."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(list(arguments))
    return Done(code, out.getvalue(), err.getvalue())
