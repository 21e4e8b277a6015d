"""The system prompts of the four tasks: complete ones for real models, one word for the embedded policy."""

from grpo.data.shop.database import Order
from grpo.data.shop.reviews import CLASSES

_VIEW = f"orders_enriched({', '.join(Order._fields)})"


def _one_of(field: str) -> str:
    return ", ".join(f'"{value}"' for value in CLASSES[field])


INSTRUCTIONS: dict[str, dict[str, str]] = {
    "short": {"extraction": "extração", "sql_qa": "sql", "insights": "análise", "push": "push"},
    "full": {
        "extraction": (
            "Você lê a avaliação de um cliente e responde somente com um objeto JSON de dez chaves, nesta ordem:\n"
            "customer: nome com que o cliente assina, ou null\n"
            "product: produto como o cliente o escreve, sem artigo\n"
            f"sentiment: {_one_of('sentiment')} (negativo até a nota 2, positivo a partir da nota 4)\n"
            "sentiment_score: nota dada, número de 0 a 5 com ponto decimal\n"
            f"complaint_category: {_one_of('complaint_category')}\n"
            f"churn_risk: {_one_of('churn_risk')} (alto se não volta a comprar ou pede reembolso; medio se reclama e não "
            "diz que compra de novo; senão baixo)\n"
            "delivery_days: dias até a entrega, inteiro, ou null\n"
            "price: preço pago em reais, número com ponto decimal, ou null\n"
            "would_buy_again: true, false, ou null se não diz\n"
            f"requested_action: {_one_of('requested_action')}\n"
            "Não escreva nada além do JSON."
        ),
        "sql_qa": (
            "Você responde a perguntas sobre os pedidos de uma loja com uma única consulta SQLite, um SELECT sobre a visão "
            f"{_VIEW}, que tem uma linha por pedido.\n"
            "customer_state e seller_state são siglas (SP); purchase_date é AAAA-MM-DD e purchase_month é AAAA-MM; delayed "
            "é 1 se a entrega atrasou, senão 0; review_score vai de 1 a 5; order_status é delivered, canceled, shipped, "
            "processing ou unavailable; payment_type é credit_card, boleto, voucher ou debit_card; product_category usa "
            "minúsculas com _ (beleza_saude).\n"
            "Escreva somente a consulta."
        ),
        "insights": (
            "Você analisa os números de uma loja. Responda em português, em duas ou três frases, exatamente neste formato:\n"
            "Diagnóstico: <o que os números mostram>. Ações: 1) <ação>; 2) <ação>.\n"
            "Use pelo menos dois números da pergunta, escritos como estão nela, e nenhum outro. Cada ação começa com um "
            "verbo no infinitivo."
        ),
        "push": (
            "Você escreve notificações push de uma loja brasileira. Responda somente com o texto de uma notificação em "
            "português, de no máximo 120 caracteres, animada e informal, que cite o produto e a oferta."
        ),
    },
}
