"""What hurried annotators get wrong: the references of the warm-up, spoilt on purpose and by a known chance."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

from grpo.data.shop.facts import ShopFacts
from grpo.data.shop.insights import Insight
from grpo.data.shop.pushes import WrittenPush
from grpo.data.shop.questions import Query
from grpo.data.shop.reviews import CLASSES, write_number

# Another project's labels for the same classes.
_OTHER_LABELS = {
    "positivo": ("positive", "Positivo"), "neutro": ("neutral", "Neutro"), "negativo": ("negative", "Negativo"),
    "entrega": ("delivery", "atraso"), "produto": ("product", "qualidade"), "atendimento": ("service", "suporte"),
    "preco": ("price", "preço"), "nenhuma": ("none", "nenhum"), "baixo": ("low", "baixa"), "medio": ("medium", "média"),
    "alto": ("high", "alta"), "troca": ("exchange", "trocar"), "reembolso": ("refund", "estorno"),
    "contato": ("contact", "ligar"),
}  # fmt: skip

# Columns as one remembers them from another table.
_OTHER_COLUMNS = {
    "product_category": "category", "purchase_month": "month", "payment_type": "payment", "order_status": "status",
    "seller_state": "customer_state", "review_score": "score",
}  # fmt: skip


def corrupt_extraction(rng: random.Random, fields: dict[str, Any], slips: float) -> str:
    """The JSON text, each field spoilt with chance `slips`; some slips leave text that is no longer JSON (`4,5`)."""
    written = []
    for name, value in fields.items():
        text: str | None = json.dumps(value, ensure_ascii=False)
        if rng.random() < slips:
            text = _spoil_field(rng, name, value)
        if text is not None:
            written.append(f'"{name}": {text}')
    return "{" + ", ".join(written) + "}"


def _spoil_field(rng: random.Random, name: str, value: Any) -> str | None:
    """The field's wrong text, or None where its key is left out."""
    if rng.random() < 0.25:
        return None
    if name in CLASSES:
        if rng.random() < 0.6:
            return json.dumps(rng.choice(_OTHER_LABELS[value]), ensure_ascii=False)
        return json.dumps(rng.choice([each for each in CLASSES[name] if each != value]))
    if name == "would_buy_again":
        return rng.choice({True: ('"sim"', "null"), False: ('"não"', "null"), None: ("false", '"talvez"')}[value])
    if value is None:
        return rng.choice(('"null"', '"não informado"')) if name == "customer" else rng.choice(("0", '"não informado"'))
    if isinstance(value, str):
        wrong = (value.lower().split()[0], "cliente" if name == "customer" else "produto")
        return json.dumps(rng.choice([each for each in wrong if each != value]), ensure_ascii=False)
    if name == "delivery_days":
        return rng.choice((f'"{value} dias"', str(value + rng.choice((-1, 1, 10)))))
    # The comma of Portuguese, which no JSON parser reads, is the commonest slip with decimals.
    if value != int(value) and rng.random() < 0.7:
        return write_number(value)
    other = value + rng.choice((-1, 1)) if name == "price" or 1 <= value <= 4 else 3
    return rng.choice((json.dumps(round(other, 2)), f'"{write_number(value)}"'))


def corrupt_query(rng: random.Random, query: Query, facts: ShopFacts, slips: float) -> str:
    """The SQL, with chance `slips` for a wrong condition and half of that for a wrong aggregate."""
    if rng.random() < slips:
        query = _spoil_condition(rng, query, facts)
    if rng.random() < slips / 2:
        swapped = {"COUNT(*)": "SUM(price)", "SUM(price)": "COUNT(*)"}
        select = query.select
        if select in swapped:
            select = swapped[select]
        else:
            for old, new in (("AVG(", "SUM("), ("SUM(", "AVG("), ("MAX(", "MIN("), ("MIN(", "MAX("), ("DISTINCT ", "")):
                if old in select:
                    select = select.replace(old, new)
                    break
        query = replace(
            query, select=select, tail=query.tail.replace(" DESC", "") if select == query.select else query.tail
        )
    return str(query)


def _spoil_condition(rng: random.Random, query: Query, facts: ShopFacts) -> Query:
    conditions = list(query.conditions)
    at = rng.randrange(len(conditions))
    condition = conditions[at]
    if rng.random() < 0.5:
        del conditions[at]
    elif condition.operator in "<>":
        conditions[at] = condition._replace(operator="<" if condition.operator == ">" else ">")
    elif condition.operator in ("<=", ">="):
        conditions[at] = condition._replace(operator="=")
    elif condition.column == "delayed":
        conditions[at] = condition._replace(value=str(1 - int(condition.value)))
    elif condition.column == "customer_state":
        others = [state for state in facts.states if state not in condition.value] or ["SP"]
        conditions[at] = condition._replace(value=f"'{rng.choice(others)}'")
    else:
        conditions[at] = condition._replace(column=_OTHER_COLUMNS[condition.column])
    return replace(query, conditions=tuple(conditions))


def corrupt_insight(rng: random.Random, insight: Insight, slips: float) -> str:
    """The analysis, with chance `slips` for invented figures and again for missing actions."""
    diagnosis = insight.diagnosis
    if rng.random() < slips:
        figure = rng.choice([number for number in insight.figures if number in diagnosis])
        diagnosis = diagnosis.replace(figure, str(rng.randint(2, 99)), 1)
    if rng.random() >= slips:
        return insight._replace(diagnosis=diagnosis).reference
    return rng.choice(
        (
            f"Diagnóstico: {diagnosis}.",
            f"Diagnóstico: {diagnosis}. Ações: 1) {insight.actions[0]}.",
            f"{diagnosis}. {insight.actions[0]}, {insight.actions[1]}.",
        )
    )


def corrupt_push(rng: random.Random, push: WrittenPush, slips: float) -> str:
    """The notification, or with chance `slips` one that is stiff, too long, or silent about the product or the offer."""
    if rng.random() >= slips:
        return push.reference
    product, art = push.product.name, push.product.gender
    return rng.choice(
        (
            f"Prezado cliente, informamos que {art} {product} está com {push.offer}",
            f"Prezado cliente, informamos que {art} {product} encontra-se disponível em nossa loja com a oferta de "
            f"{push.offer}, conforme o regulamento.",
            f"Prezado cliente, informamos que há uma oferta de {push.offer} em nossa loja.",
            push.reference.replace(product, "produto"),
            push.reference.replace(push.offer, "desconto"),
        )
    )
