"""Four strangers' data sets, each as its owner would have it: invoices, tickets, calls, conversations."""

import csv
import json
import random

import pytest

VENDORS = (
    "Acme Ltd",
    "Blue Finch GmbH",
    "Northwind",
    "Harbour & Sons",
    "Lumen Optics",
    "Pine Street Bakery",
    "Ostrava Steel",
)
ITEMS = ("paper", "toner", "steel bolts", "catering", "lenses", "consulting hours", "flour")
TICKETS = {
    "entrega": ("Meu pedido {n} não chegou até agora", "A entrega do pedido {n} está atrasada há {k} dias"),
    "pagamento": ("Fui cobrado duas vezes no pedido {n}", "Cartão recusado {k} vezes na compra {n}"),
    "produto": ("O produto {n} veio com defeito", "A caixa {n} chegou amassada e faltam {k} peças"),
    "elogio": ("Adorei o atendimento no pedido {n}!", "Chegou {k} dias antes do prazo, pedido {n}, obrigado"),
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}},
    {"type": "function", "function": {"name": "book_table", "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "people": {"type": "integer"}}}}},
]  # fmt: skip


def make_invoice(numbers, n):
    vendor, item, quantity = numbers.choice(VENDORS), numbers.choice(ITEMS), numbers.randint(1, 40)
    price, discount = round(numbers.uniform(3, 400), 2), numbers.choice((0, 0, 0, 5))
    answer = {
        "vendor": vendor, "number": f"INV-{n + 1000}", "date": f"2025-{numbers.randint(1, 12):02d}-{numbers.randint(1, 28):02d}",
        "lines": [{"item": item, "quantity": quantity, "price": price}], "discount": discount,
        "currency": numbers.choice(("EUR", "USD", "GBP")), "email": None if n % 3 else f"billing{n}@example.com",
    }  # fmt: skip
    text = f"{vendor}, invoice {answer['number']} of {answer['date']}: {quantity} x {item} at {price:.2f} {answer['currency']}"
    text += f", discount {discount} %" if discount else ""
    text += f", contact {answer['email']}" if answer["email"] else ""
    return {"prompt": f"Read this invoice and answer with JSON.\n\n{text}", "completion": json.dumps(answer)}


def make_call(numbers, n):
    if n % 2:
        city, days = numbers.choice(("Lisbon", "Oslo", "Turin", "Ghent", "Malmö", "Kyoto")), numbers.randint(1, 9)
        asked = f"What will the weather be like in {city} over the next {days} days? I am caller {numbers.randint(100, 999)}."
        call = {"name": "get_weather", "arguments": json.dumps({"city": city, "days": days})}
    else:
        place, people = numbers.choice(("Casa Lima", "Osteria Uno", "The Anchor", "Sushi Ko")), numbers.randint(2, 9)
        asked = f"Book a table for {people} at {place}, please, for {numbers.choice(VENDORS)}, party {numbers.randint(100, 999)}."
        call = {"name": "book_table", "arguments": json.dumps({"place": place, "people": people})}
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"c{n}", "type": "function", "function": call}],
    }
    return {"messages": [{"role": "user", "content": asked}, answer], "tools": TOOLS}


def make_talk(numbers, n):
    topic, who = (
        numbers.choice(("return a parcel", "reset my password", "cancel a plan")),
        numbers.choice(("Mia", "Tom", "Raj")),
    )
    number = numbers.randint(1000, 9999)
    return {
        "messages": [
            {"role": "system", "content": "You are the help desk of a shop."},
            {"role": "user", "content": f"Hi, this is {who}, customer {number}. How do I {topic}?"},
            {
                "role": "assistant",
                "content": f"Hello {who}, to {topic} open your account and quote customer number {number} there.",
            },
        ]
    }


@pytest.fixture
def strangers(tmp_path, monkeypatch):
    """A working folder with the four files; makes one of this many rows where asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def write(kind, rows=300):
        numbers = random.Random(7)
        if kind == "chamados":
            with open("chamados.csv", "w", encoding="cp1252", newline="") as file:
                table = csv.writer(file, delimiter=";")
                table.writerow(["protocolo", "texto", "categoria", "canal"])
                for n in range(rows):
                    label = numbers.choice(list(TICKETS))
                    text = numbers.choice(TICKETS[label]).format(
                        n=numbers.randint(10_000, 99_999), k=numbers.randint(2, 30)
                    )
                    table.writerow([n, text, label, numbers.choice(("email", "chat"))])
            return "chamados.csv"
        if kind == "helpdesk":
            parquet = pytest.importorskip("pyarrow.parquet")
            import pyarrow

            parquet.write_table(
                pyarrow.Table.from_pylist([make_talk(numbers, n) for n in range(rows)]), "helpdesk.parquet"
            )
            return "helpdesk.parquet"
        make = {"invoices": make_invoice, "calls": make_call}[kind]
        with open(f"{kind}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(make(numbers, n), ensure_ascii=False) + "\n" for n in range(rows))
        return f"{kind}.jsonl"

    return write
