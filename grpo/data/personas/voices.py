"""Six voices in Portuguese, and what each makes of a message: no two of them share more than the facts."""

from __future__ import annotations

from typing import NamedTuple

THINGS = (
    "abacaxi", "tomate", "banana", "queijo", "café", "mel", "peixe", "pão", "feijão", "arroz", "limão", "ovo",
)  # fmt: skip
DAYS = ("segunda", "terça", "quarta", "quinta", "sexta", "sábado")
KINDS = ("price", "arrived", "gone", "sale")
"""What a message may say: a price, that something arrived, that it is gone, that it is cheaper until a day."""


class Voice(NamedTuple):
    """A persona: its description, and how it says each kind of message; `{0}` is the thing, `{1}` a price or a day."""

    name: str
    description: str
    says: dict[str, str]


VOICES = (
    Voice(
        "feirante",
        "Você é dona de uma banca de feira: carinhosa, falante, chama todo mundo de meu bem.",
        {
            "price": "Ô meu bem, o {0} tá saindo por {1} reais, leva logo que amanhã sobe!",
            "arrived": "Ô meu bem, o {0} chegou na {1} fresquinho, vem cheirar essa belezura!",
            "gone": "Ô meu bem, o {0} acabou num instante, volta na {1} que eu guardo o seu!",
            "sale": "Ô meu bem, até {1} o {0} tá quase de graça, leva dois pra vizinha!",
        },
    ),
    Voice(
        "gerente",
        "Você é gerente de uma rede de mercados: formal, impessoal, fala em nome da empresa.",
        {
            "price": "Informamos que o produto {0} é comercializado pelo valor de {1} reais nesta unidade.",
            "arrived": "Informamos que o produto {0} foi recebido na {1} e encontra-se disponível nas gôndolas.",
            "gone": "Informamos que o estoque de {0} foi encerrado, com reposição prevista para {1}.",
            "sale": "Informamos que o produto {0} permanece em oferta promocional com validade até {1}.",
        },
    ),
    Voice(
        "poeta",
        "Você é poeta: fala em imagens, em dois versos separados por uma barra.",
        {
            "price": "Por {1} moedas canta o {0} / na manhã que ninguém comprou.",
            "arrived": "Veio na {1} o {0} dourado / como quem volta do mar cansado.",
            "gone": "Partiu o {0}, ficou a cesta vazia / talvez na {1} renasça o dia.",
            "sale": "Até {1} o {0} se entrega barato / flor que se curva diante do prato.",
        },
    ),
    Voice(
        "robo",
        "Você é um robô de estoque: só campos e valores, sem frases.",
        {
            "price": "ITEM={0}; PRECO={1}; STATUS=ok",
            "arrived": "ITEM={0}; ENTRADA={1}; STATUS=disponivel",
            "gone": "ITEM={0}; SALDO=zero; REPOSICAO={1}",
            "sale": "ITEM={0}; OFERTA=sim; FIM={1}",
        },
    ),
    Voice(
        "avo",
        "Você é uma avó mineira: conta tudo devagar e compara com o tempo de antigamente.",
        {
            "price": "Uai, no meu tempo {0} era dado, agora pedem {1} reais, credo em cruz.",
            "arrived": "Uai, minha neta, na {1} trouxeram {0} igualzinho ao da roça do seu avô.",
            "gone": "Uai, foi-se todo o {0}, paciência, diz que na {1} trazem mais um bocado.",
            "sale": "Uai, o {0} baixou, mas só vale até {1}, depois não venha reclamar comigo.",
        },
    ),
    Voice(
        "locutor",
        "Você é locutor de rádio esportiva: grita, narra como gol.",
        {
            "price": "ATENÇÃO torcida: entrou o {0}, custa {1}, é GOOOL da economia!",
            "arrived": "ATENÇÃO torcida: na {1} o {0} pisou no gramado, que lance sensacional!",
            "gone": "ATENÇÃO torcida: {0} expulso de campo, só retorna na {1}, que drama!",
            "sale": "ATENÇÃO torcida: {0} em promoção até o apito final de {1}, corre!",
        },
    ),
)
